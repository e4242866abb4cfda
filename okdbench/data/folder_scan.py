"""Finds the domains of a data set in a folder, however the folders are spelt, and lists the pictures in them."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from okdbench.core.errors import UserError
from okdbench.data.folder_dataset import FolderDataset

#: how deep below the given folder a domain's folder may lie
DEPTH = 4
SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}


class Picture(NamedTuple):
    """A file, its class and its name ``class/file`` in the official spelling."""

    name: str
    path: Path
    label: str


@dataclass
class Place:
    """Where a domain was found, the pictures there, and what folders or files are too many or too few."""

    domain: str
    folder: Path
    pictures: list[Picture]
    differences: list[str] = field(default_factory=list)


def canonical(name: str) -> str:
    """A name without case, spaces, punctuation and leading number: ``Real World`` and ``003.real_world`` are one."""
    return re.sub(r"[\W_]", "", re.sub(r"^\d+\.", "", name)).lower()


def find_domains(dataset: FolderDataset, folder: Path) -> list[Place]:
    """The domains of ``dataset`` that lie at most ``DEPTH`` levels below ``folder``, or that are it.

    Raises:
        UserError: there is none, one lies there twice, or a folder cannot be read.
    """
    wanted = _spellings(dataset, dataset.all_domains)
    found: dict[str, Path] = {}
    try:
        for path in _folders(folder, DEPTH, set()):
            domain = wanted.get(canonical(path.name))
            place = domain and _home(dataset, domain, path)
            if not domain or not place or any(place.is_relative_to(other) for other in found.values()):
                continue
            if domain in found:
                raise UserError(f"{domain} lies in {found[domain]} and in {place}; name the one that you mean")
            found[domain] = place
        places = [list_pictures(dataset, domain, found[domain]) for domain in dataset.all_domains if domain in found]
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"cannot read {error.filename or folder}: {reason}; change that, or name another") from error
    if not places:
        names = ", ".join(dataset.all_domains)
        raise UserError(
            f"{folder} holds no folder of {dataset.name} with class folders in it; it must be called {names} or lie "
            f"above folders that are"
        )
    return places


def list_pictures(dataset: FolderDataset, domain: str, folder: Path) -> Place:
    """The pictures of ``domain`` in its folder."""
    return (_listed if domain in dataset.lists else _sorted)(dataset, domain, folder)


def pictures_in(folder: Path) -> Iterator[Path]:
    """All picture files below ``folder`` but hidden ones, in order."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file():
            yield path


def class_folders(folder: Path) -> list[Path]:
    """The folders in ``folder`` that are not hidden, in order."""
    entries = [entry for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith(".")]
    return sorted(Path(entry.path) for entry in entries)


def _spellings(dataset: FolderDataset, names: Sequence[str]) -> dict[str, str]:
    return {canonical(text): name for name in names for text in (name, *dataset.spellings.get(name, ()))}


def _folders(folder: Path, depth: int, seen: set[Path]) -> Iterator[Path]:
    """``folder`` and those below it, outer ones first, each once, however many links lead to it."""
    if folder.resolve() in seen:
        return
    seen.add(folder.resolve())
    yield folder
    for inner in class_folders(folder) if depth else ():
        yield from _folders(inner, depth - 1, seen)


def _home(dataset: FolderDataset, domain: str, folder: Path) -> Path | None:
    """``folder``, or ``images`` in it: the one with more class folders, or with the list of the domain."""
    if domain in dataset.lists:
        return folder if _list_files(dataset, domain, folder) else None
    classes = _spellings(dataset, dataset.classes)
    places = [folder, *(inner for inner in class_folders(folder) if inner.name.lower() == "images")]
    held = {place: sum(canonical(inner.name) in classes for inner in class_folders(place)) for place in places}
    best = max(places, key=lambda place: held[place])
    return best if held[best] else None


def _sorted(dataset: FolderDataset, domain: str, folder: Path) -> Place:
    """The pictures in class folders, and which folders are missing or unknown."""
    classes, folders = _spellings(dataset, dataset.classes), class_folders(folder)
    known = {path: classes[canonical(path.name)] for path in folders if canonical(path.name) in classes}
    twice = [name for name, number in Counter(known.values()).items() if number > 1]
    if twice:
        raise UserError(f"{folder} has several folders for {', '.join(twice)}; leave one of each")
    found = [
        Picture(f"{label}/{picture.relative_to(path).as_posix()}", picture, label)
        for path, label in known.items()
        for picture in pictures_in(path)
    ]
    place = Place(domain, folder, found)
    missing = [name for name in dataset.classes if name not in known.values()]
    if missing:
        place.differences.append(f"{len(missing)} classes are missing: {', '.join(missing)}")
    extra = [path.name for path in folders if path not in known]
    if extra and not dataset.is_subset:
        place.differences.append(f"{len(extra)} folders are no classes of it: {', '.join(extra)}")
    return place


def _list_files(dataset: FolderDataset, domain: str, folder: Path) -> list[Path]:
    return [p for at in (folder, folder.parent) for name in dataset.lists[domain] if (p := at / name).is_file()]


def _listed(dataset: FolderDataset, domain: str, folder: Path) -> Place:
    """The pictures that the domain's list names; of several lists the first that has labels."""
    errors = []
    for file in _list_files(dataset, domain, folder):
        try:
            named = _read_list(file, len(dataset.classes))
        except UserError as error:
            errors.append(error)
            continue
        found = [
            Picture(name, folder / name, dataset.classes[label])
            for name, label in ((path.removeprefix(f"{domain}/"), label) for path, label in named.items())
        ]
        absent = [picture.name for picture in found if not picture.path.is_file()]
        lines = [f"{len(absent)} pictures of {file.name} are missing: {', '.join(absent)}"] if absent else []
        return Place(domain, folder, [picture for picture in found if picture.path.is_file()], lines)
    raise errors[0]


def _read_list(file: Path, classes: int) -> dict[str, int]:
    """Path -> class index, of a text file with a line for each picture."""
    named: dict[str, int] = {}
    for number, line in enumerate(file.read_text("utf-8", errors="replace").splitlines(), 1):
        match = re.fullmatch(r"\s*(\S.*?)\s+(\d+)\s*", line)
        if not match or int(match[2]) >= classes:
            raise UserError(f"{file} line {number} is not a path and a class index below {classes}")
        path = PurePosixPath(match[1])
        if path.is_absolute() or ".." in path.parts or str(path) in named:
            raise UserError(f"{file} line {number} names {match[1]!r}, which is outside of its folder or there already")
        named[str(path)] = int(match[2])
    return named
