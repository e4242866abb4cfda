"""Which files are images, which folders are classes, and when two names are the same."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}


def images_in(folder: Path) -> Iterator[Path]:
    """All image files below ``folder`` in sorted order; hidden files are skipped."""
    # Hidden files: macOS leaves a ._name.jpg, which is not an image, beside each file on foreign disks.
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file():
            yield path


def class_folders(folder: Path) -> list[Path]:
    """The folders directly in ``folder`` in sorted order; hidden folders are skipped.

    Raises:
        OSError: the folder cannot be read.
    """
    entries = [entry for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith(".")]
    return sorted(Path(entry.path) for entry in entries)


def canonical(name: str) -> str:
    """The name without case, spaces, punctuation and leading number: ``Real World`` equals ``003.real_world``."""
    return re.sub(r"[\W_]", "", re.sub(r"^\d+\.", "", name)).lower()
