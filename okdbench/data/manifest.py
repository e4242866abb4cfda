"""What is known of the pictures on this machine: one file for each domain of a data set, below ``root/registered``."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from okdbench.core.errors import UserError
from okdbench.core.files import write_atomic


class File(NamedTuple):
    """One picture.

    ``name`` is ``class/file`` in the official spelling, the same on every machine; ``path`` is where it is below the
    domain's folder; ``size`` is in bytes and ``sha256`` that of the content.
    """

    name: str
    path: str
    label: str
    size: int
    sha256: str


@dataclass(frozen=True)
class DomainManifest:
    """A domain as it was found: its folder, the files in it, and what differs from the official ones."""

    folder: str
    files: tuple[File, ...]
    note: str = ""

    @cached_property
    def digest(self) -> str:
        """SHA-256 of names, classes and contents, wherever the folder is and however it is spelt."""
        lines = sorted(f"{file.name}\t{file.label}\t{file.sha256}\n" for file in self.files)
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def manifest_file(name: str, domain: str, root: Path) -> Path:
    """Where the entry of a domain is kept."""
    return root / "registered" / name / f"{domain}.json"


def read_manifest(name: str, domain: str, root: Path) -> DomainManifest | None:
    """What is registered of a domain, or None.

    Raises:
        UserError: the entry is damaged.
    """
    file = manifest_file(name, domain, root)
    try:
        content = json.loads(file.read_bytes())
        files = tuple(File(*values) for values in content["files"])
        return DomainManifest(content["folder"], files, content["note"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} cannot be read ({error}); run okdbench data add {name} PATH again") from error


def write_manifest(name: str, domain: str, root: Path, entry: DomainManifest) -> None:
    """Register a domain in place of what was registered before."""
    write_atomic(manifest_file(name, domain, root), json.dumps(asdict(entry)).encode())
