"""Where things lie when nobody says so."""

from __future__ import annotations

import os
from pathlib import Path


def default_data_root() -> Path:
    """The data folder without ``--data-root``: ``$OKDBENCH_DATA`` or one in the user's cache."""
    return Path(os.environ.get("OKDBENCH_DATA") or Path.home() / ".cache" / "okdbench")
