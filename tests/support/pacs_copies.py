"""Copies of PACS with ten images of each class, as folders and as archives."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest

from okdbench import registry
from support.dataset_trees import grow, official, shrunk

PACS = type(registry.load_dataset("pacs"))
VISDA = type(registry.load_dataset("visda"))


def ten_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ten images of each class the official count of PACS and VisDA."""
    for dataset in (PACS, VISDA):
        shrunk(dataset, monkeypatch)


def pacs(folder: Path, **changes: object) -> Path:
    return grow(folder, official(PACS.counts, **changes))


def pack(folder: Path, kind: str) -> Path:
    """All of ``folder`` in an archive beside it."""
    archive = folder.with_name(f"{folder.name}.{kind}")
    if kind == "zip":
        return Path(shutil.make_archive(str(folder), "zip", folder))
    with tarfile.open(archive, "w:gz" if kind == "tar.gz" else "w", dereference=True) as tar:
        tar.add(folder, "./")
    return archive
