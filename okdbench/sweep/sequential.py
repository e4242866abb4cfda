"""The runs of a grid one after the other, in this process."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from okdbench.results.records import Record
from okdbench.sweep.grid import Grid
from okdbench.sweep.plans import checked_plans
from okdbench.training.plan import Plan
from okdbench.training.progress_display import ProgressDisplay
from okdbench.training.runner import execute, prepare


def run_grid(grid: Grid, runs: Path, data_root: Path | None) -> list[Record]:
    """The records of all runs of ``grid``; those that are finished are not repeated.

    Args:
        grid: what to run; every run is checked before the first one trains.
        runs: folder of runs, teachers and records.
        data_root: folder of data sets and caches; None for the default one.

    Raises:
        UserError: something in the grid cannot be run.
    """
    return [carry_out(plan, runs) for plan in checked_plans(grid, data_root)]


def train_teachers(grid: Grid, runs: Path, data_root: Path | None) -> None:
    """Train the teachers of ``grid`` that are missing in ``runs``, and no student.

    Raises:
        UserError: something in the grid cannot be run.
    """
    for plan in checked_plans(grid, data_root):
        train_teacher(plan, runs)


def train_teacher(plan: Plan, runs: Path) -> None:
    """Train the teacher of a plan, unless it is in ``runs``, and show the progress."""
    with ProgressDisplay(f"teacher of {plan.title}", _stderr()) as progress:
        prepare(plan, runs, progress)


def carry_out(plan: Plan, runs: Path) -> Record:
    """Run one plan, unless it is finished, and show the progress and the result."""
    console = _stderr()
    with ProgressDisplay(plan.title, console) as progress:
        record = execute(plan, runs, progress)
    folder = runs / plan.key
    if record.selected is None:
        result = f"failed: {record.error} ({folder / 'record.json'})"
    else:
        result = f"{record.result} in {record.cost.seconds:.0f} s ({folder})"
    # the brackets of hyper-parameters in a title are no markup
    console.print(f"{plan.title}: {result}", markup=False, soft_wrap=True)
    return record


def _stderr() -> Console:
    """Standard error: standard output is for the tables."""
    return Console(stderr=True, highlight=False)
