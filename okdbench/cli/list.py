"""What ``okdbench ls`` and ``okdbench leaderboard`` print."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from okdbench import registry
from okdbench.core import plugins
from okdbench.core.errors import UserError, unknown
from okdbench.core.files import writing
from okdbench.results.grouping import consult, label
from okdbench.results.leaderboard import leaderboard as make_tables
from okdbench.results.published import verdicts
from okdbench.results.rendering import TABLE_FORMATS, render, to_text, write_leaderboards
from okdbench.results.store import read_records, write_archive


def show(what: str, dataset: str | None, runs: Path) -> None:
    """Print the list called ``what``.

    Raises:
        UserError: there is no such list.
    """
    lists: dict[str, Callable[[], None]] = {
        "methods": lambda: _names(plugins.method_names(), plugins.installed_methods()),
        "datasets": lambda: _names(plugins.dataset_names(), plugins.installed_datasets()),
        "settings": lambda: _settings([dataset] if dataset else plugins.dataset_names()),
        "runs": lambda: _runs(runs),
    }
    if what not in lists:
        raise unknown("list", what, lists)
    if dataset and what != "settings":
        raise UserError(f"--dataset goes with okdbench ls settings, not with {what}")
    lists[what]()


def _names(own: list[str], installed: dict[str, str]) -> None:
    """What comes along, then what other packages bring, with the package; what comes along wins a shared name."""
    print(*own, sep="\n")
    for name, package in installed.items():
        print(f"{name}\t({package}{'; hidden by the one that comes along' if name in own else ''})")


def _settings(names: list[str]) -> None:
    for name in names:
        dataset = registry.load_dataset(name)
        letters = ", ".join(f"{letter} = {domain}" for letter, domain in dataset.domains.items())
        for setting in dataset.settings:
            print(f"{name}\t{setting}\t({letters})")


def _runs(runs: Path) -> None:
    for record in read_records(runs):
        acc = f"{record.selected.evaluation.test.acc:.2f}" if record.selected else "-"
        cells = (
            record.key,
            label(record),
            record.dataset,
            record.setting,
            record.track,
            record.budget,
            str(record.seed),
        )
        print(*cells, record.status, acc, sep="\t")


def leaderboard(runs: Path, output: Path | None, ending: str | None, keep: bool) -> None:
    """Print the tables of all records below ``runs``, or write them as files into ``output``.

    Args:
        runs: a folder of runs or an archive of records.
        output: where the files go; without it, everything is printed.
        ending: csv (what files are by default), md or tex; printed as such when it is given.
        keep: also write the records of each data set into an archive, ``output/records/<dataset>.jsonl.gz``.

    Raises:
        UserError: there are no records, no such format, or no folder to keep records in.
    """
    if ending not in (None, *TABLE_FORMATS):
        raise unknown("format", str(ending), TABLE_FORMATS)
    if keep and not output:
        raise UserError("--records needs a folder; name one with --output")
    records = consult(runs)
    tables = make_tables(records)
    if ending == "csv" and not output and len(tables) > 1:
        raise UserError(f"{', '.join(tables)}: CSV files of several data sets need a folder; name one with --output")
    for dataset, rows in tables.items():
        published = verdicts(dataset, rows)
        if ending and not output:
            print(TABLE_FORMATS[ending](dataset, rows, published))
        else:
            Console().print(dataset, style="bold", justify="center")
            Console().print(render(rows))
            if published:
                print(to_text(published))
    if output:
        with writing(output, "--output"):
            print(*write_leaderboards(records, output, ending or "csv"), sep="\n")
            for dataset in tables if keep else ():
                archive = output / "records" / f"{dataset}.jsonl.gz"
                write_archive(archive, (record for record in records if record.dataset == dataset))
                print(archive)
