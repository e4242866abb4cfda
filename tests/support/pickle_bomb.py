"""An object that runs code when it is unpickled."""

from __future__ import annotations

import os
from pathlib import Path


class Bomb:
    """Creates the file ``target`` when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.target}",)
