"""Runs the rows of a published table, one after the other, as far as the time goes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from okdbench.core.config import RunConfig
from okdbench.core.errors import UserError
from okdbench.core.terminal import print_line
from okdbench.core.units import spell_seconds
from okdbench.sweep.grid import Grid
from okdbench.sweep.paper_rows import PaperRow
from okdbench.sweep.plans import checked_plans
from okdbench.sweep.sequential import carry_out
from okdbench.training.checkpoint import CHECKPOINT
from okdbench.training.plan import Plan
from okdbench.training.runner import finished
from okdbench.training.teacher import teacher_file


def run_rows(
    rows: Sequence[PaperRow], seeds: Sequence[int], runs: Path, data_root: Path | None, hours: float | None
) -> None:
    """Run all seeds of each row; finished runs are not repeated, and a row that cannot be run stops no other one.

    Args:
        rows: in the order in which they run.
        seeds: seeds of each.
        runs: folder of runs, teachers and records.
        data_root: folder of data sets and caches; None for the default one.
        hours: a run that would end later, by its estimate, is not started; one that was begun goes on. None for no
            limit.
    """
    end = None if hours is None else time.monotonic() + 3600 * hours
    for row in rows:
        for seed in seeds:
            try:
                (plan,) = checked_plans(_grid(row.config, seed), data_root)
                needed = _seconds(row, plan, runs)
                if end is not None and time.monotonic() + needed > end:
                    print_line(f"not started: {row.title} seed {seed}, which takes about {spell_seconds(needed)}")
                    continue
                carry_out(plan, runs)
            except UserError as error:
                print_line(f"not started: {row.title} seed {seed}: {error}")


def _seconds(row: PaperRow, plan: Plan, runs: Path) -> float:
    """How long the run takes; 0 if it is finished, or begun."""
    folder = runs / plan.key
    if finished(folder) or (folder / CHECKPOINT).exists():
        return 0.0
    trained = teacher_file(runs / "teachers", plan).exists()
    return 3600 * (row.hours + (0.0 if trained else row.teacher_hours))


def _grid(config: RunConfig, seed: int) -> Grid:
    named = {"method", "dataset", "setting", "seed", "hyperparameters"}
    defaults = {name: field.default for name, field in RunConfig.model_fields.items()}
    given = {name: value for name, value in config if name not in named and value != defaults[name]}
    return Grid(
        methods=[config.method],
        datasets=[config.dataset],
        settings=[config.setting],
        seeds=[seed],
        hyperparameters=config.hyperparameters,
        options=given,
    )
