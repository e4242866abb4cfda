"""Reads the members of zip and (compressed) tar archives one after the other, whatever the archive's name."""

from __future__ import annotations

import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from okdbench.core.errors import UserError, one_line
from okdbench.data.archive_safety import CHUNK_BYTES, UnpackLimits, refusal
from okdbench.data.strict_tar import ForwardStream, open_tar

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")

#: Exceptions of the standard library for files that are truncated, damaged or not archives.
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


@dataclass(frozen=True)
class Member:
    """A file or folder of an archive.

    Attributes:
        name: path in the archive, not yet checked.
        is_folder: whether it is a folder.
        size: bytes of the content according to the header.
        done: bytes of the archive before this member.
        open: opens the content.
        chunk: bytes to read at a time.
    """

    name: str
    is_folder: bool
    size: int
    done: int
    open: Callable[[], IO[bytes] | None]
    chunk: int = CHUNK_BYTES


@contextmanager
def readable(archive: Path) -> Iterator[None]:
    """Turn the exceptions for an archive that cannot be read into one.

    Raises:
        UserError: the archive is damaged, incomplete or of another kind.
    """
    try:
        yield
    except NotImplementedError as error:
        raise UserError(f"cannot unpack {archive} ({error}); unpack it by hand") from error
    except _UNREADABLE as error:
        if isinstance(error, OSError) and error.errno:
            raise UserError(f"cannot read {archive}: {error.strerror}; check the path") from error
        reason = one_line(error)
        raise UserError(f"{archive} is damaged, incomplete or not an archive ({reason}); download it again") from error


def is_archive(path: Path) -> bool:
    """Whether the content of ``path`` starts like a zip or (compressed) tar archive; it may still be damaged."""
    try:
        return path.is_file() and (_is_zip(path) or _is_tar(path))
    except UserError:
        return False


def members(archive: Path, limits: UnpackLimits) -> Generator[Member, None, None]:
    """The members of ``archive`` in the order of their bytes.

    Raises:
        UserError: the archive is damaged or encrypted, or a member is neither a file nor a folder.
    """
    return _zip_members(archive, limits) if _is_zip(archive) else _tar_members(archive)


# zip


def _is_zip(path: Path) -> bool:
    # Not zipfile.is_zipfile, which looks at the end: an image or a tar archive may end in a zip archive.
    with readable(path), path.open("rb") as file:
        return file.read(4) in _ZIP


def _zip_members(archive: Path, limits: UnpackLimits) -> Generator[Member, None, None]:
    done = 0
    with readable(archive), zipfile.ZipFile(archive) as file:
        # An honest archive that is too large is refused before anything is written.
        limits.check(sum(info.file_size for info in file.infolist()))
        for info in file.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise refusal(archive, info.filename, "is a link or a device")
            if info.flag_bits & 0x41:
                raise UserError(f"{archive} is encrypted; unpack it by hand")
            is_folder = kind == stat.S_IFDIR or info.filename.endswith(("/", "\\"))
            # Other compressions: zipfile decompresses all that it has read at once, so it must read little.
            chunk = CHUNK_BYTES if info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) else 2**12
            yield Member(info.filename, is_folder, info.file_size, done, partial(file.open, info), chunk)
            done += info.compress_size


# tar


def _is_tar(path: Path) -> bool:
    with readable(path), path.open("rb") as raw, open_tar(ForwardStream(raw)):
        return True


def _tar_members(archive: Path) -> Generator[Member, None, None]:
    with readable(archive), archive.open("rb") as raw:
        stream = ForwardStream(raw)
        with open_tar(stream) as file:
            # Not getmembers(): a list of all members decompresses the whole archive once more.
            while (info := file.next()) is not None:
                file.members.clear()  # type: ignore[attr-defined]  # tarfile keeps every member in memory
                if not (info.isdir() or info.isreg()) or info.issparse():
                    raise refusal(archive, info.name, "is a link, a device or a sparse file")
                yield Member(info.name, info.isdir(), info.size, raw.tell(), partial(file.extractfile, info))
        stream.finish()
