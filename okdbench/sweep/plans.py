"""The plans of a grid's runs, checked before the first one trains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from okdbench import registry
from okdbench.core import syntax
from okdbench.core.errors import UserError
from okdbench.core.notices import say
from okdbench.core.protocol import Track, tracks_of
from okdbench.core.settings import task_of
from okdbench.data.splits import SplitCache
from okdbench.results.grouping import ALL
from okdbench.sweep.grid import Grid
from okdbench.training.plan import Plan, make_plan
from okdbench.training.plan_checks import players
from okdbench.training.trial import WithheldError, check_once


def plans_of(grid: Grid, root: Path | None, strict: bool = False) -> Iterator[Plan]:
    """The plan of each run, those of one setting after the other.

    Args:
        grid: what to run.
        root: the data folder; None for the default one.
        strict: whether a method that does not run in the only task and track is an error instead of being left out.

    Raises:
        UserError: something in the grid cannot be run.
    """
    methods = [syntax.parse_method(text) for text in grid.methods]
    places = list(places_of(grid))
    # with several places, a method may be absent from one if it runs in another
    strict = strict and len({(task_of(place.setting), place.track) for place in places}) == 1
    if not strict:
        _report_idle(places, [name for name, _ in methods])
    splits = SplitCache()
    for place in places:
        for name, own in methods:
            if not strict and not place.has(name):
                continue
            cell = {**place._asdict(), "method": name, "hyperparameters": {**grid.hyperparameters, **own}}
            yield make_plan({**grid.options, **cell}, grid.file, root, splits)


class GridPlace(NamedTuple):
    """Where methods are compared: fields of a run's configuration."""

    dataset: str
    setting: str
    seed: int | None
    track: str
    shots: int | str | None

    def has(self, method: str) -> bool:
        """Whether the method plays this task in this track."""
        card = registry.load_method(method).card
        return task_of(self.setting) in card.tasks and self.track in card.tracks


def places_of(grid: Grid) -> Iterator[GridPlace]:
    """The places of a grid, those of one setting and seed together, because their images are loaded once.

    Of several tracks, a task has those that it knows, and labels are counted where there are any.
    """
    shots = grid.options.get("shots")
    seeds: Sequence[int | None] = grid.seeds or [None]
    for dataset, setting in grid.places():
        known = tracks_of(task_of(setting))
        tracks = [track for track in grid.tracks if track in known] if len(grid.tracks) > 1 else list(grid.tracks)
        for seed in seeds:
            for track in tracks if grid.tracks else known[:1]:
                # "all", because None would leave it to the file.
                counted = shots if track != Track.LABEL_FREE or len(grid.tracks) < 2 else ALL
                yield GridPlace(dataset, setting, seed, track, counted)


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
    except WithheldError as error:
        if len(grid.tracks) < 2:
            raise
        # The message is kept too, because each seed and setting would print it again.
        if str(error) not in checked:
            say(f"left out: {error}")
            checked.add(str(error))
        return False
    return True


def _report_idle(places: Sequence[GridPlace], methods: list[str]) -> None:
    """Print a line for each method that runs in none of the places; at least one must be left."""
    idle = [name for name in methods if not any(place.has(name) for place in places)]
    where = " or ".join(dict.fromkeys(f"task {task_of(place.setting)}, {place.track}" for place in places))
    if not places:
        raise UserError(
            "no task that was named has one of these tracks; leave out --track, or name adapt or label-free"
        )
    if len(idle) == len(methods):
        able = ", ".join(
            dict.fromkeys(name for place in places for name in players(task_of(place.setting), place.track))
        )
        raise UserError(f"{', '.join(methods)}: not for {where}; these are: {able}")
    for name in idle:
        say(f"{name} is left out: it is not for {where}")
