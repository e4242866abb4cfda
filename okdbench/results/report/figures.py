"""The plots as the page shows them: grouped by kind, each a picture that can be inlined."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from okdbench.core.errors import UserError
from okdbench.results.plots import KINDS, draw, to_svg
from okdbench.results.records import Record

#: kind -> heading, and how to read it
_WORDS = {
    "bars": ("Accuracy", "Further right is better. Where the lines of two methods overlap, do not call one better."),
    "cd": (
        "Mean ranks",
        "Further towards rank 1 is better. Methods joined by a bar cannot be told apart with the runs that there are.",
    ),
    "pareto": (
        "Accuracy against cost",
        "Up is more accurate, left is cheaper. A method is worth its cost when no other is both above and left of it.",
    ),
    "retention": (
        "Old domains and new",
        "How good the student is in its own domain, and what it still knows of the teacher's. Best is up and right.",
    ),
    "stages": ("Stages", "What each stage of a method adds to the student's accuracy."),
    "gap": (
        "Selection gap",
        "What choosing the moment by validation gave away, against the best moment on test. Small is good luck or a "
        "calm training; the ranked accuracy is the chosen one.",
    ),
    "curves": ("Losses", "The terms of each method's losses as training goes on. Terms have scales of their own."),
    "samples": ("Generated pictures", "What the generators drew. They are material for the student, not an aim."),
}
#: more drawings of one kind than these are folded
_OPEN = 2


@dataclass(frozen=True)
class Picture:
    """A drawing for an ``<img>``: ``source`` is a data URI."""

    name: str
    title: str
    alt: str
    source: str


@dataclass(frozen=True)
class Group:
    """The pictures of one kind; many of them are ``folded``."""

    kind: str
    heading: str
    note: str
    pictures: Sequence[Picture]

    @property
    def folded(self) -> bool:
        """Whether each picture opens by a click only."""
        return len(self.pictures) > _OPEN


def gallery(records: Sequence[Record], runs: Path | None = None) -> list[Group]:
    """All kinds that can be drawn from these records; ``runs`` is their folder, for what lies beside the records."""
    kinds = sorted(KINDS, key=lambda kind: (list(_WORDS).index(kind) if kind in _WORDS else len(_WORDS), kind))
    groups = [_group(kind, records, runs) for kind in kinds if runs or kind != "samples"]
    return [group for group in groups if group.pictures]


def _group(kind: str, records: Sequence[Record], runs: Path | None) -> Group:
    try:
        drawings = draw(kind, records, runs)
    except UserError:  # nothing of this kind can be drawn from these records
        drawings = []
    pictures = [Picture(drawn.name, drawn.title, drawn.alt, inline(to_svg(drawn.figure))) for drawn in drawings]
    heading, note = _WORDS.get(kind, (kind, ""))
    return Group(kind, heading, note, pictures)


def inline(svg: str) -> str:
    """The drawing as a data URI.

    In an image, its ids, styles and scripts cannot meet those of the page, and the page may forbid inline styles.
    """
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
