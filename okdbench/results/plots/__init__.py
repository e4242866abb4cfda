"""Figures from run records. Every function is pure, so each figure can be deleted and rebuilt. Loads no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from okdbench.core.errors import UserError, unknown
from okdbench.results.plots.accuracy import plot_accuracy
from okdbench.results.plots.calibration import plot_calibration
from okdbench.results.plots.confusion import plot_confusion
from okdbench.results.plots.differences import plot_differences
from okdbench.results.plots.figure import FIGURE_FORMATS, PlotFigure, save, to_svg
from okdbench.results.plots.group import PlotGroup, families, plot_groups
from okdbench.results.plots.label_curves import plot_label_gains
from okdbench.results.plots.samples import plot_samples
from okdbench.results.plots.stages import plot_selection_gap, plot_stages
from okdbench.results.plots.style import plot_style
from okdbench.results.plots.tradeoffs import plot_pareto, plot_retention
from okdbench.results.plots.training_curves import plot_training_curves
from okdbench.results.records import Record
from okdbench.results.sources import Source

__all__ = ["FIGURE_FORMATS", "FROM_FILES", "KINDS", "OVER_LABELS", "PlotFigure", "draw", "save", "to_svg"]

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
#: the same for kinds that draw one figure for groups that differ in the number of labels alone
OVER_LABELS: Mapping[str, Callable[[Sequence[PlotGroup]], list[PlotFigure]]] = {"shots": plot_label_gains}
#: kinds that read files beside the records, so that an archive has none
FROM_FILES = frozenset({"samples", "confusion", "calibration"})


def draw(kind: str, records: Sequence[Record], runs: Source | Iterable[Source] = ()) -> list[PlotFigure]:
    """Draw the figures of one kind, at least one; no figure mixes comparison groups.

    Args:
        kind: one of :data:`KINDS` or :data:`OVER_LABELS`.
        records: finished and failed runs of any comparison groups; superseded records are ignored.
        runs: the folders and archives of the records, for the kinds of :data:`FROM_FILES`.

    Raises:
        UserError: the kind is unknown, or no comparison group has the required data; the message names what is missing.
    """
    if kind not in (kinds := [*KINDS, *OVER_LABELS]):
        raise unknown("kind of plot", kind, kinds)
    figures: list[PlotFigure] = []
    reasons: list[UserError] = []
    with plot_style():
        groups = [group for group in plot_groups(records, runs) if group.finished]
        drawn = (
            [partial(KINDS[kind], group) for group in groups]
            if kind in KINDS
            else [partial(OVER_LABELS[kind], family) for family in families(groups)]
        )
        for draw_figures in drawn:
            try:
                figures += draw_figures()
            except UserError as error:  # another comparison group may have the data that this one lacks
                reasons.append(error)
    if not figures:
        nothing = UserError("there is no finished run to plot; make some with okdbench run, or name others with --runs")
        raise next(iter(reasons), nothing)
    return figures
