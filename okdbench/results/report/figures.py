"""The figures of the page, grouped by kind of plot, each as an image that is embedded in the page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from okdbench.core.errors import UserError
from okdbench.results.plots import KINDS, OVER_LABELS, draw, to_svg
from okdbench.results.records import Record
from okdbench.results.sources import Source, paths_of

#: kind of plot -> heading, and how to read it, in the order of the page
_HEADINGS = {
    "bars": (
        "Accuracy",
        "Further right is better. Lines are 95 % intervals of the mean over seeds (Student's t). Each is of one "
        "method, so overlaps do not say whether two methods differ; the marks of the leaderboard do.",
    ),
    "cd": (
        "Differences from the best method",
        "Closer to 0 is better. Lines are 95 % intervals, simultaneous over all rows of the table (Games and Howell). "
        "Where one reaches 0 (≈), the method cannot be told from the best one; hollow markers are provisional.",
    ),
    "pareto": (
        "Accuracy against cost",
        "Up is more accurate, left is cheaper. A method is on the Pareto front when no other is both above and left.",
    ),
    "retention": (
        "Student's and teacher's domains",
        "Accuracy in the student's own domain, and what the student retains in the teacher's. Best is up and right.",
    ),
    "stages": ("Stages", "What each stage of a method adds to the student's accuracy."),
    "gap": (
        "Selection gap",
        "The best test accuracy of a run minus its accuracy at the step that validation selects. The selected accuracy "
        "is the one that is ranked; a small gap means luck or stable training.",
    ),
    "shots": (
        "What a method adds to the labels",
        "Accuracy minus that of fine-tuning on the same labels, by labels per class, with 95 % intervals of the paired "
        "difference over seeds. The dashed line is the frozen teacher.",
    ),
    "samples": ("Generated images", "Outputs of the generators. They are training data for the student, not a goal."),
}
#: undoes what style.css does with figures on a dark page
_PHOTOGRAPHS = "@media screen and (prefers-color-scheme:dark){image{filter:invert(1) hue-rotate(180deg)}}"
#: where an SVG points to an id
_REFERENCES = re.compile(r'(?<=href="#)[^"]+|(?<=url\(#)[^)]+')
#: with more figures of one kind than this, each is collapsed
_MAX_OPEN = 2


@dataclass(frozen=True)
class ReportFigure:
    """A figure for an ``<img>`` element; ``source`` is a data URI."""

    name: str
    title: str
    alt: str
    source: str


@dataclass(frozen=True)
class FigureGroup:
    """All figures of one kind of plot."""

    kind: str
    heading: str
    note: str
    figures: Sequence[ReportFigure]

    @property
    def collapsed(self) -> bool:
        """Whether each figure is hidden until its title is clicked."""
        return len(self.figures) > _MAX_OPEN


def figure_groups(records: Sequence[Record], runs: Source | Iterable[Source] = ()) -> list[FigureGroup]:
    """Draw every kind of plot that these records allow; ``runs`` is where they are from, for files beside them."""
    headings, sources = list(_HEADINGS), paths_of(runs)
    kinds = sorted(
        [*KINDS, *OVER_LABELS], key=lambda kind: (headings.index(kind) if kind in _HEADINGS else len(headings), kind)
    )
    # Samples are files beside the records, so an archive has none. A figure for each method would be most of the page,
    # and the curves of a run are on its own page.
    beside = set() if any(path.is_dir() for path in sources) else {"samples"}
    left_out = {"confusion", "calibration", "curves"} | beside
    groups = [_group(kind, records, sources) for kind in kinds if kind not in left_out]
    return [group for group in groups if group.figures]


def _group(kind: str, records: Sequence[Record], runs: Sequence[Source]) -> FigureGroup:
    try:
        plotted = draw(kind, records, runs)
    except UserError:  # these records lack what this kind of plot needs
        plotted = []
    figures = [ReportFigure(one.name, one.title, one.alt, data_uri(to_svg(one.figure))) for one in plotted]
    heading, note = _HEADINGS.get(kind, (kind, ""))
    return FigureGroup(kind, heading, note, figures)


def data_uri(svg: str) -> str:
    """Encode an SVG as a data URI.

    Inside an ``<img>``, its ids, styles and scripts cannot clash with those of the page, and the page's content
    security policy may forbid inline styles. A dark page inverts its figures; photographs are inverted once more.
    """
    svg = _shortened(svg).replace("</svg>", f"<style>{_PHOTOGRAPHS}</style></svg>")
    # Percent signs take less room than base64, because most of an SVG is digits.
    return "data:image/svg+xml," + quote(svg, safe=" !$&'()*+,/:;=?@[]")


def _shortened(svg: str) -> str:
    """The same image in half of the room: short ids, only where they are used, and no blanks between tags."""
    used = dict.fromkeys(_REFERENCES.findall(svg))
    short = {name: f"i{number:x}" for number, name in enumerate(used)}
    svg = _REFERENCES.sub(lambda found: short[found[0]], svg)
    svg = re.sub(r' id="([^"]*)"', lambda found: f' id="{short[found[1]]}"' if found[1] in short else "", svg)
    return re.sub(r"\s+", " ", re.sub(r">\s+<", "><", svg))
