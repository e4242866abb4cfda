"""Leaderboard rows as CSV, Markdown, LaTeX and terminal tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from okdbench.records import Record, write_atomic
from okdbench.tables import COLUMNS, Row, leaderboard

#: decimals of the columns that do not have two
_DECIMALS = {"student_images": 0, "teacher_images": 0, "seconds": 1, "peak_memory_mb": 1}


def to_csv(rows: Iterable[Row]) -> str:
    """The rows as CSV with a header line, LF line ends and two decimals; None is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_spell(column, getattr(row, column)) for column in COLUMNS] for row in rows)
    return text.getvalue()


def _spell(column: str, value: float | str | None) -> str:
    if value is None:
        return ""
    # "z": a gain that rounds to nothing is 0.00, not -0.00
    return f"{value:z.{_DECIMALS.get(column, 2)}f}" if isinstance(value, float) else str(value)


def write_leaderboards(records: Iterable[Record], output: Path) -> list[Path]:
    """Write ``output/<dataset>.csv`` for every data set that has records; returns the files."""
    written = []
    for dataset, rows in leaderboard(records).items():
        written.append(output / f"{dataset}.csv")
        write_atomic(written[-1], to_csv(rows).encode())
    return written


_SHOWN = ("rank", "method", "setting", "acc %", "teacher", "retention", "gain", "gap", "seconds")
_CAPTION = (
    "acc: student on its test split; teacher: the teacher on the same pictures\n"
    "retention: student on the teacher's domains; gain: over the baseline\n"
    "gap: best on test minus selected"
)


def render(rows: Sequence[Row]) -> Table:
    """The main columns for the terminal; the title names what all rows share, a column what they do not."""
    contests = [f"{row.track}, {row.budget}, {row.teacher} -> {row.student}" for row in rows]
    several = len(set(contests)) > 1
    title = None if several or not rows else escape(contests[0])
    table = Table(title=title, caption=_CAPTION, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.caption_justify = "left"
    for name in _SHOWN:
        if name == "method":
            # the only column that may fold, for variants have long names
            table.add_column(name, overflow="fold", min_width=8)
        else:
            table.add_column(name, justify="left" if name == "setting" else "right", no_wrap=True)
    if several:
        table.add_column("contest", overflow="fold")
    for row, contest, following in zip(rows, contests, [*rows[1:], None], strict=True):
        ends = following is not None and following.setting != row.setting
        table.add_row(*_shown(row), *([escape(contest)] if several else []), end_section=ends)
    return table


def _shown(row: Row) -> list[str]:
    """The cells of one line; where runs are missing, their number stands instead of a rank."""
    place = (str(row.rank) if row.rank else "-") if row.is_complete else row.complete
    acc = _spell("acc", row.acc) + (f" ± {_spell('acc_std', row.acc_std)}" if row.acc_std is not None else "")
    others = ("teacher_acc", "teacher_domain_acc", "gain", "selection_gap", "seconds")
    return [place, escape(row.method), row.setting, acc, *(_spell(column, getattr(row, column)) for column in others)]
