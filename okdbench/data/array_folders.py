"""Makes folders of image files of domains that are published as arrays; then they are images like all others."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from okdbench.core.errors import UserError
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
        domain: the only one to look for, whatever the folder is called.

    Raises:
        UserError: a domain is there twice.
    """
    found: dict[str, list[Path]] = {}
    for place in _places(folder) if dataset.arrays else ():
        files = {_stem(file.name): file for file in sorted(place.iterdir()) if file.is_file()}
        for name, source in dataset.arrays.items():
            stems = [canonical(text) for text in source.names]
            if not all(stem in files for stem in stems) or not (
                domain == name if domain else _belongs(dataset, name, place)
            ):
                continue
            if name in found:
                raise UserError(f"{name} is in {found[name][0].parent} and in {place}; name the folder that you mean")
            found[name] = [files[stem] for stem in stems]
    return found


def _places(folder: Path) -> list[Path]:
    return [folder, *sorted(path for path in folder.rglob("*") if path.is_dir() and not path.name.startswith("."))]


def _belongs(dataset: FolderDataset, domain: str, place: Path) -> bool:
    """Whether files of equal names in a folder are those of this domain: the nearest folder that names a set tells it.

    Where none does, they are those of the first domain that is declared with these names.
    """
    source = dataset.arrays[domain]
    family = next((name for name, test in dataset.official_tests.items() if test == domain), domain)
    own = {canonical(text) for name in (domain, family) for text in (name, *dataset.spellings.get(name, ()))}
    for folder in (place, *place.parents):
        if canonical(folder.name) in own:
            return True
        if canonical(folder.name) in source.lookalikes:
            return False
    return domain == next(name for name, other in dataset.arrays.items() if other.names == source.names)


def make_folders(dataset: FolderDataset, found: Found, root: Path) -> Path:
    """A file for each image, in a new folder with one for each domain, and in these one for each class.

    Raises:
        UserError: a file is damaged, or ``root`` cannot be written.
    """
    folder = new_folder(dataset.name, "arrays", root)
    try:
        for domain, files in found.items():
            classes = 0 if domain in dataset.unlabelled else len(dataset.classes)
            arrays = read_arrays(dataset.arrays[domain].form, files, classes)
            with writing(root, "--data-root"):
                _write(dataset, domain, arrays, folder / "content" / domain)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder / "content"


def _stem(name: str) -> str:
    """The canonical name without the ending of a compressed file."""
    return canonical(name.removesuffix(".gz").removesuffix(".bz2"))


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
