"""Pictures of records. Pure functions: what is made of them can be deleted and rebuilt. No torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from okdbench.core.errors import UserError, unknown
from okdbench.results.plots import accuracy as bars
from okdbench.results.plots import critical_difference as ranks
from okdbench.results.plots import samples as pictures
from okdbench.results.plots import stages as strips
from okdbench.results.plots import tradeoffs as costs
from okdbench.results.plots import training_curves as curves
from okdbench.results.plots.figure import FIGURE_FORMATS, Drawing, save, to_svg
from okdbench.results.plots.group import View, views
from okdbench.results.plots.style import house
from okdbench.results.records import Record

__all__ = ["FIGURE_FORMATS", "KINDS", "Drawing", "draw", "save", "to_svg"]

#: kind -> what paints it, in the order in which they are read
KINDS: Mapping[str, Callable[[View], list[Drawing]]] = {
    "bars": bars.paint,
    "curves": curves.paint,
    "pareto": costs.paint,
    "cd": ranks.paint,
    "retention": costs.paint_retention,
    "stages": strips.paint_stages,
    "samples": pictures.paint,
    "gap": strips.paint_gap,
}


def draw(kind: str, records: Sequence[Record], runs: Path | None = None) -> list[Drawing]:
    """The pictures of one kind, at least one; no picture mixes contests.

    Args:
        kind: one of :data:`KINDS`.
        records: finished and failed runs of any contests; those of another protocol version are left out.
        runs: the folder of runs, for the kind that shows what a run keeps beside its record.

    Raises:
        UserError: there is no such kind, or no contest has what it takes; the message says what.
    """
    if kind not in KINDS:
        raise unknown("kind of plot", kind, KINDS)
    drawings: list[Drawing] = []
    reasons: list[UserError] = []
    with house():
        for view in views(records, runs):
            if not view.finished:
                continue
            try:
                drawings += KINDS[kind](view)
            except UserError as error:  # another contest may have what this one lacks
                reasons.append(error)
    if not drawings:
        nothing = UserError("there is no finished run to plot; make some with okdbench run, or name others with --runs")
        raise next(iter(reasons), nothing)
    return drawings
