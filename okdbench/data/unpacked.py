"""Archives of images that are unpacked below the data root, in folders that okdbench may delete again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from okdbench.core.errors import UserError
from okdbench.core.files import writing
from okdbench.core.progress import counter
from okdbench.data import archives

MB = 1_000_000
#: the folder of unpacked archives, below the data root
UNPACKED = "images"
#: is put beside what was unpacked here; a folder without it is never deleted
MARK = ".unpacked-by-okdbench"


def unpack(archive: Path, name: str, root: Path) -> Path:
    """The content of the archive, in a new folder beside a mark that okdbench may delete it.

    Args:
        archive: a zip or tar archive.
        name: the data set.
        root: the data folder.

    Raises:
        UserError: it is no archive, it is unsafe or damaged, or ``root`` cannot be written.
    """
    if not archives.is_archive(archive):
        raise UserError(f"{archive} is neither a folder nor a zip or tar archive")
    folder = new_folder(name, archive.name.partition(".")[0], root)
    try:
        with counter(f"unpacking {archive.name} (MB)", archive.stat().st_size // MB) as advance:
            archives.extract(archive, folder / "content", progress=in_megabytes(advance))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder / "content"


def new_folder(name: str, stem: str, root: Path) -> Path:
    """A new folder of a data set that okdbench may delete again.

    Args:
        name: the data set.
        stem: name of the folder; a number is added if it exists.
        root: the data folder.

    Raises:
        UserError: ``root`` cannot be written.
    """
    folder, number = root / UNPACKED / name / stem, 1
    while folder.exists():
        number += 1
        folder = folder.with_name(f"{stem}-{number}")
    with writing(root, "--data-root"):
        folder.mkdir(parents=True)
        (folder / MARK).touch()
    return folder


def unpacked_folders(name: str, root: Path) -> list[Path]:
    """The folders that :func:`new_folder` has made for a data set."""
    return sorted(mark.parent for mark in (root / UNPACKED / name).glob(f"*/{MARK}"))


def in_megabytes(advance: Callable[[int], None]) -> Callable[[int, int | None], None]:
    """A callback that takes the bytes so far, and passes on how many megabytes are new."""
    seen = 0

    def progress(done: int, _total: int | None) -> None:
        nonlocal seen
        advance(done // MB - seen)
        seen = done // MB

    return progress
