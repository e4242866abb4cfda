"""Leaderboards as CSV, Markdown, LaTeX, JSON and tables on the terminal.

All of them follow from the registry of columns (:mod:`okdbench.results.columns`). People get one table per comparison
group, under its title. This module imports pandas only in its functions, because ``okdbench run`` imports it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.text import Text
from tabulate import tabulate

from okdbench.core.errors import UserError, unknown
from okdbench.core.files import write_atomic
from okdbench.core.terminal import TableColumn, check_format, print_table, to_json
from okdbench.results.columns import COLUMNS, shown_in
from okdbench.results.grouping import GROUP, ComparisonGroup, current
from okdbench.results.latex import caption_of, labels, latex_table
from okdbench.results.records import Record
from okdbench.results.table import Column, Form, Row, caption, rows_of

if TYPE_CHECKING:
    import pandas as pd


class _Table(NamedTuple):
    """One table for people; the label names it in LaTeX."""

    title: str
    label: str
    columns: Sequence[Column]
    rows: Sequence[Row]


def to_csv(table: pd.DataFrame) -> str:
    """A leaderboard as CSV with a header line and LF line ends; a missing value is an empty cell."""
    return _csv(shown_in("csv"), rows_of(table))


def runs_to_csv(records: pd.DataFrame) -> str:
    """The current runs as CSV, one row each, with every digit; the default settings are divided by blanks."""
    runs = current(records).sort_index()
    settings = runs["default_settings"].map(" ".join)
    return runs.assign(default_settings=settings).to_csv(index=False, lineterminator="\n")


def published_to_csv(table: pd.DataFrame) -> str:
    """Every published number with its verdict as CSV, whether or not ``table``, our leaderboards, has its data set."""
    from okdbench.results.published import compare_published, published_numbers
    from okdbench.results.published_columns import PUBLISHED_COLUMNS

    columns = [column for column in PUBLISHED_COLUMNS if "csv" in column.forms]
    return _csv(columns, rows_of(compare_published(table, published_numbers())))


def to_markdown(table: pd.DataFrame, names: Sequence[str] = ()) -> str:
    """A heading and a Markdown table per comparison group, then the published numbers.

    Args:
        table: leaderboards, as :func:`okdbench.leaderboard` returns them.
        names: the columns to show, then without published numbers; by default the usual ones.
    """
    return "\n".join(f"### {part.title}\n\n{_tabulated(part)}\n" for part in _tables(table, "markdown", names))


def to_latex(table: pd.DataFrame, names: Sequence[str] = ()) -> str:
    """A LaTeX table (package booktabs) per comparison group, then the published numbers; see :func:`to_markdown`."""
    parts = list(_tables(table, "latex", names))
    unique = labels(part.label for part in parts)
    return "\n".join(
        f"% {part.title}\n{latex_table(part.columns, part.rows, caption_of(part.title, part.columns), name)}\n"
        for part, name in zip(parts, unique, strict=True)
    )


#: ending of a file -> what a leaderboard is written as
TABLE_FORMATS: Mapping[str, Callable[..., str]] = {
    "csv": to_csv,
    "md": to_markdown,
    "tex": to_latex,
    "json": lambda table: to_json(rows_of(table)) + "\n",
}


def choose_columns(names: Sequence[str]) -> list[Column]:
    """The columns of these names.

    Raises:
        UserError: there is no such column.
    """
    known = {column.name: column for column in COLUMNS}
    for name in names:
        if name not in known:
            raise unknown("column", name, known)
    return [known[name] for name in names]


def _csv(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    text = io.StringIO()
    # The module csv ends lines with CRLF by default, but the committed leaderboards have LF.
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(column.name for column in columns)
    writer.writerows([column.value(row) for column in columns] for row in rows)
    return text.getvalue()


def _tables(table: pd.DataFrame, form: Form, names: Sequence[str] = ()) -> Iterator[_Table]:
    """The comparison groups of each data set, and the published numbers on it if there are any."""
    from okdbench.results.published import compare_published
    from okdbench.results.published_columns import PUBLISHED_COLUMNS, TITLE

    columns = choose_columns(names) or shown_in(form)
    # Not sorted, because the leaderboard already has its order.
    for dataset, rows in table.groupby("dataset", sort=False):
        for key, members in rows.groupby(GROUP, sort=False):
            group = ComparisonGroup(*map(str, key))
            yield _Table(group.title, "-".join(group.place), columns, rows_of(members))
        published = [] if names else rows_of(compare_published(rows))
        if published:
            shown = [column for column in PUBLISHED_COLUMNS if form in column.forms]
            yield _Table(f"{dataset}, {TITLE}", f"{dataset}-published", shown, published)


def _tabulated(table: _Table) -> str:
    """The cells by heading as one Markdown table of the library ``tabulate``."""
    # A bar would end the cell.
    cells = [{column.title: column.cell(row).replace("|", "\\|") for column in table.columns} for row in table.rows]
    aligned = [column.align for column in table.columns]
    # disable_numparse: tabulate would read 78.10 as a number and print it as 78.1.
    return str(tabulate(cells, headers="keys", tablefmt="github", colalign=aligned, disable_numparse=True))


def print_columns(columns: Sequence[Column], rows: Sequence[Row], title: str = "", section: str = "") -> None:
    """Print rows on the terminal, fitted to its width; away from a terminal every column is complete.

    Args:
        columns: in the order in which they are shown.
        rows: column -> value.
        title: a line above the table.
        section: name of a column; an empty line separates rows that differ in it.
    """
    shown = [
        TableColumn(column.name, column.title, column.align, drop=column.drop, folds=column.folds) for column in columns
    ]
    texts = [{column.name: column.cell(row) for column in columns} for row in rows]
    print_table(shown, texts, title, section=section)


def print_caption(columns: Sequence[Column]) -> None:
    """Print what the columns mean; a terminal breaks the lines between words, a pipe gets them whole."""
    console = Console(highlight=False)
    console.print(Text(caption(columns)), soft_wrap=not console.is_terminal)


def print_leaderboard(records: pd.DataFrame, form: str = "text", names: Sequence[str] = ()) -> None:
    """Print the leaderboards of all runs.

    Args:
        records: runs as :func:`okdbench.load_records` returns them.
        form: ``text`` for tables that fit the terminal, with a caption, or one of :data:`TABLE_FORMATS`.
        names: the columns to show, in tables for people; by default the usual ones.

    Raises:
        UserError: there is no such form or column, or CSV is asked for several data sets, which have a file each.
    """
    from okdbench.results.leaderboard import leaderboard

    check_format(form, ("text", *TABLE_FORMATS))
    table = leaderboard(records)
    datasets = list(table["dataset"].unique())
    if form == "csv" and len(datasets) > 1:
        raise UserError(f"{', '.join(datasets)}: CSV files of several data sets need a folder; name one with --output")
    if form != "text":
        print(_written(table, form, names), end="")
        return
    for part in _tables(table, "terminal", names):
        print_columns(part.columns, part.rows, part.title, section="setting")
        print()
    print_caption(choose_columns(names) or shown_in("terminal"))


def write_leaderboards(records: pd.DataFrame, output: Path, form: str = "csv", names: Sequence[str] = ()) -> list[Path]:
    """Write ``output/<dataset>.<form>`` for each data set that has runs.

    Beside CSV, the runs are written as ``output/runs.csv``, and all published numbers as ``output/published.csv``.
    Superseded runs and those of a tuning are in none of them.

    Args:
        records: runs as :func:`okdbench.load_records` returns them.
        output: folder of the files.
        form: one of :data:`TABLE_FORMATS`, also the ending of the files.
        names: the columns to show, in tables for people; by default the usual ones.

    Returns:
        the files.

    Raises:
        UserError: there is no such form or column.
    """
    from okdbench.results.leaderboard import leaderboard

    check_format(form, tuple(TABLE_FORMATS))
    table = leaderboard(records)
    texts = {str(dataset): _written(rows, form, names) for dataset, rows in table.groupby("dataset")}
    if form == "csv":
        texts |= {"runs": runs_to_csv(records), "published": published_to_csv(table)}
    paths = [output / f"{name}.{form}" for name in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        write_atomic(path, text.encode())
    return paths


def _written(table: pd.DataFrame, form: str, names: Sequence[str]) -> str:
    # Files for programs have every column.
    return TABLE_FORMATS[form](table, names) if form in ("md", "tex") else TABLE_FORMATS[form](table)


def conclude(records: Sequence[Record]) -> bool:
    """Print the leaderboards of some runs; False when one of them failed."""
    from okdbench.results.frames import to_frame

    print_leaderboard(to_frame(records))
    return all(record.status == "done" for record in records)
