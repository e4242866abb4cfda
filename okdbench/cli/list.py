"""What ``okdbench ls`` and ``okdbench leaderboard`` print."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from okdbench import registry
from okdbench.core import plugins
from okdbench.core.errors import UserError, unknown
from okdbench.core.files import writing
from okdbench.results.frames import read_runs, to_frame
from okdbench.results.grouping import label
from okdbench.results.rendering import TABLE_FORMATS, print_leaderboard, write_leaderboards
from okdbench.results.store import read_records, write_archives


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


def leaderboard(runs: Path, output: Path | None, form: str | None, keep: bool) -> None:
    """Print the leaderboards of all records below ``runs``, and write them as files where ``output`` is given.

    Args:
        runs: a folder of runs or an archive of records.
        output: folder of the files; None for none.
        form: csv (the default of files), md, tex or json; without ``output`` printed, text by default.
        keep: also write the records of each data set into an archive, ``output/records/<dataset>.jsonl.gz``.

    Raises:
        UserError: there are no records, no such format, or no folder to keep records in.
    """
    if form not in (None, "text", *TABLE_FORMATS):
        raise unknown("format", str(form), ["text", *TABLE_FORMATS])
    if keep and not output:
        raise UserError("--records needs a folder; name one with --output")
    records = read_runs(runs)
    frame = to_frame(records)
    print_leaderboard(frame, "text" if output else form or "text")
    if output:
        with writing(output, "--output"):
            print(*write_leaderboards(frame, output, "csv" if form in (None, "text") else form), sep="\n")
            if keep:
                print(*write_archives(output / "records", records), sep="\n")
