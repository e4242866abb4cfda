"""Finds the domains of a data set in a folder, however the folders are spelled, and lists their images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, NoReturn

from okdbench.core.errors import UserError, os_reason
from okdbench.data.folder_dataset import FolderDataset
from okdbench.data.image_files import canonical, class_folders, images_in
from okdbench.data.image_list import list_files, read_labels

#: maximal depth of a domain's folder below the given one
DEPTH = 4


class ScannedImage(NamedTuple):
    """An image file, its class, and its name ``class/file`` in the official spelling."""

    name: str
    path: Path
    label: str


@dataclass
class DomainScan:
    """The folder of a domain, its image files, and which folders or files are missing or unexpected."""

    domain: str
    folder: Path
    images: list[ScannedImage]
    differences: list[str] = field(default_factory=list)


def find_domains(
    dataset: FolderDataset, folder: Path, domain: str | None = None, none_is_fine: bool = False
) -> list[DomainScan]:
    """The domains of ``dataset`` in ``folder`` itself or at most ``DEPTH`` levels below it.

    Args:
        dataset: which data set it is.
        folder: where to look.
        domain: the one domain whose folder this is, whatever its name, or that has a folder of its name in it; None to
            go by the names.
        none_is_fine: whether a folder without any domain is no error.

    Raises:
        UserError: there is no domain, one is there twice, or a folder cannot be read.
    """
    try:
        found = _one(dataset, folder, domain) if domain else _by_name(dataset, folder)
        scans = [scan_domain(dataset, name, found[name]) for name in dataset.all_domains if name in found]
    except OSError as error:
        raise UserError(
            f"cannot read {error.filename or folder}: {os_reason(error)}; fix that, or name another folder"
        ) from error
    if not scans and not none_is_fine:
        _refuse(dataset, folder)
    return scans


def _one(dataset: FolderDataset, folder: Path, domain: str) -> dict[str, Path]:
    inner = folder / domain
    home = _home(dataset, domain, inner if inner.is_dir() else folder)
    return {domain: home} if home else {}


def _by_name(dataset: FolderDataset, folder: Path) -> dict[str, Path]:
    wanted = _spellings(dataset, dataset.all_domains)
    found: dict[str, Path] = {}
    for path in _folders(folder, DEPTH, set()):
        domain = wanted.get(canonical(path.name))
        home = domain and _home(dataset, domain, path)
        # A class may have the name of a domain: a folder inside of a domain is never a domain.
        if not domain or not home or any(home.is_relative_to(other) for other in found.values()):
            continue
        if domain in found:
            raise UserError(f"{domain} is in {found[domain]} and in {home}; name the folder that you mean")
        found[domain] = home
    return found


def _refuse(dataset: FolderDataset, folder: Path) -> NoReturn:
    files = [name for source in dataset.arrays.values() for name in source.names]
    published = f" and none of the files {', '.join(dict.fromkeys(files))}" if files else ""
    raise UserError(
        f"{folder} has no domain of {dataset.name} with class folders in it{published}; name the folder of a domain, "
        f"which must be called {', '.join(dataset.all_domains)}, or a folder above it"
    )


def scan_domain(dataset: FolderDataset, domain: str, folder: Path) -> DomainScan:
    """List the images of ``domain`` in its folder.

    Raises:
        UserError: a class has two folders, or the list file of the domain is invalid.
        OSError: a folder cannot be read.
    """
    if domain in dataset.unlabelled:
        images = [ScannedImage(path.relative_to(folder).as_posix(), path, "") for path in images_in(folder)]
        return DomainScan(domain, folder, images)
    return (_scan_list if domain in dataset.lists else _scan_classes)(dataset, domain, folder)


def _spellings(dataset: FolderDataset, names: Sequence[str]) -> dict[str, str]:
    """Canonical form of each spelling -> official name."""
    return {canonical(text): name for name in names for text in (name, *dataset.spellings.get(name, ()))}


def _folders(folder: Path, depth: int, seen: set[Path]) -> Iterator[Path]:
    """``folder`` and all below it, outer ones first, each once even if several links lead to it."""
    # A link to a parent folder would otherwise be followed down to DEPTH again and again.
    if folder.resolve() in seen:
        return
    seen.add(folder.resolve())
    yield folder
    for inner in class_folders(folder) if depth else ():
        yield from _folders(inner, depth - 1, seen)


def _home(dataset: FolderDataset, domain: str, folder: Path) -> Path | None:
    """The folder with the images of ``domain``: ``folder`` or its sub-folder ``images``; None if it has none."""
    if domain in dataset.unlabelled:
        return folder if any(images_in(folder)) else None
    if domain in dataset.lists:
        return folder if list_files(dataset, domain, folder) else None
    classes = _spellings(dataset, dataset.classes)
    # Office-31 is published as amazon/images/back_pack/...
    homes = [folder, *(inner for inner in class_folders(folder) if inner.name.lower() == "images")]
    counts = {home: sum(canonical(inner.name) in classes for inner in class_folders(home)) for home in homes}
    best = max(homes, key=lambda home: counts[home])
    return best if counts[best] else None


def _scan_classes(dataset: FolderDataset, domain: str, folder: Path) -> DomainScan:
    """The images in class folders, and which class folders are missing or unknown."""
    classes, folders = _spellings(dataset, dataset.classes), class_folders(folder)
    known = {path: classes[canonical(path.name)] for path in folders if canonical(path.name) in classes}
    twice = [name for name, number in Counter(known.values()).items() if number > 1]
    if twice:
        raise UserError(f"{folder} has several folders for {', '.join(twice)}; keep one for each class")
    found = [
        ScannedImage(f"{label}/{image.relative_to(path).as_posix()}", image, label)
        for path, label in known.items()
        for image in images_in(path)
    ]
    scan = DomainScan(domain, folder, found)
    missing = [name for name in dataset.classes if name not in known.values()]
    if missing:
        scan.differences.append(f"{len(missing)} classes are missing: {', '.join(missing)}")
    # A subset of a data set is often taken from a copy of the whole, which has more class folders.
    extra = [path.name for path in folders if path not in known]
    if extra and not dataset.is_subset:
        scan.differences.append(f"{len(extra)} folders are not classes of it: {', '.join(extra)}")
    return scan


def _scan_list(dataset: FolderDataset, domain: str, folder: Path) -> DomainScan:
    """The images in the list file of the domain, and which of them are missing."""
    file, labels = read_labels(dataset, domain, folder)
    found = [ScannedImage(path, folder / path, dataset.classes[label]) for path, label in labels.items()]
    absent = [image.name for image in found if not image.path.is_file()]
    differences = [f"{len(absent)} images of {file.name} are missing: {', '.join(absent)}"] if absent else []
    return DomainScan(domain, folder, [image for image in found if image.path.is_file()], differences)
