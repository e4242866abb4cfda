"""The plans of a grid's runs, checked before the first one trains."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

from okdbench import registry
from okdbench.core import syntax
from okdbench.core.errors import UserError
from okdbench.data.splits import SplitCache
from okdbench.sweep.grid import Grid
from okdbench.training.plan import Plan, make_plan
from okdbench.training.trial import LabelsWithheldError, check_once


def plans_of(grid: Grid, root: Path | None, strict: bool = False) -> Iterator[Plan]:
    """The plan of each run, those of one setting after the other.

    Args:
        grid: what to run.
        root: the data folder; None for the default one.
        strict: whether a method that does not run in the only track is an error instead of being left out.

    Raises:
        UserError: something in the grid cannot be run.
    """
    methods = [syntax.parse_method(text) for text in grid.methods]
    # with several tracks, a method may be absent from one if it runs in another
    strict = strict and len(grid.tracks) == 1
    if not strict:
        _report_idle(grid, [name for name, _ in methods])
    splits = SplitCache()
    seeds: Sequence[int | None] = grid.seeds or [None]
    # The settings are the outer loop, because the images of one setting are kept in memory at a time.
    for (dataset, setting), seed, track, (name, own) in product(grid.places(), seeds, grid.tracks, methods):
        if not strict and track not in registry.load_method(name).card.tracks:
            continue
        cell = {"method": name, "dataset": dataset, "setting": setting, "seed": seed, "track": track}
        values = {**grid.options, **cell, "hyperparameters": {**grid.hyperparameters, **own}}
        yield make_plan(values, grid.file, root, splits)


def checked_plans(grid: Grid, root: Path | None) -> list[Plan]:
    """All plans of ``grid``, each run once; ``root`` is the data folder.

    Raises:
        UserError: something in the grid cannot be run.
    """
    checked: set[str] = set()
    plans: dict[str, Plan] = {}
    for plan in plans_of(grid, root, strict=True):
        if is_allowed(plan, grid, checked):
            plans.setdefault(plan.key, plan)  # one variant can be written in two ways
    return list(plans.values())


def is_allowed(plan: Plan, grid: Grid, checked: set[str]) -> bool:
    """Check a plan; with several tracks, a variant that reads labels is left out of the label-free one.

    Args:
        plan: one of the grid's.
        grid: what to run.
        checked: what earlier calls have checked; this call adds to it.

    Raises:
        UserError: the plan cannot be run.
    """
    try:
        check_once(plan, checked)
    except LabelsWithheldError as error:
        if len(grid.tracks) == 1:
            raise
        # The message is kept too, because each seed and setting would print it again.
        if str(error) not in checked:
            print(f"okdbench: left out: {error}", file=sys.stderr)
            checked.add(str(error))
        return False
    return True


def _report_idle(grid: Grid, methods: list[str]) -> None:
    """Print a line for each method that runs in none of the tracks; at least one must be left."""
    idle = [name for name in methods if not set(grid.tracks) & set(registry.load_method(name).card.tracks)]
    where = f"not in the {' or '.join(grid.tracks)} track"
    if len(idle) == len(methods):
        raise UserError(f"{', '.join(methods)}: {where}; okdbench show METHOD lists its tracks")
    for name in idle:
        print(f"okdbench: {name} is left out: {where}", file=sys.stderr)
