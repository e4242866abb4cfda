"""Training curves of each method: validation accuracy over training images, and each loss term by stage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.gridspec import GridSpec
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator

from okdbench.core.errors import UserError
from okdbench.results.grouping import Cell
from okdbench.results.plots.figure import PlotFigure
from okdbench.results.plots.group import PlotGroup
from okdbench.results.plots.style import COLUMN_WIDTH, GREY, PAGE_WIDTH, add_legend, new_figure, setting_styles
from okdbench.results.records import Record

#: x -> y of one run
Series = Mapping[float, float]
#: (stage, term) of a loss
Term = tuple[str, str]
#: with more loss terms than this, the figure is as wide as a page
FEW_TERMS = 6


def plot_training_curves(group: PlotGroup) -> list[PlotFigure]:
    """Draw one figure per method: means over seeds by setting, with bands from the lowest to the highest seed.

    Raises:
        UserError: no record has losses or more than one evaluation.
    """
    figures = [_method(group, name, runs) for name in group.methods if _has_curves(runs := group.finished[name])]
    if not figures:
        raise UserError("no record has losses or more than one evaluation to draw; run the methods again")
    return figures


def _has_curves(runs: Mapping[Cell, Record]) -> bool:
    return any(run.curves or len(run.evaluations) > 1 for run in runs.values())


def _method(group: PlotGroup, method: str, runs: Mapping[Cell, Record]) -> PlotFigure:
    # ---- size: accuracy takes the first row, the loss terms share the rows below
    terms = _terms(runs)
    width, columns = (COLUMN_WIDTH, 2) if len(terms) <= FEW_TERMS else (PAGE_WIDTH, 4)
    panels = _panels(terms, columns)
    rows = 1 + max((row for row, _ in panels.values()), default=0)
    figure = new_figure(width, 1.9 + 0.95 * (rows - 1))
    grid = GridSpec(rows, columns, figure=figure, height_ratios=[1.5] + [1.0] * (rows - 1))

    # ---- drawing
    settings = sorted({cell.setting for cell in runs})
    _accuracy(figure.add_subplot(grid[0, :]), runs, group.settings)
    for (stage, term), (row, column) in panels.items():
        axes = figure.add_subplot(grid[row, column])
        _bands(axes, {cell: _losses(run, stage, term) for cell, run in runs.items()}, group.settings)
        axes.set_title(f"{stage}: {term.replace('_', ' ')}")
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(3))
        # matplotlib's own formatter may write a common factor above the panel, where the title is.
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    styles = setting_styles(group.settings)
    several = len({cell.seed for cell in runs}) > 1
    add_legend(
        figure,
        {s: Line2D([], [], color=styles[s][0], linestyle=styles[s][1]) for s in settings},
        round(width),
        "small panels: losses over the steps of each stage" if terms else "",
        "mean over seeds; band: from the lowest to the highest" if several else "",
    )
    alt = (
        f"{'Validation' if _validated(runs) else 'Test'} accuracy of {method} over the training images of the student, "
        f"in {len(settings)} settings"
        f", and {len(terms)} loss terms over the steps of their stages"
    )
    return group.finish("curves", f"Training curves of {method}", alt, figure, part=method)


def _terms(runs: Mapping[Cell, Record]) -> list[Term]:
    """The loss terms of all stages, in the order of the stages."""
    curves = [item for run in runs.values() for item in run.curves.items()]
    stages = list(dict.fromkeys(stage for stage, _ in curves))
    found = {(stage, term) for stage, curve in curves for term in curve.losses}
    return sorted(found, key=lambda term: (stages.index(term[0]), term[1]))


def _panels(terms: Sequence[Term], columns: int) -> dict[Term, tuple[int, int]]:
    """Row and column of each term's panel, below the first row; each stage starts a new row."""
    panels: dict[Term, tuple[int, int]] = {}
    row = 1
    for _, stage_terms in groupby(terms, key=lambda term: term[0]):
        members = list(stage_terms)
        panels |= {term: (row + i // columns, i % columns) for i, term in enumerate(members)}
        row += -(-len(members) // columns)
    return panels


def _losses(run: Record, stage: str, term: str) -> Series:
    curve = run.curves.get(stage)
    values = curve.losses.get(term, []) if curve else []
    steps = curve.steps if curve else []
    # Not strict: where the run lacks the term, there are steps without values.
    return {step: value for step, value in zip(steps, values, strict=False) if value is not None}


def _accuracy(axes: Axes, runs: Mapping[Cell, Record], settings: Sequence[str]) -> None:
    """Draw validation accuracy over training images, with the ends of the stages as dotted lines.

    Where there is no validation split, it is the test accuracy, by which nothing is selected.
    """
    validated = _validated(runs)
    series = {
        cell: {
            float(e.images): e.val_acc if validated and e.val_acc is not None else e.test.acc for e in run.evaluations
        }
        for cell, run in runs.items()
    }
    _bands(axes, series, settings, marker=".")
    classes = next((run.classes for run in runs.values() if run.classes), None)
    if classes:
        axes.axhline(100 / classes, color=GREY, linewidth=0.6, linestyle=(0, (4, 2)))
        axes.annotate("chance", (1, 100 / classes), (-2, 1.5), xycoords=axes.get_yaxis_transform(),
                      textcoords="offset points", ha="right", va="bottom", color=GREY)  # fmt: skip
    axes.set_ylabel(f"{'validation' if validated else 'test'} accuracy, %")
    axes.set_xlabel("training images of the student")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    start = 0.0
    # the run with the most stages has all names, whereas a failed stage may be missing in another
    for end, names in _segments(max(runs.values(), key=lambda run: len(run.stages))):
        axes.axvline(end, color=GREY, linewidth=0.5, linestyle=":")
        if len(names) and end > start:
            middle = (start + end) / 2
            axes.text(middle, 1.02, ", ".join(names), transform=axes.get_xaxis_transform(), ha="center", color=GREY)
        start = end


def _validated(runs: Mapping[Cell, Record]) -> bool:
    """Whether every evaluation has a validation accuracy."""
    return all(e.val_acc is not None for run in runs.values() for e in run.evaluations)


def _segments(run: Record) -> list[tuple[float, list[str]]]:
    """Training images at which stages end, with the stages that end there.

    A stage that does not train the student has no length; it joins the next one.
    """
    segments: list[tuple[float, list[str]]] = []
    pending: list[str] = []
    for stage, outcome in run.stages.items():
        end, start = float(outcome.evaluation.images), segments[-1][0] if segments else 0.0
        pending.append(stage)
        if end > start:
            segments.append((end, pending))
            pending = []
    if pending and segments:
        segments[-1][1].extend(pending)
    return segments


def _bands(axes: Axes, series: Mapping[Cell, Series], settings: Sequence[str], marker: str = "") -> None:
    """Draw one line per setting, with a band where there are several seeds."""
    styles = setting_styles(settings)
    for setting in settings:
        members = [points for cell, points in sorted(series.items()) if cell.setting == setting]
        xs, mean, low, high = mean_and_range(members)
        colour, style = styles[setting]
        if len(members) > 1:
            axes.fill_between(xs, low, high, color=colour, alpha=0.18, linewidth=0)
        # A line through a single point is invisible, so that point gets a marker.
        axes.plot(xs, mean, color=colour, linestyle=style, marker=marker or ("." if len(xs) == 1 else ""))


def mean_and_range(members: Sequence[Series]) -> tuple[list[float], list[float], list[float], list[float]]:
    """The x values where any member is finite, with mean, lowest and highest value there."""
    found: dict[float, list[float]] = {}
    for points in members:
        for x, y in points.items():
            if math.isfinite(y):
                found.setdefault(x, []).append(y)
    xs = sorted(found)
    values = [found[x] for x in xs]
    return xs, [sum(v) / len(v) for v in values], [min(v) for v in values], [max(v) for v in values]
