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


def visda(folder: Path) -> Path:
    """VisDA with a labelled list of the test images in place of class folders."""
    counts = {domain: VISDA.counts[domain] for domain in ("train", "validation")}
    grow(folder, official(counts))
    names = [(f"trunk{i % 3:02d}/{i:032x}.jpg", i % 12) for i in range(120)]
    grow(folder / "test", [name for name, _ in names])
    (folder / "test" / "image_list.txt").write_text("".join(f"{name} {label}\n" for name, label in names))
    return folder


def pack(folder: Path, kind: str) -> Path:
    """All of ``folder`` in an archive beside it."""
    archive = folder.with_name(f"{folder.name}.{kind}")
    if kind == "zip":
        return Path(shutil.make_archive(str(folder), "zip", folder))
    with tarfile.open(archive, "w:gz" if kind == "tar.gz" else "w", dereference=True) as tar:
        tar.add(folder, "./")
    return archive
