"""The look of all figures: one colour and marker per method, sizes for one printed column.

The colours are those of Okabe and Ito, which are distinguishable with any colour vision, without black, which marks the
teacher's line, and without yellow, which is invisible on white; rows that are no methods (finetune, kd, ...) are grey.
A style depends on the method's name alone, so a method looks the same in every figure, whatever it is compared with.
"""

from __future__ import annotations

import re
import textwrap
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from okdbench.core.card_source import bundled_card
from okdbench.core.plugins import method_names

#: widths in inches of one column, and of a page with two columns
COLUMN_WIDTH, PAGE_WIDTH = 3.5, 7.0
#: height of a line of text, in inches
LINE_HEIGHT = 0.13
GREY, FAINT = "0.45", "0.88"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
# six colours and five markers have no common divisor: 30 methods have different styles; none looks like an arrow
MARKERS = ("o", "s", "D", "X", "P")
STYLES = len(COLOURS) * len(MARKERS)
VARIANT_MARKERS = ("*", "h", "p", "d", "8")
LineStyle = Literal["-", "--", "-.", ":"]
LINE_STYLES: tuple[LineStyle, ...] = ("-", "--", "-.", ":")
#: divided by the font size in points; low enough for wide letters
_CHARACTERS_PER_INCH = 115
#: parts of a name that end in "_" or "="
_NAME_PARTS = re.compile(r"[^_=]+[_=]?|[_=]")

_RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # bundled with matplotlib, so a figure is the same on every machine
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.titlepad": 3,
    "axes.labelsize": 7,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handletextpad": 0.3,
    "legend.columnspacing": 1.0,
    "figure.titlesize": 8,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
    "lines.linewidth": 1.0,
    "lines.markersize": 4,
    "lines.markeredgewidth": 0.7,
    "savefig.dpi": 300,
    # TrueType, because many venues refuse matplotlib's default, fonts of type 3.
    "pdf.fonttype": 42,
    "svg.hashsalt": "okdbench",  # makes the ids in an SVG reproducible
}


class MethodStyle(NamedTuple):
    """Colour and marker of a method."""

    colour: str
    marker: str


def method_style(method: str) -> MethodStyle:
    """Style of a method by its name in the tables; a variant has the colour of its method."""
    name, _, variant = method.partition("[")
    methods, others = _known()
    if name in others:
        style = MethodStyle(GREY, MARKERS[-1 - others.index(name) % len(MARKERS)])
    else:
        # the style of a method that is not bundled never equals that of a bundled one, while styles are left
        free = max(1, STYLES - len(methods))
        index = methods.index(name) if name in methods else len(methods) + _checksum(name) % free
        style = MethodStyle(COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)])
    return style._replace(marker=VARIANT_MARKERS[_checksum(variant) % len(VARIANT_MARKERS)]) if variant else style


@cache
def _known() -> tuple[list[str], list[str]]:
    """Names of the bundled methods, and of the bundled rows that are none."""
    others = [name for name in method_names() if "role" in bundled_card(name)]
    return [name for name in method_names() if name not in others], others


def setting_styles(settings: Sequence[str]) -> dict[str, tuple[str, LineStyle]]:
    """Setting -> colour and line style, for figures of one method; viridis avoids the colours of methods."""
    scale = mpl.colormaps["viridis"].resampled(256)
    # the last tones of viridis are too pale on white
    steps = [round(220 * index / max(1, len(settings) - 1)) for index in range(len(settings))]
    colours = [mpl.colors.to_hex(scale(step)) for step in steps]
    return {s: (colours[i], LINE_STYLES[i % len(LINE_STYLES)]) for i, s in enumerate(settings)}


@contextmanager
def plot_style() -> Iterator[None]:
    """Replace the user's matplotlib settings while drawing or saving, so that equal input gives equal bytes."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches with constrained layout."""
    # Not from pyplot, which would keep every figure in memory.
    return Figure(figsize=(width, height), layout="constrained")


def add_title(figure: Figure, *lines: str) -> None:
    """Write title and subtitle, wrapped to the figure's width; the figure grows by their height."""
    text = "\n".join(wrap_to_width(figure, line, 8) for line in lines)
    figure.suptitle(text)
    _grow(figure, text)


def add_notes(figure: Figure, *lines: str) -> None:
    """Write explanations below the plot, skipping empty lines; the figure grows by their height."""
    text = "\n".join(wrap_to_width(figure, line) for line in lines if line)
    figure.supxlabel(text, fontsize=7)
    _grow(figure, text)


def add_legend(figure: Figure, marks: Mapping[str, Line2D], columns: int, *lines: str) -> None:
    """Add a legend below the plot; the figure grows by its height.

    Args:
        figure: the figure to extend.
        marks: label -> the marker or line that it explains.
        columns: the largest number of columns; fewer are used when the labels are long.
        lines: notes above the legend, as for :func:`add_notes`.
    """
    names = [wrap_method(name) for name in marks]
    # matplotlib does not fit a legend to its figure; what is too wide would be cut off.
    while columns > 1 and sum(map(_column_width, _columns(names, columns))) > figure.get_figwidth():
        columns -= 1
    text = "\n".join(wrap_to_width(figure, line) for line in lines if line)
    made = figure.legend(
        list(marks.values()),
        names,
        loc="outside lower center",
        ncols=columns,
        labelspacing=0.25,
        title=text,
        title_fontsize=7,
    )
    made.get_title().set_multialignment("center")
    _grow(figure, text)
    _grow(figure, max(("\n".join(column) for column in _columns(names, columns)), key=lambda text: text.count("\n")))


def _columns(names: Sequence[str], columns: int) -> list[Sequence[str]]:
    """The names as matplotlib distributes them over the columns of a legend."""
    longer, rest = len(names) % columns, len(names) // columns
    ends = [rest * i + min(i, longer) for i in range(columns + 1)]
    return [names[start:end] for start, end in pairwise(ends) if end > start]


def _column_width(names: Sequence[str]) -> float:
    """Width in inches of a legend's column, markers included."""
    longest = max(len(line) for name in names for line in name.split("\n"))
    return 0.4 + longest * 7 / _CHARACTERS_PER_INCH


def _grow(figure: Figure, text: str) -> None:
    if text:
        figure.set_figheight(figure.get_figheight() + LINE_HEIGHT * (text.count("\n") + 1))


def wrap_to_width(figure: Figure, line: str, size: int = 7) -> str:
    """Wrap a line so that it fits into the figure at this font size in points."""
    # Hyphens are no breaks, because names of settings such as MP-O contain them.
    return textwrap.fill(line, int(figure.get_figwidth() * _CHARACTERS_PER_INCH / size), break_on_hyphens=False)


def wrap_method(method: str, width: int = 22) -> str:
    r"""Wrap a method's name at ``width`` characters, before its hyper-parameters and between them.

    >>> wrap_method("kd[lr=0.1,temperature=20.0]")
    'kd[lr=0.1,\ntemperature=20.0]'
    """
    parts = method.replace("[", "\n[").replace(",", ",\n").split("\n")
    # a part that is too long is broken after "_" and "=" if it has them
    pieces = [piece for part in parts for piece in ([part] if len(part) <= width else _NAME_PARTS.findall(part))]
    lines = [""]
    for piece in pieces:
        if lines[-1] and len(lines[-1] + piece) > width:
            lines.append("")
        lines[-1] += piece
    return "\n".join(line[start : start + width] for line in lines for start in range(0, max(1, len(line)), width))


def within_percent(axes: Axes) -> None:
    """Cut both axes at 0 and 100 %: an interval may go on beyond them, an accuracy cannot."""
    for limits, change in ((axes.get_xlim(), axes.set_xlim), (axes.get_ylim(), axes.set_ylim)):
        change(max(limits[0], -4), min(limits[1], 104))


def hide_axes(axes: Axes) -> None:
    """Remove ticks and frame, so that only the content remains."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _checksum(text: str) -> int:
    # not hash(), which changes from process to process
    return zlib.crc32(text.encode())
