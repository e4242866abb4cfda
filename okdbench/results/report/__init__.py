"""One HTML page from the records: leaderboard, figures, published numbers and every run; it works offline."""

from __future__ import annotations

from pathlib import Path

from okdbench.core.files import write_atomic, writing
from okdbench.results.grouping import consult, label
from okdbench.results.leaderboard import leaderboard
from okdbench.results.published import verdicts
from okdbench.results.records import Record
from okdbench.results.report.figures import figure_groups
from okdbench.results.report.page import render


def write_report(runs: Path, output: Path) -> Path:
    """Write ``output/index.html`` and return its path; equal records give equal bytes.

    Args:
        runs: a folder of runs, or an archive of records; only a folder has generated images to show.
        output: folder of the page; created when it does not exist.

    Raises:
        UserError: there are no records, or the page cannot be written.
    """
    # a fixed order: the order of files in a folder differs between machines
    records = sorted(consult(runs), key=_order)
    figures = figure_groups(records, runs if runs.is_dir() else None)
    published = [number for name, rows in leaderboard(records).items() for number in verdicts(name, rows)]
    path = output / "index.html"
    with writing(output, "--output"):
        write_atomic(path, render(records, figures, published).encode())
    return path


def _order(record: Record) -> tuple[str | int, ...]:
    return record.dataset, record.track, label(record), record.setting, record.seed, record.budget, record.key
