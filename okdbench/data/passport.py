"""Reads registered images again: what changed since, and which images are there twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from okdbench.core.errors import UserError
from okdbench.core.progress import counter
from okdbench.data.folder_dataset import FolderDataset
from okdbench.data.folder_scan import scan_domain
from okdbench.data.integrity import check_integrity
from okdbench.data.manifest import DomainManifest, read_manifest


class Passport(NamedTuple):
    """The registered domains, and in each the files that are gone, new or changed since."""

    entries: dict[str, DomainManifest]
    changed: dict[str, list[str]]


def inspect(dataset: FolderDataset, root: Path) -> Passport:
    """Read all registered images of ``dataset`` again.

    Raises:
        UserError: nothing is registered.
    """
    root = root.resolve()
    entries = {domain: entry for domain in dataset.all_domains if (entry := read_manifest(dataset.name, domain, root))}
    if not entries:
        raise UserError(dataset.missing(dataset.all_domains[0], root))
    return Passport(entries, {domain: _changed(dataset, domain, entry) for domain, entry in entries.items()})


def duplicates(entries: Mapping[str, DomainManifest]) -> dict[tuple[str, str], int]:
    """Two domains -> images of the first with the bytes of one in the second; a domain with itself: all but one."""
    contents = {domain: Counter(file.sha256 for file in entry.files) for domain, entry in entries.items()}
    found: dict[tuple[str, str], int] = {}
    for index, (domain, own) in enumerate(contents.items()):
        found[domain, domain] = sum(number - 1 for number in own.values())
        for other in list(contents)[index + 1 :]:
            found[domain, other] = sum((own & contents[other]).values())
    return found


def contradictions(entries: Mapping[str, DomainManifest]) -> list[str]:
    """The images with the bytes of one that is in another class, those of one content beside each other."""
    files: dict[str, dict[str, str]] = {}
    for domain, entry in entries.items():
        for file in entry.files:
            if file.label:
                files.setdefault(file.sha256, {})[f"{domain}/{file.name}"] = file.label
    return [name for labels in files.values() if len(set(labels.values())) > 1 for name in labels]


def _changed(dataset: FolderDataset, domain: str, entry: DomainManifest) -> list[str]:
    """The files that are gone, new or changed since they were registered."""
    if not Path(entry.folder).is_dir():
        return [file.name for file in entry.files]
    scan = scan_domain(dataset, domain, Path(entry.folder))
    with counter(f"reading {dataset.name} {domain}", len(scan.images)) as advance:
        now = check_integrity(dataset, scan, advance).manifest
    return sorted({file.name for file in set(now.files) ^ set(entry.files)})
