"""Keeps the folder of runs below a size while a grid fills it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path

from okdbench.core.errors import UserError
from okdbench.core.units import GB, in_bytes, spell_bytes
from okdbench.results import cleanup as storage

#: file -> what people call it
_NAMES = {"samples.npz": "samples", "student.safetensors": "students", "teacher.safetensors": "teachers"}


class DiskQuota:
    """At most ``max_gb`` GB below ``runs`` (None: no limit); ``tell`` is called with a line for what had to go.

    While it is ``full``, nothing more should start: what runs still may leave less than it takes now.
    """

    def __init__(self, runs: Path, max_gb: float | None, tell: Callable[[str], None]) -> None:
        self._runs, self._tell = runs, tell
        self._most = None if max_gb is None else in_bytes(max_gb)
        self.full = False

    def make(self, needed: Collection[Path], missing: int, running: int) -> None:
        """Remove what can be made again, if there is too much.

        Args:
            needed: weights of teachers that must stay.
            missing: how many runs and teachers are still to come.
            running: how many of them are under way.

        Raises:
            UserError: some are to come, none is under way, and there is no room.
        """
        self.full = False
        if self._most is None or storage.size(self._runs) <= self._most:
            return
        gone = list(storage.prune(self._runs, self._most, needed=needed))
        if gone:
            kinds = Counter(_NAMES.get(file.name, "leftovers") for file, _ in gone)
            what = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
            self._tell(f"--max-gb: removed {what} of finished runs, {spell_bytes(sum(size for _, size in gone))}")
        left = storage.size(self._runs)
        self.full = left > self._most
        if self.full and missing and not running:
            raise UserError(
                f"{self._runs} takes {spell_bytes(left)} without anything that can be made again, more than --max-gb "
                f"{self._most / GB:g}, and {missing} jobs are missing; raise --max-gb and run the same command again"
            )
