"""A grid of runs: methods x data sets x settings x seeds x tracks, as it is typed, and the plans of its cells."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from okdbench import config as configuration
from okdbench import registry
from okdbench.errors import UserError, unknown
from okdbench.material import Shelf
from okdbench.plan import Plan, make_plan
from okdbench.protocol import Track


class Grid(NamedTuple):
    """The options that name the cells, as they were typed; None stands for the file's value or the default."""

    methods: str
    datasets: str
    settings: str | None
    seeds: str | None
    tracks: str | None
    assignments: Sequence[str]
    options: Mapping[str, Any]
    file: Path | None


def plans_of(grid: Grid, root: Path) -> Iterator[Plan]:
    """The plan of each cell, those of one setting after the other; ``root`` is the data folder.

    Raises:
        UserError: something in the grid cannot be run.
    """
    in_file = configuration.load_yaml(grid.file) if grid.file else {}
    hyperparameters = configuration.parse_assignments(grid.assignments)
    methods = [configuration.parse_method(text) for text in configuration.split_methods(grid.methods)]
    registry.refuse_clashes(name for name, _ in methods)
    tracks = _tracks(grid.tracks or in_file.get("track"), [name for name, _ in methods])
    seeds = configuration.parse_seeds(grid.seeds) if grid.seeds else [None]
    pictures = Shelf()
    for (dataset, setting), seed, track, (name, own) in product(_places(grid, in_file), seeds, tracks, methods):
        if track in registry.load_method(name).card.tracks:
            cell = {"method": name, "dataset": dataset, "setting": setting, "seed": seed, "track": track}
            values = {**grid.options, **cell, "hyperparameters": {**hyperparameters, **own}}
            yield make_plan(values, grid.file, root, pictures)


def _places(grid: Grid, in_file: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every data set with its settings: those that are named, or else the data set's default ones."""
    named = grid.settings or in_file.get("setting")
    datasets = {name.strip(): registry.load_dataset(name.strip()) for name in grid.datasets.split(",")}
    if len({dataset.name for dataset in datasets.values()}) < len(datasets):
        raise UserError(f"--datasets {grid.datasets}: two of them have one name; give the files different ones")
    return [
        (name, setting.strip())
        for name, dataset in datasets.items()
        for setting in (str(named).split(",") if named else dataset.settings)
    ]


def _tracks(named: str | None, methods: Sequence[str]) -> list[Track]:
    """The tracks that are named, at least one of which some method has."""
    names = [name.strip() for name in str(named or Track.LABELLED).split(",")]
    for name in names:
        if name not in list(Track):
            raise unknown("track", name, [track.value for track in Track])
    idle = [method for method in methods if not set(names) & set(registry.load_method(method).card.tracks)]
    where = f"not in the {' or '.join(names)} track"
    if len(idle) == len(methods):
        raise UserError(f"{', '.join(methods)}: {where}; okdbench show METHOD names the tracks that it has")
    for method in idle:
        print(f"okdbench: {method} is left out: {where}", file=sys.stderr)
    return [Track(name) for name in dict.fromkeys(names)]
