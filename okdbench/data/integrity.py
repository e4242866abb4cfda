"""Decodes every picture of a domain and compares what is there with the official counts."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from textwrap import shorten

from okdbench.data.decoding import undecodable
from okdbench.data.folder_dataset import FolderDataset
from okdbench.data.folder_scan import Picture, Place
from okdbench.data.manifest import DomainManifest, File

#: characters of a difference that a record keeps
NOTE_LENGTH = 300
#: pictures that are read at a time: this bounds the memory
BLOCK = 1024


@dataclass(frozen=True)
class Survey:
    """What was found of one domain: its entry, and where it differs from what is official, a line each."""

    domain: str
    entry: DomainManifest
    differences: tuple[str, ...]


def survey(dataset: FolderDataset, place: Place, advance: Callable[[int], None]) -> Survey:
    """Read every picture of ``place``; ``advance`` is told of each block."""
    read: list[tuple[File, str]] = []
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(place.pictures), BLOCK):
            block = place.pictures[start : start + BLOCK]
            read += pool.map(partial(_read, place.folder), block)
            advance(len(block))
    broken = [f"{file.path} ({reason})" for file, reason in read if reason]
    files = tuple(sorted(file for file, reason in read if not reason))
    lines = [*place.differences]
    if broken:
        lines.append(f"{len(broken)} pictures cannot be decoded: {', '.join(broken)}")
    lines += _counted(dataset, place.domain, files, len(broken))
    note = "; ".join(shorten(text, NOTE_LENGTH) for text in lines)
    return Survey(place.domain, DomainManifest(str(place.folder), files, note), tuple(lines))


def _read(folder: Path, picture: Picture) -> tuple[File, str]:
    """The picture's entry, and why it cannot be decoded, if so."""
    place = picture.path.relative_to(folder).as_posix()
    try:
        content = picture.path.read_bytes()
    except OSError as error:
        return File(picture.name, place, picture.label, 0, ""), (error.strerror or str(error)).lower()
    file = File(picture.name, place, picture.label, len(content), hashlib.sha256(content).hexdigest())
    return file, undecodable(content)


def _counted(dataset: FolderDataset, domain: str, files: Sequence[File], broken: int) -> list[str]:
    """The classes that are there in another number than the official one."""
    there = Counter(file.label for file in files)
    official = dataset.counts[domain]
    wrong = [f"{name} {there[name]} of {official[name]}" for name in official if 0 < there[name] != official[name]]
    beside = " besides" if broken else ""
    return [f"{len(wrong)} classes have another number of pictures{beside}: {', '.join(wrong)}"] if wrong else []
