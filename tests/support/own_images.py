"""Files that describe a user's own images."""

from __future__ import annotations

from pathlib import Path

import yaml


def write(file: Path, **content: object) -> Path:
    """A YAML file with this content."""
    file.write_text(yaml.safe_dump(content, allow_unicode=True), "utf-8")
    return file
