"""A grid of runs: methods x data sets x settings x seeds x tracks, as it is typed, and the plans of its cells."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from okdbench import registry
from okdbench.core import plugins, syntax, yaml_files
from okdbench.core.errors import UserError, unknown
from okdbench.core.protocol import Track
from okdbench.data.splits import SplitCache
from okdbench.training.plan import Plan, make_plan
from okdbench.training.trial import check_once


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
    in_file = yaml_files.load_yaml(grid.file) if grid.file else {}
    hyperparameters = syntax.parse_assignments(grid.assignments)
    methods = [syntax.parse_method(text) for text in syntax.split_methods(grid.methods)]
    plugins.refuse_clashes(name for name, _ in methods)
    tracks = _tracks(grid.tracks or in_file.get("track"), [name for name, _ in methods])
    seeds = syntax.parse_seeds(grid.seeds) if grid.seeds else [None]
    pictures = SplitCache()
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


def lay_out(
    methods: Sequence[str],
    seed: int | None,
    seeds: str | None,
    assignments: Sequence[str],
    options: Mapping[str, Any],
    file: Path | None = None,
    data_root: Path | None = None,
) -> list[Plan]:
    """The plan of every (method, setting, seed) that the options name, all checked before the first one trains.

    A method may carry hyper-parameters of its own in brackets; they win over ``assignments``.

    Raises:
        UserError: a mistake in any of them.
    """
    if seed is not None and seeds is not None:
        raise UserError("give --seed or --seeds, not both")
    in_file = yaml_files.load_yaml(file) if file else {}
    common = syntax.parse_assignments(assignments)
    chosen = [syntax.parse_method(method) for method in methods or _named("method", in_file)]
    plugins.refuse_clashes(name for name, _ in chosen)
    pictures = SplitCache()
    chosen_seeds = syntax.parse_seeds(seeds) if seeds is not None else [seed]
    setting = in_file.get("setting") if options["setting"] is None else options["setting"]
    dataset = options["dataset"] or _named("dataset", in_file)[0]
    settings = registry.load_dataset(dataset).settings if setting is None else [setting]
    plans = [
        make_plan(
            {**options, "method": m, "setting": s, "seed": n, "hyperparameters": {**common, **own}},
            file,
            data_root,
            pictures,
        )
        for s in settings
        for n in chosen_seeds
        for m, own in chosen
    ]
    checked: set[str] = set()
    for plan in plans:
        check_once(plan, checked)
    return plans


def _named(key: str, in_file: Mapping[str, Any]) -> list[str]:
    """What the YAML file has under ``key``, for want of an option."""
    if not in_file.get(key):
        raise UserError(f"no {key} is named; give one with --{key}, or in the file of --config")
    return [str(in_file[key])]
