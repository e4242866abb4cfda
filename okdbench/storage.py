"""What a folder of runs takes on the disk, and what can go: never a record, for records are the truth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from okdbench.records import Record, read_record

#: what a finished run can do without, first of all: what it would have resumed from, and what a kill left half-written
_LEFTOVERS = ("checkpoint.pt", "*.tmp")
#: what takes room and can be made again by the run's command
_WEIGHTS = ("student.safetensors", "samples.npz")


@dataclass(frozen=True)
class Held:
    """A finished run on the disk: its folder, record and bytes."""

    folder: Path
    record: Record
    size: int

    @property
    def finished(self) -> str:
        """When it ended, as ISO time."""
        return self.record.environment.get("finished", "")


def held(runs: Path) -> list[Held]:
    """The runs below ``runs`` that have a record, the oldest first."""
    found = []
    for path in runs.glob("*/record.json"):
        record = read_record(path.parent)
        if record is not None:
            found.append(Held(path.parent, record, size(path.parent)))
    return sorted(found, key=lambda run: (run.finished, run.record.key))


def prune(runs: Path, most: int | None, dry: bool = False) -> Iterator[tuple[Path, int]]:
    """Delete what finished runs can do without; yields each file with its bytes.

    First leftovers, then the students of the oldest runs until no more than ``most`` bytes are left (None: no limit).
    Records, logs and configurations stay. A run that another process has in hand is left alone; ``dry`` is a rehearsal.
    """
    finished = [run for run in held(runs) if run.record.status == "done"]
    total = size(runs)
    for run in finished:
        for file, freed in _free(run.folder, _LEFTOVERS, dry):
            total -= freed
            yield file, freed
    for run in finished:
        if most is None or total <= most:
            return
        for file, freed in _free(run.folder, _WEIGHTS, dry):
            total -= freed
            yield file, freed


def _free(folder: Path, patterns: tuple[str, ...], dry: bool) -> Iterator[tuple[Path, int]]:
    """Delete the files that match, unless another process has the folder in hand."""
    files = [file for pattern in patterns for file in folder.glob(pattern)]
    if files:
        with suppress(Timeout), FileLock(folder / "lock", timeout=0):
            for file in files:
                freed = file.stat().st_size
                if not dry:
                    file.unlink(missing_ok=True)
                yield file, freed


def size(folder: Path) -> int:
    """Bytes of all files below ``folder``."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
