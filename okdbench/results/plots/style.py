"""How pictures look: one colour and one marker for each method everywhere, sizes for one printed column.

The colours are Okabe and Ito's, which people with any colour vision can tell apart, without black, which is for the
teacher, and yellow, which is lost on white. A look is a function of the method's name alone, not of its company.
"""

from __future__ import annotations

import re
import textwrap
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from okdbench.core.plugins import method_names

#: widths in inches: of a column, and of a page of two
COLUMN, PAGE = 3.5, 7.0
#: height of a line of text, in inches
LINE = 0.13
GREY, FAINT = "0.45", "0.88"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
# six colours and seven markers have no common divisor: 42 methods differ
MARKERS = ("o", "s", "^", "D", "v", "<", ">")
VARIANT_MARKERS = ("*", "h", "P", "X", "p", "d", "8")
LineStyle = Literal["-", "--", "-.", ":"]
LINE_STYLES: tuple[LineStyle, ...] = ("-", "--", "-.", ":")
#: times the height of the font in points; few enough for wide letters
_CHARACTERS_PER_INCH = 115
_PIECES = re.compile(r"[^_=]+[_=]?|[_=]")

_RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so a picture is the same on every machine
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
    "pdf.fonttype": 42,
    "svg.hashsalt": "okdbench",
}


class Look(NamedTuple):
    """What a method is recognised by."""

    colour: str
    marker: str


def look(method: str) -> Look:
    """Colour and marker of a method as the tables write it; a variant has its method's colour."""
    name, _, variant = method.partition("[")
    known = method_names()
    # a name that does not come along never looks like one that does, while there are looks left
    free = max(1, len(COLOURS) * len(MARKERS) - len(known))
    place = known.index(name) if name in known else len(known) + _number(name) % free
    marker = VARIANT_MARKERS[_number(variant) % len(VARIANT_MARKERS)] if variant else MARKERS[place % len(MARKERS)]
    return Look(COLOURS[place % len(COLOURS)], marker)


def setting_looks(settings: Sequence[str]) -> dict[str, tuple[str, LineStyle]]:
    """Setting -> colour and line style, for pictures of one method; the colours are of another family."""
    scale = mpl.colormaps["viridis"].resampled(256)
    steps = [round(220 * index / max(1, len(settings) - 1)) for index in range(len(settings))]
    colours = [mpl.colors.to_hex(scale(step)) for step in steps]
    return {s: (colours[i], LINE_STYLES[i % len(LINE_STYLES)]) for i, s in enumerate(settings)}


@contextmanager
def house() -> Iterator[None]:
    """Our settings in place of the user's while a picture is made or saved, so that equal input gives equal bytes."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)
        yield


def canvas(width: float, height: float) -> Figure:
    """An empty figure of this size in inches, which makes room for its labels by itself."""
    return Figure(figsize=(width, height), layout="constrained")


def headline(figure: Figure, *lines: str) -> None:
    """Write title and subtitle, wrapped to the figure's width; it grows by their height."""
    text = "\n".join(wrap_to(figure, line, 8) for line in lines)
    figure.suptitle(text)
    _grow(figure, text)


def footline(figure: Figure, *lines: str) -> None:
    """Write below everything what a reader must know; what is empty is left out; the figure grows."""
    text = "\n".join(wrap_to(figure, line) for line in lines if line)
    figure.supxlabel(text, fontsize=7)
    _grow(figure, text)


def legend(figure: Figure, marks: Mapping[str, Line2D], columns: int, *lines: str) -> None:
    """Name the marks in at most so many columns below everything, under lines as of :func:`footline`."""
    names = [wrap(name) for name in marks]
    while columns > 1 and sum(map(_entry_width, _columns(names, columns))) > figure.get_figwidth():
        columns -= 1
    text = "\n".join(wrap_to(figure, line) for line in lines if line)
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
    """The names as a legend arranges them."""
    longer, rest = len(names) % columns, len(names) // columns
    ends = [rest * i + min(i, longer) for i in range(columns + 1)]
    return [names[start:end] for start, end in pairwise(ends) if end > start]


def _entry_width(names: Sequence[str]) -> float:
    """Inches of a legend's column, with its marks."""
    longest = max(len(line) for name in names for line in name.split("\n"))
    return 0.4 + longest * 7 / _CHARACTERS_PER_INCH


def _grow(figure: Figure, text: str) -> None:
    if text:
        figure.set_figheight(figure.get_figheight() + LINE * (text.count("\n") + 1))


def wrap_to(figure: Figure, line: str, size: int = 7) -> str:
    """The line broken at blanks, and where there are none, so that it fits into the figure at this size of font."""
    return textwrap.fill(line, int(figure.get_figwidth() * _CHARACTERS_PER_INCH / size), break_on_hyphens=False)


def wrap(method: str, width: int = 22) -> str:
    r"""A method's name in lines of at most ``width`` characters, broken before its settings and between them.

    >>> wrap("kd[lr=0.1,temperature=20.0]")
    'kd[lr=0.1,\ntemperature=20.0]'
    """
    parts = method.replace("[", "\n[").replace(",", ",\n").split("\n")
    # a part that is too long is broken behind "_" and "=" where it has them
    pieces = [piece for part in parts for piece in ([part] if len(part) <= width else _PIECES.findall(part))]
    lines = [""]
    for piece in pieces:
        if lines[-1] and len(lines[-1] + piece) > width:
            lines.append("")
        lines[-1] += piece
    return "\n".join(line[start : start + width] for line in lines for start in range(0, max(1, len(line)), width))


def bare(axes: Axes) -> None:
    """Leave nothing of the axes but what is drawn in them."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _number(text: str) -> int:
    return zlib.crc32(text.encode())
