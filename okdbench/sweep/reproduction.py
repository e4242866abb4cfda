"""Runs the rows of a published table, one after the other, as far as the time goes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from okdbench.core.config import RunConfig
from okdbench.core.terminal import print_line
from okdbench.core.units import spell_seconds
from okdbench.sweep.grid import Grid
from okdbench.sweep.paper_rows import PaperRow
from okdbench.sweep.sequential import run_grid


def run_rows(
    rows: Sequence[PaperRow], seeds: Sequence[int], runs: Path, data_root: Path | None, hours: float | None
) -> None:
    """Run all seeds of each row; finished runs are not repeated.

    Args:
        rows: in the order in which they run.
        seeds: seeds of each.
        runs: folder of runs, teachers and records.
        data_root: folder of data sets and caches; None for the default one.
        hours: a run that would end later, by its estimate, is not started; None for no limit.

    Raises:
        UserError: a row cannot be run, such as one whose images are missing.
    """
    end = None if hours is None else time.monotonic() + 3600 * hours
    for row in rows:
        for seed in seeds:
            needed = 3600 * (row.hours + row.teacher_hours)
            if end is not None and time.monotonic() + needed > end:
                print_line(f"not started: {row.title} seed {seed}, which takes about {spell_seconds(needed)}")
                continue
            run_grid(_grid(row.config, seed), runs, data_root)


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
