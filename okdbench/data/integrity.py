"""Decodes every image of a domain and compares the domain with the official counts."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from textwrap import shorten

from okdbench.core.errors import os_reason
from okdbench.data.decoding import decoding_error, decoding_pool
from okdbench.data.folder_dataset import FolderDataset
from okdbench.data.folder_scan import DomainScan, ScannedImage
from okdbench.data.manifest import DomainManifest, ManifestEntry

#: characters of a difference that a record keeps
NOTE_LENGTH = 300
#: images that are read at a time; this bounds the memory
BLOCK = 1024


@dataclass(frozen=True)
class IntegrityReport:
    """The manifest of a domain as it is on the disk, and its differences from the official one, a line each."""

    domain: str
    manifest: DomainManifest
    differences: tuple[str, ...]


def check_integrity(dataset: FolderDataset, scan: DomainScan, advance: Callable[[int], None]) -> IntegrityReport:
    """Read and decode every image of ``scan``; ``advance`` is called with the size of each block."""
    files, broken = read_all(scan.folder, scan.images, advance)
    differences = [*scan.differences]
    if broken:
        differences.append(f"{len(broken)} images cannot be decoded: {', '.join(broken)}")
    differences += _wrong_counts(dataset, scan.domain, files, len(broken))
    # The user sees every file; the manifest and the records keep the beginning of each line.
    note = "; ".join(shorten(text, NOTE_LENGTH) for text in differences)
    return IntegrityReport(scan.domain, DomainManifest(str(scan.folder), files, note), tuple(differences))


def read_all(
    folder: Path, images: Sequence[ScannedImage], advance: Callable[[int], None]
) -> tuple[tuple[ManifestEntry, ...], list[str]]:
    """Read and decode images of a folder.

    Args:
        folder: which the entries are relative to.
        images: in it, or elsewhere.
        advance: called with the size of each block.

    Returns:
        The entries of the images in sorted order, and the name of each that cannot be decoded, with the reason.
    """
    checked: list[tuple[ManifestEntry, str]] = []
    with decoding_pool() as pool:
        for start in range(0, len(images), BLOCK):
            block = images[start : start + BLOCK]
            checked += pool.map(partial(_check, folder), block)
            advance(len(block))
    broken = [f"{entry.path} ({reason})" for entry, reason in checked if reason]
    return tuple(sorted(entry for entry, reason in checked if not reason)), broken


def _check(folder: Path, image: ScannedImage) -> tuple[ManifestEntry, str]:
    """The entry of the image, and why it cannot be decoded; empty if it can."""
    path = Path(os.path.relpath(image.path, folder)).as_posix()  # a list of the user may be beside its images
    try:
        content = image.path.read_bytes()
    except OSError as error:
        return ManifestEntry(image.name, path, image.label, 0, ""), os_reason(error)
    entry = ManifestEntry(image.name, path, image.label, len(content), hashlib.sha256(content).hexdigest())
    return entry, decoding_error(content)


def _wrong_counts(dataset: FolderDataset, domain: str, files: Sequence[ManifestEntry], broken: int) -> list[str]:
    """A line about the numbers of images that are not the official ones, if there are any."""
    counts = Counter(entry.label for entry in files)
    official = dataset.counts[domain]
    if domain in dataset.unlabelled:
        number, others = len(files), official.get("", len(files))
        return [f"{number} images instead of {others}"] if number != others else []
    # A class without any image is reported once, as missing.
    wrong = [f"{name} {counts[name]} of {official[name]}" for name in official if 0 < counts[name] != official[name]]
    besides = " besides" if broken else ""
    return [f"{len(wrong)} classes have a different number of images{besides}: {', '.join(wrong)}"] if wrong else []
