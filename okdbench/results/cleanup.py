"""Disk space of a folder of runs, and the files that can be deleted.

A record is never deleted, because every table and figure is computed from records. Everything else that a finished run
leaves behind can be made again with the run's command.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from okdbench.core.locks import if_free
from okdbench.results.store import read_record

#: useless once their run is finished: what it would have resumed from, and half-written files of a killed process
_LEFTOVERS = ("checkpoint.pt", "*.tmp")
#: large files that the run's command makes again, in the order in which they are deleted
_REMAKABLE = ("samples.npz", "student.safetensors")
_TEACHER = "teacher.safetensors"


class _Finished(NamedTuple):
    """What pruning keeps in memory of a finished run; the whole records of many runs would fill it."""

    when: str
    key: str
    folder: Path
    teacher: str
    kind: tuple[str, ...]


def prune(
    runs: Path, most: int | None, dry: bool = False, needed: Collection[Path] | None = None
) -> Iterator[tuple[Path, int]]:
    """Delete what finished runs can do without; yields each file with its size in bytes.

    First leftovers go. Then, until no more than ``most`` bytes remain, the samples and after them the students of the
    oldest runs go, and finally teachers. Records, logs, configurations and everything of unfinished runs stay. A run or
    teacher whose lock another process holds is skipped.

    Args:
        runs: the folder of runs.
        most: bytes that may remain; None for no limit, so that only leftovers go.
        dry: yield the files without deleting them.
        needed: teachers' weights that are still needed; None keeps all teachers.
    """
    finished = sorted(_finished(runs))
    # Measured once, because walking through a large folder after every file would be slow.
    total = size(runs)
    teachers = [weights.parent for weights in _teachers(runs)]
    for folder in (*(run.folder for run in finished), *teachers):
        for file, freed in _free(folder, _LEFTOVERS, dry):
            total -= freed
            yield file, freed
    for folder, name in _can_go(runs, finished, needed):
        if most is None or total <= most:
            return
        for file, freed in _free(folder, (name,), dry):
            total -= freed
            yield file, freed


def _finished(runs: Path) -> Iterator[_Finished]:
    for path in runs.glob("*/record.json"):
        record = read_record(path.parent)
        if record and record.status == "done":
            teacher = record.teacher_score.key if record.teacher_score else ""
            yield _Finished(record.finished, record.key, path.parent, teacher, _kind(record.config))


def _can_go(runs: Path, finished: list[_Finished], needed: Collection[Path] | None) -> Iterator[tuple[Path, str]]:
    """Folders and names of files in the order in which they are deleted."""
    for name in _REMAKABLE:
        for run in finished:
            yield run.folder, name
    if needed is None:
        return
    # An unfinished run does not name its teacher's key yet, so the teachers of all runs of its kind stay.
    unfinished = set(_unfinished(runs, {run.folder for run in finished}))
    busy = {run.teacher for run in finished if run.kind in unfinished}
    # A record from elsewhere may name anything as its teacher, so only folders found on disk are deleted.
    there = {weights.parent.name: weights for weights in _teachers(runs)}
    for key in dict.fromkeys(run.teacher for run in finished):
        if key in there and key not in busy and there[key].absolute() not in needed:
            yield there[key].parent, _TEACHER


def _teachers(runs: Path) -> list[Path]:
    """The teachers' weights below ``runs``; none where their folder is a link to another place."""
    return [] if (runs / "teachers").is_symlink() else list(runs.glob(f"teachers/*/{_TEACHER}"))


def _unfinished(runs: Path, finished: Collection[Path]) -> Iterator[tuple[str, ...]]:
    """The kinds of the runs that have started and are not finished."""
    for path in runs.glob("*/config.yaml"):
        if path.parent not in finished:
            # A damaged configuration protects no teacher; at worst, a teacher is trained again.
            with suppress(OSError, yaml.YAMLError):
                yield _kind(yaml.safe_load(path.read_bytes()))


def _kind(config: Any) -> tuple[str, ...]:
    """Runs that share a teacher have these values in common; the converse does not hold."""
    names = ("dataset", "teacher", "budget", "seed", "image_size")
    return tuple(str(config.get(name)) for name in names) if isinstance(config, dict) else ()


def _free(folder: Path, patterns: tuple[str, ...], dry: bool) -> Iterator[tuple[Path, int]]:
    """Delete the files that match, unless another process holds the folder's lock."""
    if folder.is_symlink() or not any(any(folder.glob(pattern)) for pattern in patterns):
        return  # the target of a link takes no space in this folder
    # No waiting: whoever holds the lock is using these files, and pruning can come back to them later.
    with if_free(folder / "lock") as free:
        for file in [file for pattern in patterns for file in folder.glob(pattern) if free]:
            freed = file.lstat().st_size
            if not dry:
                file.unlink()
            yield file, freed


def size(folder: Path) -> int:
    """Bytes of all files below ``folder``; files that another process deletes meanwhile do not count."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += os.lstat(os.path.join(parent, name)).st_size
    return total
