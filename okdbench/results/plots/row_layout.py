"""A line of a picture for each method: where it lies and how it is labelled."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from matplotlib.axes import Axes

from okdbench.results.plots.group import View
from okdbench.results.plots.style import FAINT, wrap


@dataclass(frozen=True)
class Lines:
    """Method -> the middle of its line, from the top, in lines of text; where the reference rows begin; the sum."""

    places: dict[str, float]
    references: float | None
    height: float


def layout(view: View, sizes: Mapping[str, int] | None = None) -> Lines:
    """A line for each method in the view's order, as high as its label or its entry in ``sizes``, whatever is more."""
    places: dict[str, float] = {}
    top, references = 0.0, None
    for method in view.methods:
        if view.is_reference(method) and references is None and places:
            references, top = top + 0.35, top + 0.7
        height = max(wrap(method).count("\n") + 1, (sizes or {}).get(method, 1))
        places[method] = top + height / 2
        top += height
    return Lines(places, references, top)


def label_lines(axes: Axes, lines: Lines, named: bool = True) -> None:
    """Label the lines where ``named``, reference rows in italics below a rule; faint guides lead the eye."""
    axes.set_ylim(lines.height, 0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.hlines(list(lines.places.values()), 0, 1, transform=axes.get_yaxis_transform(), color=FAINT, lw=0.5, zorder=0)
    if lines.references is not None:
        axes.axhline(lines.references, color="0.6", linewidth=0.5)
    for method, y in lines.places.items() if named else ():
        style: Literal["italic", "normal"] = "italic" if y > (lines.references or math.inf) else "normal"
        write_beside(axes, y, wrap(method), style=style)


def write_beside(axes: Axes, y: float, text: str, right: bool = False, **looks: Any) -> None:
    """Write to the left of the line at ``y``, or to its right."""
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
        **looks,
    )
