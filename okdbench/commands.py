"""What ``okdbench run`` does: the cells that the options name, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from okdbench import config as configuration
from okdbench import registry
from okdbench.errors import UserError
from okdbench.plan import Plan, make_plan
from okdbench.progress import Shower
from okdbench.records import Record
from okdbench.runner import execute
from okdbench.tables import leaderboard, render


def run(
    methods: Sequence[str],
    seed: int | None,
    seeds: str | None,
    assignments: Sequence[str],
    options: Mapping[str, Any],
    file: Path | None,
    runs: Path,
    data_root: Path | None,
) -> bool:
    """Run every (method, setting, seed) that the options name and print the table; False when one of them failed."""
    if seed is not None and seeds is not None:
        raise UserError("give --seed or --seeds, not both")
    in_file = configuration.load_yaml(file) if file else {}
    hyperparameters = configuration.parse_assignments(assignments)
    chosen_seeds = configuration.parse_seeds(seeds) if seeds else [seed]
    setting = options["setting"] or in_file.get("setting")
    settings = [setting] if setting else registry.load_dataset(options["dataset"]).settings
    # All plans are made first: a mistake in any of them is told before the first one trains.
    plans = [
        make_plan(
            {**options, "method": m, "setting": s, "seed": n, "hyperparameters": hyperparameters}, file, data_root
        )
        for s in settings
        for n in chosen_seeds
        for m in methods
    ]
    records = [_one(plan, runs) for plan in plans]
    for rows in leaderboard(records).values():
        Console().print(render(rows))
    return all(record.status == "done" for record in records)


def _one(plan: Plan, runs: Path) -> Record:
    console = Console(stderr=True, highlight=False)
    title = f"{plan.config.method} {plan.config.dataset} {plan.config.setting} seed {plan.config.seed}"
    with Shower(title, console) as progress:
        record = execute(plan, runs, progress)
    if record.selected is None:
        console.print(f"{title}: failed: {record.error} ({runs / plan.key / 'record.json'})", markup=False)
    else:
        acc, seconds = record.selected.evaluation.test.acc, record.cost.seconds
        console.print(f"{title}: {acc:.2f} % in {seconds:.0f} s ({runs / plan.key})", markup=False)
    return record
