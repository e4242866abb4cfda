"""Keeps the folder of runs below a size while a grid fills it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path

from okdbench import storage
from okdbench.errors import UserError
from okdbench.shelves import GB, spell_bytes

#: file -> what people call it
_NAMES = {"samples.npz": "samples", "student.safetensors": "students", "teacher.safetensors": "teachers"}


class Room:
    """At most ``max_gb`` GB below ``runs``; ``tell`` is called with a line for what had to go."""

    def __init__(self, runs: Path, max_gb: float, tell: Callable[[str], None]) -> None:
        self._runs, self._most, self._tell = runs, int(max_gb * GB), tell

    def make(self, needed: Collection[Path], missing: int) -> None:
        """Remove what can be made again, if there is too much.

        Args:
            needed: weights of teachers that must stay.
            missing: how many runs are still to come.

        Raises:
            UserError: there are some, and no room for them.
        """
        if storage.size(self._runs) <= self._most:
            return
        gone = list(storage.prune(self._runs, self._most, needed=needed))
        if gone:
            kinds = Counter(_NAMES.get(file.name, "leftovers") for file, _ in gone)
            what = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
            self._tell(f"--max-gb: removed {what} of finished runs, {spell_bytes(sum(size for _, size in gone))}")
        left = storage.size(self._runs)
        if missing and left > self._most:
            raise UserError(
                f"{self._runs} takes {spell_bytes(left)} without anything that can be made again, more than --max-gb "
                f"{self._most / GB:g}, and {missing} runs are missing; raise --max-gb and run the same command again"
            )
