"""Domains without class folders: a text file gives the path and the class index of each image."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from okdbench.core.errors import UserError
from okdbench.data.folder_dataset import FolderDataset


def list_files(dataset: FolderDataset, domain: str, folder: Path) -> list[Path]:
    """The list files of ``domain`` that exist in ``folder`` or beside it."""
    return [p for at in (folder, folder.parent) for name in dataset.lists[domain] if (p := at / name).is_file()]


def read_labels(dataset: FolderDataset, domain: str, folder: Path) -> tuple[Path, dict[str, int]]:
    """The first list file of ``domain`` that has labels, and its content: relative path -> class index.

    Raises:
        UserError: no list has a class index in each line, or a line names a file outside of the folder.
    """
    errors = []
    # The test images of a challenge are published twice: as a list without labels, and later with them.
    for file in list_files(dataset, domain, folder):
        try:
            return file, _parse(file, domain, len(dataset.classes))
        except UserError as error:
            errors.append(error)
    raise errors[0]


def _parse(file: Path, domain: str, classes: int) -> dict[str, int]:
    labels: dict[str, int] = {}
    for number, line in enumerate(file.read_text("utf-8", errors="replace").splitlines(), 1):
        # A path may contain spaces, so the class index is the last word of the line.
        match = re.fullmatch(r"\s*(\S.*?)\s+(\d+)\s*", line)
        if not match or int(match[2]) >= classes:
            raise UserError(f"{file} line {number} is not a path and a class index below {classes}; correct it")
        path = PurePosixPath(match[1].removeprefix(f"{domain}/"))
        if path.is_absolute() or ".." in path.parts or str(path) in labels:
            raise UserError(f"{file} line {number} names {match[1]!r}, which is outside of its folder or a duplicate")
        labels[str(path)] = int(match[2])
    return labels
