"""What ``okdbench run`` does: the cells that the options name, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from okdbench.results.records import Record
from okdbench.results.rendering import conclude
from okdbench.sweep.grid import lay_out
from okdbench.training.plan import Plan
from okdbench.training.progress_display import ProgressDisplay
from okdbench.training.runner import execute, prepare


def run(
    methods: Sequence[str],
    seed: int | None,
    seeds: str | None,
    assignments: Sequence[str],
    options: Mapping[str, Any],
    file: Path | None,
    runs: Path,
    data_root: Path | None,
    teacher_only: bool = False,
) -> bool:
    """Run every (method, setting, seed) that the options name and print the table; False when one of them failed."""
    plans = lay_out(methods, seed, seeds, assignments, options, file, data_root)
    if teacher_only:
        for plan in plans:
            bring_teacher(plan, runs)
        return True
    return conclude([carry_out(plan, runs) for plan in plans])


def bring_teacher(plan: Plan, runs: Path) -> None:
    """Train the teacher of a plan, unless it is there, and show how it goes."""
    with ProgressDisplay(f"teacher of {plan.title}", Console(stderr=True, highlight=False)) as progress:
        prepare(plan, runs, progress)


def carry_out(plan: Plan, runs: Path) -> Record:
    """Run one plan, unless it is done, and show how it goes and what came of it."""
    console = Console(stderr=True, highlight=False)
    title = plan.title
    with ProgressDisplay(title, console) as progress:
        record = execute(plan, runs, progress)
    if record.selected is None:
        console.print(f"{title}: failed: {record.error} ({runs / plan.key / 'record.json'})", markup=False)
    else:
        acc, seconds = record.selected.evaluation.test.acc, record.cost.seconds
        console.print(f"{title}: {acc:.2f} % in {seconds:.0f} s ({runs / plan.key})", markup=False)
    return record
