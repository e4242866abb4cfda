"""Makes folders of image files of domains that are published as arrays; then they are images like all others."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from okdbench.core.files import writing
from okdbench.core.progress import counter
from okdbench.data.array_formats import Arrays, read_arrays
from okdbench.data.folder_dataset import FolderDataset
from okdbench.data.image_files import canonical
from okdbench.data.unpacked import new_folder

#: domain -> its files, in the order in which the data set declares them
Found = Mapping[str, Sequence[Path]]


def is_array_file(dataset: FolderDataset, file: Path) -> bool:
    """Whether the file has the name of one of the data set's files of arrays."""
    return any(canonical(name) == _stem(file.name) for source in dataset.arrays.values() for name in source.names)


def find_arrays(dataset: FolderDataset, folder: Path, domain: str | None = None) -> Found:
    """The domains of which all files of arrays are in ``folder``, or in one below it.

    Args:
        dataset: which data set it is.
        folder: where to look.
        domain: the only one to look for.
    """
    places: dict[Path, dict[str, Path]] = {}
    for file in sorted(folder.rglob("*")):
        if not file.name.startswith(".") and file.is_file():
            places.setdefault(file.parent, {})[_stem(file.name)] = file
    found: dict[str, list[Path]] = {}
    for place, files in places.items():
        by_names: dict[tuple[str, ...], list[str]] = {}
        for name, source in dataset.arrays.items():
            stems = tuple(canonical(text) for text in source.names)
            if domain in (None, name) and all(stem in files for stem in stems):
                by_names.setdefault(stems, []).append(name)
        for stems, domains in by_names.items():
            found.setdefault(_named(dataset, place, domains), [files[stem] for stem in stems])
    return found


def make_folders(dataset: FolderDataset, found: Found, root: Path) -> Path:
    """A file for each image, in a new folder with one for each domain, and in these one for each class.

    Raises:
        UserError: a file is damaged, or ``root`` cannot be written.
    """
    folder = new_folder(dataset.name, "arrays", root)
    try:
        for domain, files in found.items():
            arrays = read_arrays(dataset.arrays[domain].form, files)
            with writing(root, "--data-root"):
                _write(dataset, domain, arrays, folder / "content" / domain)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder / "content"


def _stem(name: str) -> str:
    """The canonical name without the ending of a compressed file."""
    return canonical(name.removesuffix(".gz").removesuffix(".bz2"))


def _named(dataset: FolderDataset, place: Path, domains: Sequence[str]) -> str:
    """Of domains whose files have equal names, such as MNIST's and Fashion-MNIST's, the one that a folder names."""
    for folder in (place, *place.parents):
        for domain in domains:
            if canonical(folder.name) in {canonical(text) for text in (domain, *dataset.spellings.get(domain, ()))}:
                return domain
    return domains[0]


def _write(dataset: FolderDataset, domain: str, arrays: Arrays, folder: Path) -> None:
    """One file for each image, numbered in the order of the arrays."""
    images, labels = arrays
    classes = [""] if domain in dataset.unlabelled else dataset.classes
    for name in classes:
        (folder / name).mkdir(parents=True)

    def save(index: int) -> None:
        label = classes[labels[index]] if len(classes) > 1 else ""
        # BMP has the same bytes everywhere; those of PNG depend on the library that compresses them.
        Image.fromarray(np.ascontiguousarray(images[index])).save(folder / label / f"{index:06d}.bmp")

    with ThreadPoolExecutor() as pool, counter(f"unpacking {domain}", len(images)) as advance:
        for _ in pool.map(save, range(len(images))):
            advance(1)
