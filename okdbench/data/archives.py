"""Archives of images are unpacked completely or not at all, and never outside of the target folder."""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from okdbench.core.errors import UserError
from okdbench.core.files import writing
from okdbench.core.locks import Lock, if_free
from okdbench.data.archive_formats import Member, is_archive, members, readable
from okdbench.data.archive_safety import MAX_BYTES, UnpackLimits, is_junk, refusal, safe_path

__all__ = ["extract", "is_archive"]


def extract(
    archive: Path,
    target: Path,
    *,
    max_bytes: int = MAX_BYTES,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Unpack ``archive`` into the new folder ``target``, which afterwards has all files or does not exist.

    Only folders and regular files are made, with default permissions. Files left by file managers are skipped.

    Args:
        archive: a zip or (compressed) tar archive.
        target: a folder that does not exist.
        max_bytes: the most that may be written; it is counted while writing, because headers may be wrong.
        progress: called before every member and at the end with the number of archive bytes done and their total.

    Raises:
        UserError: ``target`` exists or cannot be written, or the archive is damaged, too large or unsafe.
    """
    if os.path.lexists(target):
        raise UserError(f"{target} exists already; delete it or choose another folder")
    with writing(target.parent, "--data-root"), _temporary_folder(target) as temporary:
        content = temporary / "content"
        content.mkdir()
        limits = UnpackLimits(archive, max_bytes, shutil.disk_usage(temporary).free)
        _unpack(archive, content, limits, progress or _no_progress)
        # One rename within a disk: no other process ever sees a part of the files.
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(content, target)


def _no_progress(done: int, total: int) -> None:
    """Ignore the progress."""


@contextmanager
def _temporary_folder(target: Path) -> Iterator[Path]:
    """A folder on the disk of ``target`` that is deleted afterwards, as are those of killed processes."""
    home = next(parent for parent in target.parents if parent.exists())
    for left in home.glob(f".{glob.escape(target.name)}.*.unpacking"):
        # It is not free while the process that made the folder is alive.
        with suppress(OSError), if_free(left / "lock") as free:
            if free:
                shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(".unpacking", f".{target.name}.", home))
    try:
        with Lock(folder / "lock"):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unpack(archive: Path, content: Path, limits: UnpackLimits, progress: Callable[[int, int], None]) -> None:
    """Write all members below ``content``."""
    with closing(members(archive, limits)) as found:
        total = archive.stat().st_size
        for member in found:
            limits.count_member()
            progress(min(member.done, total), total)
            path = safe_path(archive, member.name)
            if not is_junk(path):
                _write(archive, member, content / path, limits)
    if not limits.files:
        raise UserError(f"{archive} contains no files; check that it is the right archive, or download it again")
    progress(total, total)


def _write(archive: Path, member: Member, path: Path, limits: UnpackLimits) -> None:
    """Write one member, which must not exist yet."""
    folder = path if member.is_folder else path.parent
    try:
        # Mode "x" asks the file system itself, because it decides which names are equal (case, Unicode forms).
        folder.mkdir(parents=True, exist_ok=True)
        if member.is_folder:
            return
        file = path.open("xb")
    except (FileExistsError, NotADirectoryError) as error:
        raise refusal(archive, member.name, "appears twice, or as a file and as a folder") from error
    limits.files += 1
    with file:
        for chunk in _chunks(archive, member):
            limits.check(len(chunk))
            limits.written += len(chunk)
            file.write(chunk)


def _chunks(archive: Path, member: Member) -> Iterator[bytes]:
    """The content of a member; an error if its length differs from the header."""
    left = member.size
    with readable(archive):
        stream = member.open()
        assert stream is not None  # only links have none, and they are refused
        with stream:
            while chunk := stream.read(member.chunk):
                left -= len(chunk)
                yield chunk
        if left:
            raise EOFError(f"{member.name!r} has another length than its header says")
