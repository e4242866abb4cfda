"""A finished picture, and how it becomes bytes: equal pictures give equal files."""

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
from okdbench.results.plots.style import house

#: format -> metadata without what changes from day to day and from version to version
FIGURE_FORMATS: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
_IDS = re.compile(r'(\bid="|href="#|url\(#)')


@dataclass(frozen=True)
class Drawing:
    """One picture: the stem of its file, its title, a sentence for those who cannot see it, and itself."""

    name: str
    title: str
    alt: str
    figure: Figure


def to_svg(figure: Figure) -> str:
    """The figure as one <svg> element, text as outlines; several can stand in one page, for no two share an id."""
    text = _render(figure, "svg").decode()
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text[text.index("<svg") :], flags=re.DOTALL)
    prefix = "p" + hashlib.sha256(text.encode()).hexdigest()[:10]
    return _IDS.sub(rf"\g<1>{prefix}-", text)


def save(drawing: Drawing, folder: Path, formats: Iterable[str]) -> list[Path]:
    """Write ``folder/<name>.<format>`` for each of the formats png, svg and pdf; returns the files.

    Raises:
        UserError: there is no such format.
    """
    wanted = list(dict.fromkeys(formats))
    for name in wanted:
        if name not in FIGURE_FORMATS:
            raise unknown("format", name, FIGURE_FORMATS)
    paths = []
    for name in wanted:
        paths.append(folder / f"{drawing.name}.{name}")
        write_atomic(paths[-1], _render(drawing.figure, name))
    return paths


def slug(text: str) -> str:
    """The text as a part of a file's name; a long one is cut and ends in its hash.

    >>> slug("kd[lr=0.1]")
    'kd-lr=0.1'
    """
    plain = re.sub(r"[^\w.=,]+", "-", text).strip("-")
    return plain if len(plain) <= 80 else f"{plain[:69]}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def _render(figure: Figure, form: str) -> bytes:
    buffer = io.BytesIO()
    with house():
        figure.savefig(buffer, format=form, metadata=FIGURE_FORMATS[form])
    return buffer.getvalue()
