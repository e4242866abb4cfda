"""Picture archives are unpacked whole or not at all, and never outside of the folder that was asked for."""

from __future__ import annotations

import bz2
import glob
import gzip
import lzma
import os
import shutil
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Self, cast

from filelock import FileLock

from okdbench.core.errors import UserError
from okdbench.core.files import writing

MAX_BYTES = 200 * 2**30
MAX_MEMBERS = 5_000_000
MAX_DEPTH = 64  # folders are made and removed recursively

_STEP = 2**20  # bytes that are read and written at a time
_LONGEST_HEADER = 2**24  # tarfile reads a header into memory whole, and a bomb's may have any size
_OPENERS: dict[bytes, Callable[..., object]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_JUNK = {".DS_Store", "Thumbs.db"}
_BY_HAND = "if you trust it, unpack it by hand"

#: What the standard library raises for archives that are cut off, damaged or no archives at all.
_UNREADABLE = (
    EOFError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)


def is_archive(path: Path) -> bool:
    """Whether ``path`` begins like a zip or a (compressed) tar archive, whatever its name; it may still be damaged."""
    try:
        return path.is_file() and (_is_zip(path) or _is_tar(path))
    except UserError:
        return False


def extract(
    archive: Path,
    target: Path,
    *,
    max_bytes: int = MAX_BYTES,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Unpack ``archive`` into the new folder ``target``, which afterwards has all of its files or does not exist.

    Only folders and ordinary files are made, with ordinary permissions; what file managers leave is passed over.

    Args:
        max_bytes: the most that may be written, counted while writing, for headers may lie.
        progress: told before every member and at the end how many of the archive's bytes are done, and of how many.

    Raises:
        UserError: ``target`` exists or cannot be written, or the archive is damaged, too large or unsafe.
    """
    if os.path.lexists(target):
        raise UserError(f"{target} exists already; delete it or choose another folder")
    with writing(target.parent, "--data-root"), _workshop(target) as workshop:
        content = workshop / "content"
        content.mkdir()
        allowance = _Allowance(archive, max_bytes, shutil.disk_usage(workshop).free)
        _unpack(archive, content, allowance, progress or _say_nothing)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(content, target)


@dataclass(frozen=True)
class _Member:
    """A file or folder of an archive; ``done`` is how much of the archive lies before it."""

    name: str
    is_folder: bool
    size: int
    done: int
    open: Callable[[], IO[bytes] | None]
    step: int = _STEP


@dataclass
class _Allowance:
    """What may still be written."""

    archive: Path
    max_bytes: int
    free: int
    members: int = 0
    files: int = 0
    written: int = 0

    def check(self, size: int) -> None:
        """Refuse when ``size`` more bytes are too many."""
        if self.written + size > self.max_bytes:
            limit = f"{self.max_bytes / 2**30:.3g} GiB"
            raise UserError(f"{self.archive} unpacks to more than {limit}, the most that is allowed; {_BY_HAND}")
        if self.written + size > self.free:
            raise UserError(
                f"{self.archive} unpacks to more than the {self.free / 2**30:.3g} GiB that are free on the disk; "
                "free some space, or choose another with --data-root"
            )

    def count_member(self) -> None:
        """Refuse when there are too many members."""
        self.members += 1
        if self.members > MAX_MEMBERS:
            raise UserError(f"{self.archive} has more than {MAX_MEMBERS} members; {_BY_HAND}")


def _say_nothing(done: int, total: int) -> None:
    """Progress that nobody watches."""


@contextmanager
def _workshop(target: Path) -> Iterator[Path]:
    """A folder on the disk of ``target`` that is gone afterwards, and so are those of processes that were killed."""
    home = next(parent for parent in target.parents if parent.exists())
    for left in home.glob(f".{glob.escape(target.name)}.*.unpacking"):
        with suppress(OSError), FileLock(left / "lock", timeout=0):  # OSError: its process is alive
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(".unpacking", f".{target.name}.", home))
    try:
        with FileLock(folder / "lock"):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unpack(archive: Path, content: Path, allowance: _Allowance, progress: Callable[[int, int], None]) -> None:
    reader = _zip_members if _is_zip(archive) else _tar_members
    total = archive.stat().st_size
    with closing(reader(archive, allowance)) as members:
        for member in members:
            allowance.count_member()
            progress(min(member.done, total), total)
            path = _place(archive, member.name)
            if not ("__MACOSX" in path.parts or path.name in _JUNK or path.name.startswith("._")):
                _make(archive, member, content / path, allowance)
    if not allowance.files:
        raise UserError(f"{archive} holds no files; look whether it is the right archive, or download it again")
    progress(total, total)


def _place(archive: Path, name: str) -> PurePosixPath:
    """The relative path of a member; old Windows programs separate its parts by backslashes."""
    path = PurePosixPath(name.replace("\\", "/"))
    if ".." in path.parts or PureWindowsPath(name).anchor or "\0" in name:
        raise _refusal(archive, name, "would lie outside of the folder")
    if len(path.parts) > MAX_DEPTH:
        raise _refusal(archive, name, "lies too deep")
    return path


def _make(archive: Path, member: _Member, path: Path, allowance: _Allowance) -> None:
    """Write one member; that it does not exist yet is left to the disk, which knows what names it cannot tell apart."""
    folder = path if member.is_folder else path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if member.is_folder:
            return
        file = path.open("xb")
    except (FileExistsError, NotADirectoryError) as error:
        raise _refusal(archive, member.name, "appears twice, or as a file and as a folder") from error
    allowance.files += 1
    with file:
        for chunk in _chunks(archive, member):
            allowance.check(len(chunk))
            allowance.written += len(chunk)
            file.write(chunk)


def _chunks(archive: Path, member: _Member) -> Iterator[bytes]:
    left = member.size
    with _readable(archive):
        stream = member.open()
        assert stream is not None  # only links have none
        with stream:
            while chunk := stream.read(member.step):
                left -= len(chunk)
                yield chunk
        if left:
            raise EOFError(f"{member.name!r} has another length than its header says")


def _is_zip(path: Path) -> bool:
    """Whether it begins like one: where it ends like one, it may be a picture, or a tar archive of zip archives."""
    with _readable(path), path.open("rb") as file:
        return file.read(4) in _ZIP


def _zip_members(archive: Path, allowance: _Allowance) -> Generator[_Member, None, None]:
    done = 0
    with _readable(archive), zipfile.ZipFile(archive) as file:
        allowance.check(sum(info.file_size for info in file.infolist()))
        for info in file.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refusal(archive, info.filename, "is a link or a device")
            if info.flag_bits & 0x41:
                raise UserError(f"{archive} is encrypted; unpack it by hand")
            is_folder = kind == stat.S_IFDIR or info.filename.endswith(("/", "\\"))
            # of the other compressions, zipfile decompresses all that it has read at once
            step = _STEP if info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) else 2**12
            yield _Member(info.filename, is_folder, info.file_size, done, partial(file.open, info), step)
            done += info.compress_size


def _is_tar(path: Path) -> bool:
    with _readable(path), path.open("rb") as raw, _open_tar(_Forwards(raw)):
        return True


def _tar_members(archive: Path, _: _Allowance) -> Generator[_Member, None, None]:
    """The members in their order; a list of all of them would decompress the archive once more."""
    with _readable(archive), archive.open("rb") as raw:
        stream = _Forwards(raw)
        with _open_tar(stream) as file:
            while (info := file.next()) is not None:
                file.members.clear()  # type: ignore[attr-defined]  # they would add up
                if not (info.isdir() or info.isreg()) or info.issparse():
                    raise _refusal(archive, info.name, "is a link, a device or a sparse file")
                yield _Member(info.name, info.isdir(), info.size, raw.tell(), partial(file.extractfile, info))
        stream.finish()


def _open_tar(stream: _Forwards) -> tarfile.TarFile:
    return tarfile.TarFile(fileobj=cast("IO[bytes]", stream), tarinfo=_Header)


class _Header(tarfile.TarInfo):
    """Reports the damage that tarfile takes for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> Self:
        try:
            header = super().fromtarfile(tarfile_)
        except tarfile.HeaderError as error:
            if type(error).__name__ == "EOFHeaderError":
                raise
            raise tarfile.ReadError(str(error)) from error
        if header.size < 0:
            raise tarfile.ReadError("negative size")
        return header


class _Forwards:
    """What tarfile reads: decompressed, only forwards, and never more than fits into memory."""

    def __init__(self, raw: IO[bytes]) -> None:
        head = raw.read(6)
        raw.seek(0)
        opener = next((opener for magic, opener in _OPENERS.items() if head.startswith(magic)), None)
        self._stream = cast("IO[bytes]", opener(raw)) if opener else raw
        self._position = 0

    def tell(self) -> int:
        return self._position

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _LONGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        content = self._stream.read(size)
        self._position += len(content)
        return content

    def seek(self, position: int) -> int:
        if position < self._position:  # in a loop without end, in versions of tarfile that follow negative sizes
            raise tarfile.ReadError("members overlap")
        while self._position < position and self.read(min(_STEP, position - self._position)):
            pass
        return self._position

    def finish(self) -> None:
        """Read to the end, where the checksum is; tarfile stops at the first empty header, or at a hole."""
        while content := self.read(_STEP):
            if content.strip(b"\0"):
                raise tarfile.ReadError("content after its end")


@contextmanager
def _readable(archive: Path) -> Iterator[None]:
    """Turn the ways in which ``archive`` cannot be read into a UserError."""
    try:
        yield
    except NotImplementedError as error:
        raise UserError(f"cannot unpack {archive} ({error}); unpack it by hand") from error
    except _UNREADABLE as error:
        if isinstance(error, OSError) and error.errno:
            raise UserError(f"cannot read {archive}: {error.strerror}; check the path") from error
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{archive} is damaged, incomplete or no archive ({reason}); download it again") from error


def _refusal(archive: Path, name: str, fault: str) -> UserError:
    return UserError(f"{archive} is refused: its member {name!r} {fault}; {_BY_HAND}")
