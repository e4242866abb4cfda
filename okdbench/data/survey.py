"""Looks through a folder for a data set's domains, decodes every picture, and compares with the official counts."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from textwrap import shorten

from okdbench.data.cache import undecodable
from okdbench.data.folders import FolderDataset
from okdbench.data.register import Entry, File
from okdbench.errors import UserError

#: how deep below the given folder a domain's folder may lie
DEPTH = 4
SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
#: characters of a difference that a record keeps
NOTE_LENGTH = 300

_Found = tuple[str, Path, str]  # official name, where it is, class


@dataclass
class Survey:
    """What was found of one domain: its entry, and where it differs from what is official, a line each."""

    domain: str
    entry: Entry
    differences: list[str] = field(default_factory=list)


def canonical(name: str) -> str:
    """A name without case, spaces and punctuation: ``Real World`` and ``real_world`` are one."""
    return re.sub(r"[\W_]", "", name).lower()


def find_domains(dataset: FolderDataset, folder: Path) -> dict[str, Path]:
    """The folder of each domain of ``dataset`` that lies at most ``DEPTH`` levels below ``folder``, or is it.

    Raises:
        UserError: there is none, or one domain lies there twice.
    """
    wanted = _spellings(dataset, dataset.all_domains)
    found: dict[str, Path] = {}
    for path in _folders(folder, DEPTH):
        domain = wanted.get(canonical(path.name))
        place = domain and _home(dataset, domain, path)
        if not domain or not place or any(place.is_relative_to(other) for other in found.values()):
            continue
        if domain in found:
            raise UserError(f"{domain} lies in {found[domain]} and in {place}; name the one that you mean")
        found[domain] = place
    if not found:
        names = ", ".join(dataset.all_domains)
        raise UserError(f"{folder} holds no folder of {dataset.name} with class folders in it; looked for: {names}")
    return {domain: found[domain] for domain in dataset.all_domains if domain in found}


def survey(dataset: FolderDataset, domain: str, folder: Path, advance: Callable[[int], None]) -> Survey:
    """Read every picture of ``domain`` in ``folder``; ``advance`` is told of each."""
    found, differences = _listed(dataset, domain, folder) if domain in dataset.lists else _sorted_in(dataset, folder)
    with ThreadPoolExecutor() as pool:
        read = []
        for file in pool.map(partial(_read, folder), found):
            advance(1)
            read.append(file)
    broken = [f"{file.path} ({reason})" for file, reason in read if reason]
    if broken:
        differences.append(f"{len(broken)} pictures cannot be decoded: {', '.join(broken)}")
    files = tuple(sorted(file for file, reason in read if not reason))
    differences += _counted(dataset, domain, files, len(broken))
    return Survey(
        domain, Entry(str(folder), files, "; ".join(shorten(text, NOTE_LENGTH) for text in differences)), differences
    )


def count_files(dataset: FolderDataset, domain: str, folder: Path) -> int:
    """How many pictures :func:`survey` will read."""
    return len((_listed(dataset, domain, folder) if domain in dataset.lists else _sorted_in(dataset, folder))[0])


def _spellings(dataset: FolderDataset, names: Sequence[str]) -> dict[str, str]:
    return {canonical(text): name for name in names for text in (name, *dataset.spellings.get(name, ()))}


def _folders(folder: Path, depth: int) -> Iterator[Path]:
    """``folder`` and those below it, outer ones first; links are not followed."""
    yield folder
    if depth:
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                yield from _folders(Path(entry.path), depth - 1)


def _home(dataset: FolderDataset, domain: str, folder: Path) -> Path | None:
    """``folder``, or ``images`` in it, when it holds class folders or the list of the domain."""
    if domain in dataset.lists:
        return folder if _list_file(dataset, domain, folder) else None
    classes = _spellings(dataset, dataset.classes)
    for place in (folder, *(folder / name for name in ("images", "Images") if (folder / name).is_dir())):
        if any(entry.is_dir() and canonical(entry.name) in classes for entry in os.scandir(place)):
            return place
    return None


def _sorted_in(dataset: FolderDataset, folder: Path) -> tuple[list[_Found], list[str]]:
    """The pictures in class folders, and which folders are missing or unknown."""
    classes = _spellings(dataset, dataset.classes)
    folders = [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith(".")]
    known = {path: classes[canonical(path.name)] for path in folders if canonical(path.name) in classes}
    found = [
        (f"{label}/{picture.relative_to(path).as_posix()}", picture, label)
        for path, label in known.items()
        for picture in _pictures(path)
    ]
    missing = [name for name in dataset.classes if name not in known.values()]
    extra = sorted(path.name for path in folders if path not in known)
    twice = [name for name, number in Counter(known.values()).items() if number > 1]
    differences = [f"{len(missing)} classes are missing: {', '.join(missing)}"] if missing else []
    if extra and not dataset.is_subset:
        differences.append(f"{len(extra)} folders are no classes of it: {', '.join(extra)}")
    if twice:
        raise UserError(f"{folder} has several folders for {', '.join(twice)}; leave one of each")
    return found, differences


def _pictures(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file():
            yield path


def _list_file(dataset: FolderDataset, domain: str, folder: Path) -> Path | None:
    names = dataset.lists[domain]
    return next((p for at in (folder, folder.parent) for name in names if (p := at / name).is_file()), None)


def _listed(dataset: FolderDataset, domain: str, folder: Path) -> tuple[list[_Found], list[str]]:
    """The pictures that the domain's list names: lines of a path and a class index."""
    file = _list_file(dataset, domain, folder)
    assert file is not None
    found = []
    for number, line in enumerate(file.read_text("utf-8", errors="replace").splitlines(), 1):
        match = re.fullmatch(r"\s*(\S.*?)\s+(\d+)\s*", line)
        if not match or int(match[2]) >= len(dataset.classes):
            raise UserError(f"{file} line {number} is not a path and a class index below {len(dataset.classes)}")
        name = match[1].removeprefix(f"{domain}/")
        found.append((name, folder / name, dataset.classes[int(match[2])]))
    absent = [name for name, path, _ in found if not path.is_file()]
    present = [item for item in found if item[1].is_file()]
    return present, [f"{len(absent)} pictures of {file.name} are missing: {', '.join(absent)}"] if absent else []


def _read(folder: Path, found: _Found) -> tuple[File, str]:
    """The picture's entry, and why it cannot be decoded, if so."""
    name, path, label = found
    try:
        content = path.read_bytes()
    except OSError as error:
        return File(name, str(path), label, 0, ""), (error.strerror or str(error)).lower()
    file = File(name, path.relative_to(folder).as_posix(), label, len(content), hashlib.sha256(content).hexdigest())
    return file, undecodable(content)


def _counted(dataset: FolderDataset, domain: str, files: Sequence[File], broken: int) -> list[str]:
    """The classes that are there in another number than the official one."""
    there = Counter(file.label for file in files)
    official = dataset.counts[domain]
    wrong = [f"{name} {there[name]} of {official[name]}" for name in official if 0 < there[name] != official[name]]
    beside = " besides" if broken else ""
    return [f"{len(wrong)} classes have another number of pictures{beside}: {', '.join(wrong)}"] if wrong else []
