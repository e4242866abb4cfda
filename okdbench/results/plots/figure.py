"""A finished figure, and its deterministic export to PNG, SVG and PDF: equal figures give equal bytes."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from okdbench.core.errors import unknown
from okdbench.core.files import write_atomic
from okdbench.results.plots.style import LINE_HEIGHT, plot_style

#: format -> metadata for ``savefig``; None removes fields that change with the date or with matplotlib's version
FIGURE_FORMATS: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
#: where an SVG defines or references an id
_IDS = re.compile(r'(\bid="|href="#|url\(#)')


@dataclass(frozen=True)
class PlotFigure:
    """One figure.

    Attributes:
        name: file name without its suffix.
        title: the title that is printed in the figure.
        alt: a sentence that describes the content to readers who cannot see it.
        figure: the matplotlib figure.
    """

    name: str
    title: str
    alt: str
    figure: Figure


def to_svg(figure: Figure) -> str:
    """Render the figure as one ``<svg>`` element with text as outlines; ids are unique across figures of a page."""
    text = render(figure, "svg").decode()
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text[text.index("<svg") :], flags=re.DOTALL)
    # matplotlib hashes ids per figure, so two inlined figures may share one; the prefix depends on the content only
    prefix = "p" + hashlib.sha256(text.encode()).hexdigest()[:10]
    return _IDS.sub(rf"\g<1>{prefix}-", text)


def save(plotted: PlotFigure, folder: Path, formats: Iterable[str]) -> list[Path]:
    """Write ``folder/<name>.<format>`` for each format and return the paths.

    Args:
        plotted: the figure to write.
        folder: target folder; created when it does not exist.
        formats: names from :data:`FIGURE_FORMATS`; duplicates are written once.

    Raises:
        UserError: a format is unknown; nothing is written then.
    """
    # check all names first, so that an unknown one leaves no file behind
    wanted = list(dict.fromkeys(formats))
    for name in wanted:
        if name not in FIGURE_FORMATS:
            raise unknown("format", name, FIGURE_FORMATS)
    paths = []
    for name in wanted:
        paths.append(folder / f"{plotted.name}.{name}")
        write_atomic(paths[-1], render(plotted.figure, name))
    return paths


def slug(text: str) -> str:
    """Return the text as a part of a file name; a long one is cut and ends in its hash.

    >>> slug("kd[lr=0.1]")
    'kd-lr=0.1'
    """
    plain = re.sub(r"[^\w.=,]+", "-", text).strip("-")
    return plain if len(plain) <= 80 else f"{plain[:69]}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def render(figure: Figure, form: str) -> bytes:
    """The figure as a file of a format of :data:`FIGURE_FORMATS`; a PDF has no title inside."""
    buffer = io.BytesIO()
    # In a paper the caption is the title.
    title, height = figure.get_suptitle(), figure.get_figheight()
    if form == "pdf":
        figure.suptitle("")
        figure.set_figheight(height - LINE_HEIGHT * (title.count("\n") + 1))
    # Some settings, such as the resolution and the salt of the ids, take effect only while a figure is saved.
    with plot_style():
        figure.savefig(buffer, format=form, metadata=FIGURE_FORMATS[form])
    if form == "pdf":
        figure.suptitle(title)
        figure.set_figheight(height)
    return buffer.getvalue()
