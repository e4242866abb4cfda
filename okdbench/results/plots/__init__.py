"""Figures from run records. Every function is pure, so each figure can be deleted and rebuilt. Loads no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from okdbench.core.errors import UserError, unknown
from okdbench.results.plots.accuracy import plot_accuracy
from okdbench.results.plots.calibration import plot_calibration
from okdbench.results.plots.confusion import plot_confusion
from okdbench.results.plots.differences import plot_differences
from okdbench.results.plots.figure import FIGURE_FORMATS, PlotFigure, save, to_svg
from okdbench.results.plots.group import PlotGroup, plot_groups
from okdbench.results.plots.samples import plot_samples
from okdbench.results.plots.stages import plot_selection_gap, plot_stages
from okdbench.results.plots.style import plot_style
from okdbench.results.plots.tradeoffs import plot_pareto, plot_retention
from okdbench.results.plots.training_curves import plot_training_curves
from okdbench.results.records import Record
from okdbench.results.sources import Source

__all__ = ["FIGURE_FORMATS", "FROM_FILES", "KINDS", "PlotFigure", "draw", "save", "to_svg"]

#: kind of plot on the command line -> function that draws it for one comparison group, in reading order
KINDS: Mapping[str, Callable[[PlotGroup], list[PlotFigure]]] = {
    "bars": plot_accuracy,
    "curves": plot_training_curves,
    "pareto": plot_pareto,
    "cd": plot_differences,
    "retention": plot_retention,
    "stages": plot_stages,
    "samples": plot_samples,
    "gap": plot_selection_gap,
    "confusion": plot_confusion,
    "calibration": plot_calibration,
}
#: kinds that read files beside the records, so that an archive has none
FROM_FILES = frozenset({"samples", "confusion", "calibration"})


def draw(kind: str, records: Sequence[Record], runs: Source | Iterable[Source] = ()) -> list[PlotFigure]:
    """Draw the figures of one kind, at least one; no figure mixes comparison groups.

    Args:
        kind: one of :data:`KINDS`.
        records: finished and failed runs of any comparison groups; superseded records are ignored.
        runs: the folders and archives of the records, for the kinds of :data:`FROM_FILES`.

    Raises:
        UserError: the kind is unknown, or no comparison group has the required data; the message names what is missing.
    """
    if kind not in KINDS:
        raise unknown("kind of plot", kind, KINDS)
    figures: list[PlotFigure] = []
    reasons: list[UserError] = []
    with plot_style():
        for group in plot_groups(records, runs):
            if not group.finished:
                continue
            try:
                figures += KINDS[kind](group)
            except UserError as error:  # another comparison group may have the data that this one lacks
                reasons.append(error)
    if not figures:
        nothing = UserError("there is no finished run to plot; make some with okdbench run, or name others with --runs")
        raise next(iter(reasons), nothing)
    return figures
