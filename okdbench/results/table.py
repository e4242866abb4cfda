"""Columns of tables, and rows of data frames as they are written and printed.

This module does not import pandas, because reading one line of a CSV file should not cost half a second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd

#: one row of a table: column -> value; None where a value is missing
Row = Mapping[str, Any]
#: where a column is shown: ``frame`` is the data frame and JSON, ``details`` what the HTML page unfolds below a row
Form = Literal["frame", "csv", "terminal", "markdown", "latex", "html", "details"]

#: for programs, with every digit that counts
FILES: frozenset[Form] = frozenset({"frame", "csv"})
#: for people
TABLES: frozenset[Form] = frozenset({"terminal", "markdown", "latex", "html"})
EVERYWHERE: frozenset[Form] = FILES | TABLES
DETAILS: frozenset[Form] = FILES | {"details"}


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: its name in the data frame, in CSV and in JSON.
        meaning: what a value says, in one phrase; captions and the HTML page print it.
        unit: unit of the values, empty for names and plain counts.
        heading: what tables for people have above it; the name by default.
        label: heading on the HTML page, which has room for words; the heading by default.
        dtype: its pandas dtype.
        averaged: whether a leaderboard's value is the mean over settings, with equal weights, of the mean over seeds
            of the runs' column with this name; every other column has its own computation.
        decimals: digits behind the point.
        signed: whether the HTML page shows a plus.
        ascending: whether the HTML page sorts from low to high first, because less is better.
        forms: where it is shown.
        drop: narrow terminals leave out the column with the highest number first; 0 is never left out.
        folds: whether long text continues on the next line of a terminal.
        text: what tables for people show, computed from the whole row; the formatted value by default.
    """

    name: str
    meaning: str
    _: KW_ONLY
    unit: str = ""
    heading: str = ""
    label: str = ""
    dtype: Literal["str", "int64", "Int64", "float64", "boolean"] = "float64"
    averaged: bool = False
    decimals: int = 2
    signed: bool = False
    ascending: bool = False
    forms: frozenset[Form] = EVERYWHERE
    drop: int = 0
    folds: bool = False
    text: Callable[[Row], str] | None = None

    @property
    def title(self) -> str:
        """The heading in tables for people."""
        return self.heading or self.name

    @property
    def page_title(self) -> str:
        """The heading on the HTML page."""
        return self.label or self.title[:1].upper() + self.title[1:]

    @property
    def align(self) -> Literal["left", "right"]:
        """Words are aligned on the left, numbers on the right."""
        return "left" if self.dtype == "str" else "right"

    def value(self, row: Row) -> str:
        """The bare value as CSV has it."""
        return spell(row.get(self.name), self.decimals)

    def cell(self, row: Row) -> str:
        """What tables for people show."""
        return self.text(row) if self.text else self.value(row)


def spell(value: Any, decimals: int = 2) -> str:
    """A value as text: floats with fixed decimals, nothing where it is missing.

    >>> spell(-0.001), spell(None), spell(3), spell("kd")
    ('0.00', '', '3', 'kd')
    """
    if value is None:
        return ""
    # "z" writes a value that rounds to zero as 0.00, not as -0.00.
    return f"{value:z.{decimals}f}" if isinstance(value, float) else str(value)


def caption(columns: Sequence[Column]) -> str:
    """One line per column: heading, meaning, and the unit where the heading does not show it."""
    units = {column.name: f" ({column.unit})" if column.unit not in column.title else "" for column in columns}
    return "\n".join(f"{column.title}: {column.meaning}{units[column.name]}" for column in columns)


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a data frame as mappings of plain Python values; None where a value is missing."""
    # Objects first, because a column of floats would turn None back into NaN.
    plain = frame.astype(object).where(frame.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in plain.to_dict("records")]
