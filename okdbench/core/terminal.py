"""Tables for people and for programs: fitted to the width of a terminal, complete in a pipe, or JSON.

On a terminal the least important columns are left out first and a line below the table names them. Long texts continue
on the next line; names and words are never cut. Away from a terminal nothing is left out and no line is broken.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from okdbench.core.errors import unknown
from okdbench.core.files import printable

#: what ``--format`` takes where a command prints a list
LIST_FORMATS = ("text", "json")
#: a column of long text is worth printing from this width on
NARROWEST = 20
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
        folds: whether long text continues on the next line, between two words.
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
        """What is printed above the column."""
        return self.title or self.key

    def cell(self, row: Row) -> str:
        """The text of this column in a row, without characters that a terminal would act on."""
        value = row.get(self.key)
        # Line by line, because printable() would escape the line breaks as well; a blank line would divide the table.
        lines = [] if value is None else self.text(value).splitlines()
        return "\n".join(printable(line) for line in lines if line.strip())


def print_rows(columns: Sequence[TableColumn], rows: Sequence[Row], form: str = "text", title: str = "") -> None:
    """Print rows as a table, or as a JSON list with an object per row.

    Args:
        columns: in the order in which they are printed.
        rows: key -> value; keys without a column appear in JSON alone.
        form: one of :data:`LIST_FORMATS`.
        title: a line above the table.

    Raises:
        UserError: there is no such form.
    """
    check_format(form)
    if form == "json":
        print(to_json(list(rows)))
    else:
        print_table(columns, rows, title)


def check_format(form: str, formats: Sequence[str] = LIST_FORMATS) -> None:
    """Do nothing if ``form`` is one of the formats.

    Raises:
        UserError: it is not; the message names the formats.
    """
    if form not in formats:
        raise unknown("format", form, formats)


def to_json(content: Any) -> str:
    """The content as indented JSON; NaN and infinity become null, because JSON has no word for them."""
    # str() is for what JSON has no type for, such as paths.
    return json.dumps(_finite(content), indent=1, ensure_ascii=False, default=str)


def print_line(text: str, style: str = "") -> None:
    """Print a line that may hold a name from elsewhere; a terminal breaks it, a pipe gets it whole."""
    Console(highlight=False).print(Text(printable(text), style=style), soft_wrap=True)


def print_table(
    columns: Sequence[TableColumn],
    rows: Sequence[Row],
    title: str = "",
    console: Console | None = None,
    section: str = "",
) -> None:
    """Print rows under their headings; the module's docstring says how they are fitted to the width.

    Args:
        columns: in the order in which they are printed.
        rows: key -> value.
        title: a line above the table.
        console: where to print; standard output by default.
        section: key of a column; an empty line separates rows that differ in it.
    """
    console = console or Console(highlight=False)
    shown = fitting(columns, rows, console.width) if console.is_terminal else list(columns)
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
    for column in shown:
        table.add_column(
            Text(column.heading),
            justify=column.align,
            no_wrap=not column.folds,
            overflow="fold",
            min_width=_narrowest(column, rows),
        )
    # not strict: without rows there is no row to follow
    for row, following in zip(rows, [*rows[1:], {}], strict=False):
        ends = bool(section) and row.get(section) != following.get(section)
        table.add_row(*(Text(column.cell(row)) for column in shown), end_section=ends)
    if title:
        console.print(Text(title, style="bold"), soft_wrap=True)
    for line in _lines(console, table, _table_width(console, shown, rows)):
        console.print(line, soft_wrap=True)
    if left_out := [column.heading for column in columns if column not in shown]:
        console.print(Text(f"left out at {console.width} columns: {', '.join(left_out)}", style="dim"), soft_wrap=True)


def fits(columns: Sequence[TableColumn], rows: Sequence[Row]) -> bool:
    """Whether all these columns fit into the terminal's width; away from a terminal they always do."""
    console = Console()
    return not console.is_terminal or _needed(columns, rows) <= console.width


def fitting(columns: Sequence[TableColumn], rows: Sequence[Row], width: int) -> list[TableColumn]:
    """The columns that fit into ``width`` characters; those with ``drop`` 0 stay in any case."""
    shown = list(columns)
    while _needed(shown, rows) > width and any(column.drop for column in shown):
        # Reversed, so that of equal numbers the rightmost column goes first.
        shown.remove(max(reversed(shown), key=lambda column: column.drop))
    return shown


def _needed(columns: Sequence[TableColumn], rows: Sequence[Row]) -> int:
    """Characters of a line in which the columns that may fold are as narrow as is pleasant to read."""
    widths = [min(_width(column, rows), max(NARROWEST, _narrowest(column, rows))) for column in columns]
    return sum(widths) + GAP * len(columns)


def _table_width(console: Console, columns: Sequence[TableColumn], rows: Sequence[Row]) -> int:
    """The terminal's width, or more where names would be cut; away from a terminal, what all columns take."""
    if not console.is_terminal:
        return sum(_width(column, rows) + GAP for column in columns)
    return max(console.width, sum(_narrowest(column, rows) + GAP for column in columns))


def _width(column: TableColumn, rows: Sequence[Row]) -> int:
    """Characters of the column's longest line."""
    lines = [line for row in rows for line in column.cell(row).splitlines()]
    return max(map(cell_len, [column.heading, *lines]))


def _narrowest(column: TableColumn, rows: Sequence[Row]) -> int:
    """The width that cuts no name: that of the longest line, or of the longest word where the text may fold."""
    if not column.folds:
        return _width(column, rows)
    words = [word for row in rows for word in column.cell(row).split()]
    return max(map(cell_len, [*column.heading.split(), *words]))


def _lines(console: Console, table: Table, width: int) -> list[Text]:
    """The table line by line, without blanks at the ends and without empty lines."""
    # A console of its own, because rich prints nothing wider than the console.
    text = io.StringIO()
    colours: Any = console.color_system
    Console(file=text, width=width, force_terminal=console.is_terminal, color_system=colours).print(table)
    lines = [Text.from_ansi(line) for line in text.getvalue().splitlines()]
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
