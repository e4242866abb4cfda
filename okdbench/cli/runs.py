"""What ``okdbench runs`` prints."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from okdbench.core.errors import UserError
from okdbench.core.files import writing
from okdbench.core.units import in_bytes, spell_bytes
from okdbench.results import cleanup as storage
from okdbench.results.records import Record


def ls(runs: Path) -> None:
    """Print each run that has a record with its size, and the size of all."""
    _find(runs)
    held = storage.held(runs)
    for run in held:
        acc = f"{run.record.selected.evaluation.test.acc:.2f}" if run.record.selected else "-"
        print(run.record.key, run.record.title, run.record.status, acc, spell_bytes(run.size), sep="\t")
    print(f"{len(held)} runs, {spell_bytes(storage.size(runs))} with the teachers")


def show(key: str, runs: Path) -> None:
    """Print the record whose key begins with ``key``.

    Raises:
        UserError: there is none, or several.
    """
    found = [run for run in storage.held(runs) if run.record.key.startswith(key)]
    if len(found) != 1:
        what = f"{len(found)} runs begin" if found else "no run begins"
        raise UserError(f"{what} with {key!r} in {runs}; okdbench runs ls lists them")
    run = found[0]
    print(yaml.safe_dump(_summary(run.record), sort_keys=False, allow_unicode=True), end="")
    print(f"folder: {run.folder} ({spell_bytes(run.size)})")


def prune(runs: Path, max_gb: float | None, dry: bool) -> None:
    """Delete what :func:`okdbench.results.cleanup.prune` finds, and print each file."""
    most = None if max_gb is None else in_bytes(max_gb)
    _find(runs)
    freed = 0
    with writing(runs):
        for file, size in storage.prune(runs, most, dry):
            print(f"{spell_bytes(size)}\t{file}")
            freed += size
    left = storage.size(runs) - (freed if dry else 0)
    print(f"{'would free' if dry else 'freed'} {spell_bytes(freed)}; {spell_bytes(left)} are left")
    if most is not None and left > most:
        print(f"more than --max-gb {max_gb:g}: records, logs, teachers and unfinished runs stay", file=sys.stderr)


def _find(runs: Path) -> None:
    """Raise a UserError unless there is such a folder."""
    if not runs.is_dir():
        raise UserError(f"there is no folder {runs}; name another with --runs")


def _summary(record: Record) -> dict[str, Any]:
    """What a person asks first, then the rest; without the long lists."""
    content = record.model_dump(mode="json", exclude={"curves", "evaluations", "traceback"}, exclude_none=True)
    first = ("method", "variant", "dataset", "setting", "track", "budget", "seed", "status", "error", "command")
    return {name: content.pop(name) for name in first if name in content} | content
