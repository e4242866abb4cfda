"""One HTML page from the records: leaderboard, figures, published numbers and every run; it works offline."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from okdbench.core.files import write_atomic, writing
from okdbench.results.frames import read_runs, to_frame
from okdbench.results.grouping import label
from okdbench.results.leaderboard import leaderboard
from okdbench.results.published import compare_published
from okdbench.results.records import Record
from okdbench.results.report.figures import figure_groups
from okdbench.results.report.page import render
from okdbench.results.sources import Source
from okdbench.results.table import rows_of


def write_report(runs: Source | Iterable[Source], output: Path) -> Path:
    """Write ``output/index.html`` and return its path; equal records give equal bytes.

    Args:
        runs: folders of runs and archives of records; only a folder has generated images to show.
        output: folder of the page; created when it does not exist.

    Raises:
        UserError: there are no records, or the page cannot be written.
    """
    # a fixed order: the order of files in a folder differs between machines
    records = sorted(read_runs(runs), key=_order)
    figures = figure_groups(records, runs)
    published = rows_of(compare_published(leaderboard(to_frame(records))))
    path = output / "index.html"
    with writing(output, "--output"):
        write_atomic(path, render(records, figures, published).encode())
    return path


def _order(record: Record) -> tuple[str | int, ...]:
    return record.dataset, record.track, label(record), record.setting, record.seed, record.budget, record.key
