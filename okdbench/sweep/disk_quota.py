"""Keeps the folder of runs below a size (``--max-gb``) while a sweep fills it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path

from okdbench.core.errors import UserError
from okdbench.core.units import GB, in_bytes, spell_bytes
from okdbench.results import cleanup

#: file -> its name in messages
_KINDS = {"samples.npz": "samples", "student.safetensors": "students", "teacher.safetensors": "teachers"}


class DiskQuota:
    """Limits the size of a folder of runs by removing files that a run can make again.

    Attributes:
        full: whether the folder is over its limit although nothing more can be removed. No job should start then:
            running jobs may end below the limit, because their checkpoints are removed at the end.
    """

    def __init__(self, runs: Path, max_gb: float | None, report: Callable[[str], None]) -> None:
        """Set the limit.

        Args:
            runs: the folder.
            max_gb: its largest size in GB (10^9 bytes); None for no limit.
            report: is called with a line for each removal.
        """
        self._runs, self._report = runs, report
        self._limit = None if max_gb is None else in_bytes(max_gb)
        self.full = False

    def enforce(self, needed: Collection[Path], missing: int, running: int) -> None:
        """Remove files if the folder is over its limit.

        Args:
            needed: weights of teachers that must stay.
            missing: how many jobs are not finished.
            running: how many of them are running.

        Raises:
            UserError: the folder is over its limit, jobs are missing, and none is running that could free space.
        """
        # decided anew each time, because a child that has ended may have removed its checkpoint
        self.full = False
        if self._limit is None or cleanup.size(self._runs) <= self._limit:
            return
        # a list, because prune() deletes only while something iterates over it
        removed = list(cleanup.prune(self._runs, self._limit, needed=needed))
        if removed:
            kinds = Counter(_KINDS.get(file.name, "leftovers") for file, _ in removed)
            what = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
            self._report(f"--max-gb: removed {what} of finished runs, {spell_bytes(sum(size for _, size in removed))}")
        # pruning may not be enough: records and unfinished runs stay
        left = cleanup.size(self._runs)
        self.full = left > self._limit
        if self.full and missing and not running:
            raise UserError(
                f"{self._runs} holds {spell_bytes(left)} that cannot be removed, more than --max-gb "
                f"{self._limit / GB:g}, and {missing} jobs are missing; raise --max-gb and rerun the command"
            )
