"""LaTeX tables (package booktabs) that compile as they are, with caption and label."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from okdbench.results.table import Column, Row

#: columns in which the best value is bold and the second best underlined; the teacher's accuracy is not the student's
COMPARED = ("acc", "val_acc", "top3", "top5", "macro_f1", "retention", "last_acc")
#: columns whose meaning is part of the caption
_EXPLAINED = ("interval", "mark", "behind", "p")
_SPECIAL = str.maketrans(
    {letter: f"\\{letter}" for letter in "&%$#_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "≈": r"$\approx$"}
    # In the font that LaTeX takes by default, these are other letters.
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}
)


def latex_table(columns: Sequence[Column], rows: Sequence[Row], text: str, name: str) -> str:
    """One floating table.

    Args:
        columns: in the order in which they are shown.
        rows: column -> value; a line separates rows of different settings.
        text: the caption; special characters are escaped.
        name: the label is ``tab:`` and this.
    """
    styles = _styles(columns, rows)
    head = [escape(column.title) for column in columns]
    cells = [
        [_cell(column, row, styles.get((column.name, place), "")) for column in columns]
        for place, row in enumerate(rows)
    ]
    title, *lines = _aligned(columns, [head, *cells])
    body = [r"\toprule", title, r"\midrule", *_ruled(lines, rows), r"\bottomrule"]
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{escape(text)}}}",
            rf"  \label{{tab:{name}}}",
            rf"  \begin{{tabular}}{{{''.join(column.align[0] for column in columns)}}}",
            *(f"    {line}" for line in body),
            r"  \end{tabular}",
            r"\end{table}",
        ]
    )


def caption_of(title: str, columns: Sequence[Column]) -> str:
    """What a reader of the table must know, from the columns that it has."""
    notes = [f"{title}."]
    if any(column.name in COMPARED for column in columns):
        notes.append("Bold is the best, underlined the second best of the ranked rows of a setting.")
    for column in columns:
        if column.name in _EXPLAINED:
            notes.append(f"{column.title}: {column.meaning}.".removeprefix("mark: "))
    return " ".join(notes)


def escape(text: str) -> str:
    r"""Text without anything that LaTeX acts on.

    >>> escape("lr_x=50%"), escape("resnet18 -> resnet10t")
    ('lr\\_x=50\\%', 'resnet18 $\\rightarrow$ resnet10t')
    """
    shown = text.translate(_SPECIAL).replace(r"-\textgreater{}", r"$\rightarrow$")
    # Behind the end of a line, LaTeX takes a bracket and a star for options.
    return f"{{{shown[0]}}}{shown[1:]}" if shown[:1] in ("[", "*") else shown


def labels(names: Iterable[str]) -> list[str]:
    """Labels of tables from their names: letters, digits and dashes, and a number behind those that are not unique.

    >>> labels(["digits labelled", "digits, labelled", "x"])
    ['digits-labelled', 'digits-labelled-2', 'x']
    """
    made: list[str] = []
    for name in names:
        plain = re.sub(r"[^0-9A-Za-z.]+", "-", name).strip("-")
        # A number that another table has already is skipped.
        numbers = (plain, *(f"{plain}-{number}" for number in range(2, len(made) + 3)))
        made.append(next(label for label in numbers if label not in made))
    return made


def _cell(column: Column, row: Row, style: str) -> str:
    shown = escape(column.cell(row))
    if column.dtype != "str":
        # An en dash between two numbers, but words where one of them has a minus.
        shown = re.sub(r"(?<![-\d.])([\d.]+) to (\d)", r"\1--\2", shown)
        shown = re.sub(r"(?<![\w.-])-(?=\d)", "$-$", shown)
    return f"\\{style}{{{shown}}}" if style else shown


def _styles(columns: Sequence[Column], rows: Sequence[Row]) -> Mapping[tuple[str, int], str]:
    """(column, row) -> how its cell is set off, among the ranked rows of its setting."""
    styles: dict[tuple[str, int], str] = {}
    compared = [column for column in columns if column.name in COMPARED]
    for setting in {row.get("setting") for row in rows}:
        ranked = [place for place, row in enumerate(rows) if row.get("setting") == setting and row.get("rank")]
        for column in compared:
            # As they are printed, because equal numbers must look equal.
            values = {place: float(text) for place in ranked if (text := column.value(rows[place]))}
            best = sorted(set(values.values()), reverse=True)[:2]
            for value, style in zip(best, ("textbf", "underline"), strict=False):
                styles |= {(column.name, place): style for place, other in values.items() if other == value}
    return styles


def _aligned(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> list[str]:
    """The rows with columns of one width, for those who read the source."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    pad = {"left": str.ljust, "right": str.rjust}
    return [
        " & ".join(pad[column.align](cell, width) for column, cell, width in zip(columns, line, widths, strict=True))
        + r" \\"
        for line in cells
    ]


def _ruled(lines: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """The lines with a rule between settings."""
    made = list(lines[:1])
    for (above, row), line in zip(pairwise(rows), lines[1:], strict=True):
        made += [r"\midrule", line] if above.get("setting") != row.get("setting") else [line]
    return made
