"""Folders of data sets as they are published; every image is a link to one tiny file."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from okdbench import registry
from okdbench.data.folder_dataset import FolderDataset
from okdbench.data.manifest import read_manifest

#: real images and official lists; missing if only the project is checked out
SHARED = Path(__file__).parents[3] / "shared" / "data"
needs_lists = pytest.mark.skipif(not (SHARED / "lists").is_dir(), reason="the official lists are not on this machine")
needs_office = pytest.mark.skipif(not (SHARED / "office31-10class").is_dir(), reason="Office-31 is not on this machine")


#: fewer than the links that a file may have on common file systems
MOST_LINKS = 50_000


def grow(folder: Path, names: Iterable[str]) -> Path:
    """Make one small JPEG for each of the names."""
    seed = folder / "seed.bin"
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(seed, "JPEG")
    known: set[str] = set()
    for index, name in enumerate(names):
        if index % MOST_LINKS == 0:
            (fresh := folder / "fresh.bin").write_bytes(seed.read_bytes())
            fresh.replace(seed)
        parent = os.path.dirname(name)
        if parent not in known:
            (folder / parent).mkdir(parents=True, exist_ok=True)
            known.add(parent)
        os.link(seed, folder / name)
    seed.unlink()
    return folder


def official(counts: Mapping[str, Mapping[str, int]], spell: Any = str, between: str = "") -> list[str]:
    """The names of as many files as in ``counts``, with each domain and class spelled by ``spell``."""
    return [
        f"{spell(domain)}/{between}{spell(label)}/{index:05d}.jpg"
        for domain, classes in counts.items()
        for label, number in classes.items()
        for index in range(number)
    ]


def listed(name: str) -> list[tuple[str, int]]:
    """The paths and labels of an official list."""
    with gzip.open(SHARED / "lists" / f"{name}.tsv.gz", "rt") as file:
        return [(path, int(label)) for path, label in (line.rstrip("\n").split("\t") for line in file)]


def per_class(name: str) -> dict[str, int]:
    """The official count of each class."""
    counts: dict[str, int] = json.loads((SHARED / "lists" / "counts.json").read_text())[name]["per_class"]
    return counts


def shrunk(dataset: type[FolderDataset], monkeypatch: pytest.MonkeyPatch, number: int = 10) -> None:
    """Make ``number`` images of each class the official count, so that a complete copy is small."""
    small = {domain: dict.fromkeys(classes, number) for domain, classes in dataset.counts.items()}
    monkeypatch.setattr(dataset, "counts", small)


def published(name: str, folder: Path) -> Path:
    """A complete copy of Office-31, Office-Home or VisDA-2017, file by file."""
    dataset = registry.load_dataset(name)
    assert isinstance(dataset, FolderDataset)
    if name != "visda":
        return grow(folder, [path for domain in dataset.counts for path, _ in listed(f"{name}_{domain}")])
    grow(folder, official({"train": dataset.counts["train"]}))  # its official list is not available
    grow(folder, [path.removeprefix("VisDA/") for path, _ in listed("visda2017_validation")])
    names = listed("visda2017_test")
    grow(folder / "test", [path for path, _ in names])
    (folder / "test" / "image_list.txt").write_text("".join(f"{path} {label}\n" for path, label in names))
    return folder


def registered(root: Path, name: str = "pacs") -> dict[str, int]:
    """Domain -> number of registered images."""
    dataset = registry.load_dataset(name)
    assert isinstance(dataset, FolderDataset)
    entries = {domain: read_manifest(name, domain, root) for domain in dataset.all_domains}
    return {domain: len(entry.files) for domain, entry in entries.items() if entry}
