"""What ``okdbench ls`` and ``okdbench leaderboard`` print."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from okdbench import registry
from okdbench.errors import UserError, unknown
from okdbench.formats import render, write_leaderboards
from okdbench.records import read_records, writing
from okdbench.tables import leaderboard as make_tables


def show(what: str, dataset: str | None, runs: Path) -> None:
    """Print the list called ``what``.

    Raises:
        UserError: there is no such list.
    """
    lists: dict[str, Callable[[], None]] = {
        "methods": lambda: _lines(registry.method_names()),
        "datasets": lambda: _lines(registry.dataset_names()),
        "settings": lambda: _settings([dataset] if dataset else registry.dataset_names()),
        "runs": lambda: _runs(runs),
    }
    if what not in lists:
        raise unknown("list", what, lists)
    if dataset and what != "settings":
        raise UserError(f"--dataset goes with okdbench ls settings, not with {what}")
    lists[what]()


def _lines(names: list[str]) -> None:
    print("\n".join(names))


def _settings(names: list[str]) -> None:
    for name in names:
        dataset = registry.load_dataset(name)
        letters = ", ".join(f"{letter} = {domain}" for letter, domain in dataset.domains.items())
        for setting in dataset.settings:
            print(f"{name}\t{setting}\t({letters})")


def _runs(runs: Path) -> None:
    for record in read_records(runs):
        acc = f"{record.selected.evaluation.test.acc:.2f}" if record.selected else "-"
        method = f"{record.method}[{record.variant}]" if record.variant else record.method
        cells = (record.key, method, record.dataset, record.setting, record.track, record.budget, str(record.seed))
        print(*cells, record.status, acc, sep="\t")


def leaderboard(runs: Path, output: Path | None) -> None:
    """Print the tables of all records below ``runs``; write them as CSV files when ``output`` is given.

    Raises:
        UserError: there are no records.
    """
    records = list(read_records(runs))
    if not records:
        raise UserError(f"no records below {runs}; make some with okdbench run, or name another folder with --runs")
    for rows in make_tables(records).values():
        Console().print(render(rows))
    if output:
        with writing(output, "--output"):
            print(*write_leaderboards(records, output), sep="\n")
