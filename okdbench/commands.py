"""What ``okdbench run`` does: the cells that the options name, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from okdbench import config as configuration
from okdbench import registry
from okdbench.errors import UserError
from okdbench.formats import render
from okdbench.material import Shelf
from okdbench.plan import Plan, make_plan
from okdbench.progress import Shower
from okdbench.records import Record
from okdbench.runner import execute, prepare
from okdbench.tables import leaderboard
from okdbench.trial import check_once


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
    in_file = configuration.load_yaml(file) if file else {}
    common = configuration.parse_assignments(assignments)
    chosen = [configuration.parse_method(method) for method in methods or _named("method", in_file)]
    registry.refuse_clashes(name for name, _ in chosen)
    pictures = Shelf()
    chosen_seeds = configuration.parse_seeds(seeds) if seeds is not None else [seed]
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


def conclude(records: Sequence[Record]) -> bool:
    """Print the tables of ``records``, one for each data set and track; False when one of them failed."""
    for dataset, rows in leaderboard(records).items():
        for track in dict.fromkeys(row.track for row in rows):
            Console().print(dataset, style="bold", justify="center")
            Console().print(render([row for row in rows if row.track == track]))
    return all(record.status == "done" for record in records)


def bring_teacher(plan: Plan, runs: Path) -> None:
    """Train the teacher of a plan, unless it is there, and show how it goes."""
    with Shower(f"teacher of {plan.title}", Console(stderr=True, highlight=False)) as progress:
        prepare(plan, runs, progress)


def carry_out(plan: Plan, runs: Path) -> Record:
    """Run one plan, unless it is done, and show how it goes and what came of it."""
    console = Console(stderr=True, highlight=False)
    title = plan.title
    with Shower(title, console) as progress:
        record = execute(plan, runs, progress)
    if record.selected is None:
        console.print(f"{title}: failed: {record.error} ({runs / plan.key / 'record.json'})", markup=False)
    else:
        acc, seconds = record.selected.evaluation.test.acc, record.cost.seconds
        console.print(f"{title}: {acc:.2f} % in {seconds:.0f} s ({runs / plan.key})", markup=False)
    return record
