"""Tables for people and for programs: fitted to a terminal's width, complete in a pipe, or JSON.

On a terminal the least important columns are left out first, a line below the table names them, and no name is ever cut.
Away from a terminal nothing is left out and no line is broken.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from okdbench.core.errors import unknown

#: what ``--format`` takes where a command lists things
LIST_FORMATS = ("text", "json")
#: a column of long text is worth showing from this width on
NARROWEST = 12
#: blanks between two columns; one of them is the box's own
GAP = 2

Row = Mapping[str, Any]


@dataclass(frozen=True)
class TableColumn:
    """One column of a list that a command prints.

    Attributes:
        key: its name in a row, and in JSON.
        title: its heading; the key by default.
        align: left for words, right for numbers.
        drop: 0 for a column that is always there; of the others the highest number is left out first.
        folds: whether long text continues on the next line.
        text: how a value is written; None is always written as nothing.
    """

    key: str
    title: str = ""
    align: Literal["left", "right"] = "left"
    drop: int = 0
    folds: bool = False
    text: Callable[[Any], str] = str

    @property
    def heading(self) -> str:
        """What stands above the column."""
        return self.title or self.key

    def cell(self, row: Row) -> str:
        """The text of this column in a row."""
        value = row.get(self.key)
        return "" if value is None else self.text(value)


def print_rows(columns: Sequence[TableColumn], rows: Sequence[Row], form: str = "text", title: str = "") -> None:
    """Print rows as a table, or as a JSON list with a mapping per row.

    Args:
        columns: in the order in which they stand.
        rows: key -> value; keys without a column appear in JSON alone.
        form: one of :data:`LIST_FORMATS`.
        title: a line above the table.

    Raises:
        UserError: there is no such form.
    """
    if form not in LIST_FORMATS:
        raise unknown("format", form, LIST_FORMATS)
    if form == "json":
        print(to_json(list(rows)))
    else:
        print_table(columns, rows, title)


def to_json(content: Any) -> str:
    """The content as indented JSON; what is not a finite number becomes null, for JSON has no word for it."""
    return json.dumps(_finite(content), indent=1, ensure_ascii=False, default=str)


def print_table(
    columns: Sequence[TableColumn],
    rows: Sequence[Row],
    title: str = "",
    console: Console | None = None,
    section: str = "",
) -> None:
    """Print rows under their headings; see the module's text for what becomes of a narrow terminal.

    Args:
        columns: in the order in which they stand.
        rows: key -> value.
        title: a line above the table.
        console: where to print; standard output by default.
        section: key of a column; an empty line separates rows that differ in it.
    """
    console = console or Console(highlight=False)
    shown = fitting(columns, rows, console.width) if console.is_terminal else list(columns)
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
    fits = _needed(shown, rows) <= console.width
    for column in shown:
        # where there is room for the names, the long texts are the ones that fold
        least = _width(column, rows) if fits and not column.drop else None
        whole = not column.folds
        table.add_column(Text(column.heading), justify=column.align, no_wrap=whole, overflow="fold", min_width=least)
    for row, following in zip(rows, [*rows[1:], {}], strict=True):
        ends = bool(section) and row.get(section) != following.get(section)
        table.add_row(*(Text(column.cell(row)) for column in shown), end_section=ends)
    if not console.is_terminal:
        wide = sum(_width(column, rows) + GAP for column in shown)
        console = Console(file=console.file, width=wide, highlight=False)
    if title:
        console.print(Text(title, style="bold"))
    for line in _lines(console, table):
        console.print(line, soft_wrap=True)
    if left_out := [column.heading for column in columns if column not in shown]:
        console.print(Text(f"left out at {console.width} columns: {', '.join(left_out)}", style="dim"))


def fitting(columns: Sequence[TableColumn], rows: Sequence[Row], width: int) -> list[TableColumn]:
    """The columns that fit into ``width`` letters; those with ``drop`` 0 stay in any case."""
    shown = list(columns)
    while _needed(shown, rows) > width and any(column.drop for column in shown):
        shown.remove(max(reversed(shown), key=lambda column: column.drop))
    return shown


def _needed(columns: Sequence[TableColumn], rows: Sequence[Row]) -> int:
    """Letters that a line takes when the less important of the columns that may fold are at their narrowest."""
    widths = [_width(column, rows) for column in columns]
    least = [
        min(width, max(NARROWEST, len(column.heading))) if column.folds and column.drop else width
        for column, width in zip(columns, widths, strict=True)
    ]
    return sum(least) + GAP * len(columns)


def _width(column: TableColumn, rows: Sequence[Row]) -> int:
    lines = [line for row in rows for line in column.cell(row).splitlines()]
    return max(map(len, [column.heading, *lines]))


def _lines(console: Console, table: Table) -> list[Text]:
    """The table line by line, without the blanks at the ends and the empty lines around it."""
    with console.capture() as capture:
        console.print(table)
    lines = [Text.from_ansi(line) for line in capture.get().splitlines()]
    for line in lines:
        line.rstrip()
    full = [index for index, line in enumerate(lines) if line.plain]
    return lines[full[0] : full[-1] + 1] if full else []


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {str(key): _finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
