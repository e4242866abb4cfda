"""One horizontal row per method: its position in the figure and its label."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from matplotlib.axes import Axes

from okdbench.results.plots.group import PlotGroup
from okdbench.results.plots.style import FAINT, wrap_method


@dataclass(frozen=True)
class RowLayout:
    """Vertical layout, measured from the top in lines of text.

    Attributes:
        centres: method -> the middle of its row.
        separator: where the rule above the reference rows is; None without reference rows.
        height: the sum of all rows.
        labels: method -> its label in lines, with a word for one that sees the teacher's own images.
    """

    centres: dict[str, float]
    separator: float | None
    height: float
    labels: dict[str, str]


def layout_rows(
    group: PlotGroup, sizes: Mapping[str, int] | None = None, methods: Sequence[str] | None = None
) -> RowLayout:
    """Place one row per method in the group's order; a row is as high as its label or its entry in ``sizes``."""
    centres: dict[str, float] = {}
    labels: dict[str, str] = {}
    top, separator = 0.0, None
    for method in group.methods if methods is None else [name for name in group.methods if name in methods]:
        # the first reference row leaves room for the rule above it
        if group.is_reference(method) and separator is None and centres:
            separator, top = top + 0.35, top + 0.7
        labels[method] = wrap_method(method) + ("\n(privileged)" if group.role(method) == "privileged" else "")
        height = max(labels[method].count("\n") + 1, (sizes or {}).get(method, 1))
        centres[method] = top + height / 2
        top += height
    return RowLayout(centres, separator, top, labels)


def label_rows(axes: Axes, rows: RowLayout, named: bool = True) -> None:
    """Draw faint guide lines and, if ``named``, the method labels; reference rows are in italics below a rule."""
    # y grows downwards, in lines of text
    axes.set_ylim(rows.height, 0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.hlines(list(rows.centres.values()), 0, 1, transform=axes.get_yaxis_transform(), color=FAINT, lw=0.5, zorder=0)
    if rows.separator is not None:
        axes.axhline(rows.separator, color="0.6", linewidth=0.5)
    for method, y in rows.centres.items() if named else ():
        style: Literal["italic", "normal"] = "italic" if y > (rows.separator or math.inf) else "normal"
        annotate_row(axes, y, rows.labels[method], style=style)


def annotate_row(axes: Axes, y: float, text: str, right: bool = False, **text_options: Any) -> None:
    """Write beside the row at height ``y``.

    Args:
        axes: the panel that the row crosses.
        y: the middle of the row, in lines of text.
        text: what to write.
        right: write to the right of the panel and not to its left.
        text_options: passed on to :meth:`matplotlib.axes.Axes.annotate`.
    """
    axes.annotate(
        text,
        (1 if right else 0, y),
        (4 if right else -4, 0),
        xycoords=axes.get_yaxis_transform(),
        textcoords="offset points",
        ha="left" if right else "right",
        va="center",
        linespacing=1.0,
        annotation_clip=False,
        **text_options,
    )
