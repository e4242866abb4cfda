"""The registered images of a domain on this machine: one JSON file per domain in ``<data root>/registered``."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from okdbench.core.errors import UserError
from okdbench.core.files import write_atomic


class ManifestEntry(NamedTuple):
    """One registered image file.

    Attributes:
        name: ``class/file`` in the official spelling, equal on every machine.
        path: location relative to the folder of the domain.
        label: name of the class.
        size: bytes.
        sha256: hash of the content in hexadecimal.
    """

    name: str
    path: str
    label: str
    size: int
    sha256: str


@dataclass(frozen=True)
class DomainManifest:
    """A domain as it was registered: its folder, its files, and how they differ from the official ones."""

    folder: str
    files: tuple[ManifestEntry, ...]
    note: str = ""

    @cached_property
    def digest(self) -> str:
        """SHA-256 of names, classes and contents, independent of where the folder is and how it is spelled."""
        # Sorted, because the order of files on the disk differs between machines.
        lines = sorted(f"{entry.name}\t{entry.label}\t{entry.sha256}\n" for entry in self.files)
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def manifest_file(name: str, domain: str, root: Path) -> Path:
    """Path of the manifest of a domain of data set ``name``; it may not exist."""
    return root / "registered" / name / f"{domain}.json"


def read_manifest(name: str, domain: str, root: Path) -> DomainManifest | None:
    """The manifest of a domain, or None when the domain is not registered.

    Raises:
        UserError: the manifest is damaged or cannot be read.
    """
    file = manifest_file(name, domain, root)
    # Not checked with exists() first: the file may be replaced by another process in between.
    try:
        content = json.loads(file.read_bytes())
        files = tuple(ManifestEntry(*values) for values in content["files"])
        return DomainManifest(content["folder"], files, content["note"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} cannot be read ({error}); run okdbench data add {name} PATH again") from error


def write_manifest(name: str, domain: str, root: Path, manifest: DomainManifest) -> None:
    """Register a domain; an earlier registration is replaced.

    Args:
        name: data set.
        domain: domain of the data set.
        root: the data folder.
        manifest: the folder and files to register.

    Raises:
        OSError: the file cannot be written.
    """
    # A tuple of a NamedTuple becomes a JSON list: the field names are not repeated for each of 280,000 images.
    write_atomic(manifest_file(name, domain, root), json.dumps(asdict(manifest)).encode())
