"""Figures with one row per method: accuracy after each stage, and the selection gap."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from okdbench.core.errors import UserError
from okdbench.results.grouping import Cell
from okdbench.results.plots.figure import PlotFigure
from okdbench.results.plots.group import PlotGroup, interval_over, mean_over
from okdbench.results.plots.row_layout import annotate_row, label_rows, layout_rows
from okdbench.results.plots.style import (
    COLUMN_WIDTH,
    GREY,
    LINE_HEIGHT,
    MethodStyle,
    add_notes,
    method_style,
    new_figure,
    within_percent,
)
from okdbench.results.records import Record


def plot_stages(group: PlotGroup) -> list[PlotFigure]:
    """Draw accuracy on the student's and on the teacher's domains after each stage, one stage below the other.

    Raises:
        UserError: no record has results by stage.
    """
    stages = {method: _stages(group.finished[method]) for method in group.methods}
    if not any(stages.values()):
        raise UserError("no record has results by stage; run the methods again")
    layout = layout_rows(group, {method: len(names) for method, names in stages.items()})
    figure = new_figure(COLUMN_WIDTH, 0.55 + LINE_HEIGHT * layout.height)
    axes = figure.subplots()
    for method, middle in layout.centres.items():
        # stages are centred in the method's row, one line of text each
        heights = {s: middle + index + (1 - len(stages[method])) / 2 for index, s in enumerate(stages[method])}
        _draw_stages(axes, group.finished[method], method_style(method), heights)
        for stage, y in heights.items():
            annotate_row(axes, y, stage, right=True)
    _fit(axes, "accuracy after the stage, %")
    within_percent(axes)
    label_rows(axes, layout)
    add_notes(
        figure,
        "filled: student's domain; hollow: teacher's domains",
        "line: 95 % interval of the mean",
    )
    alt = "Accuracy on the student's and on the teacher's domains after each stage: " + "; ".join(
        f"{method} {', '.join(_describe(group.finished[method], stage) for stage in names)}"
        for method, names in stages.items()
    )
    return [group.finish("stages", f"Accuracy after each stage{group.in_setting}", alt, figure)]


def plot_selection_gap(group: PlotGroup) -> list[PlotFigure]:
    """Draw the best test accuracy minus the selected one: a mark per run, a stroke for the mean.

    Raises:
        UserError: no record has the best test accuracy.
    """
    gaps = {method: [run.selection_gap for run in group.finished[method].values()] for method in group.methods}
    found = {method: [gap for gap in values if gap is not None] for method, values in gaps.items()}
    if not any(found.values()):
        raise UserError("no record has its best test accuracy, so there is no selection gap; run the methods again")
    layout = layout_rows(group)
    figure = new_figure(COLUMN_WIDTH, 0.55 + LINE_HEIGHT * layout.height)
    axes = figure.subplots()
    means = {}
    for method, y in layout.centres.items():
        colour, marker = method_style(method)
        if not found[method]:
            continue
        # transparent marks, so that runs with equal gaps look darker
        axes.plot(found[method], [y] * len(found[method]), marker, color=colour, alpha=0.55, mew=0, clip_on=False)
        mean = mean_over(group.finished[method], lambda run: run.selection_gap)
        if mean is not None:
            means[method] = mean
            axes.plot(mean, y, "|", color="black", markersize=9, markeredgewidth=1.4, zorder=4, clip_on=False)
    label_rows(axes, layout)
    _fit(axes, "selection gap, percentage points")
    axes.axvline(0, color=GREY, linewidth=0.5, zorder=0)
    add_notes(figure, "mark: a run; stroke: mean over settings")
    # a gap may be NaN, which mean_over skips
    if not means:
        raise UserError("no record has a finite selection gap; run the methods again")
    largest = max(means, key=lambda method: means[method])
    alt = f"Selection gap of {len(means)} methods; the largest mean is {means[largest]:.2f} points ({largest})"
    return [group.finish("gap", f"Selection gap{group.in_setting}: best on test minus selected", alt, figure)]


def _stages(runs: dict[Cell, Record]) -> list[str]:
    """The stages of a method in the order of training."""
    # Over all runs, because one of them may lack a stage.
    return list(dict.fromkeys(stage for run in runs.values() for stage in run.stages))


def _accuracy(run: Record, stage: str, own: bool) -> float:
    """Accuracy after the stage on the student's ``own`` domain or on the teacher's domains; NaN if unknown."""
    outcome = run.stages.get(stage)
    if outcome is None:
        return math.nan
    accuracy = outcome.evaluation.test.acc if own else outcome.retention
    return math.nan if accuracy is None else accuracy


def _mean(runs: Mapping[Cell, Record], stage: str, own: bool) -> float | None:
    return mean_over(runs, lambda run: _accuracy(run, stage, own))


def _draw_stages(axes: Axes, runs: Mapping[Cell, Record], style: MethodStyle, heights: dict[str, float]) -> None:
    """Draw mean and interval of each stage and connect the means; ``heights`` maps a stage to its y coordinate."""
    for own in (True, False):  # the student's domain is filled, the teacher's domains are hollow
        path = []
        for stage, y in heights.items():
            mean = _mean(runs, stage, own)
            if mean is not None:
                ends = interval_over(runs, partial(_accuracy, stage=stage, own=own)) or (mean, mean)
                axes.plot(ends, [y, y], color=style.colour, linewidth=0.8, alpha=0.5, zorder=1)
                axes.plot(mean, y, style.marker, color=style.colour, mfc=style.colour if own else "white", zorder=3)
                path.append((mean, y))
        axes.plot([x for x, _ in path], [y for _, y in path], color="0.7", linewidth=0.5, zorder=2)


def _describe(runs: Mapping[Cell, Record], stage: str) -> str:
    both = (_mean(runs, stage, own) for own in (True, False))
    return f"{stage} " + " and ".join("unknown" if mean is None else f"{mean:.1f}" for mean in both)


def _fit(axes: Axes, label: str) -> None:
    axes.set_xlabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.margins(x=0.04)
