"""Pictures with a line for each method: accuracy after each stage, and the selection gap."""

from __future__ import annotations

import math
from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from okdbench.core.errors import UserError
from okdbench.results.grouping import Cell
from okdbench.results.plots.figure import Drawing
from okdbench.results.plots.group import View, mean_over
from okdbench.results.plots.row_layout import label_lines, layout, write_beside
from okdbench.results.plots.style import COLUMN, GREY, LINE, Look, canvas, footline, look
from okdbench.results.records import Record


def paint_stages(view: View) -> list[Drawing]:
    """Accuracy on both kinds of domains after each stage, one below the other."""
    stages = {method: _stages(view.finished[method]) for method in view.methods}
    if not any(stages.values()):
        raise UserError("no record has results by stage; run the methods again")
    lines = layout(view, {method: len(names) for method, names in stages.items()})
    figure = canvas(COLUMN, 0.55 + LINE * lines.height)
    axes = figure.subplots()
    for method, middle in lines.places.items():
        places = {s: middle + index + (1 - len(stages[method])) / 2 for index, s in enumerate(stages[method])}
        _stage_marks(axes, view.finished[method], look(method), places)
        for stage, y in places.items():
            write_beside(axes, y, stage, right=True)
    label_lines(axes, lines)
    _fit(axes, "accuracy after the stage, %")
    footline(
        figure,
        "filled: student's domain; hollow: teacher's domains",
        "line: from the lowest to the highest run",
    )
    alt = "Accuracy on the student's and on the teacher's domains after each stage: " + "; ".join(
        f"{method} {', '.join(_spell(view.finished[method], stage) for stage in names)}"
        for method, names in stages.items()
    )
    return [view.draw("stages", "Accuracy after each stage", alt, figure)]


def paint_gap(view: View) -> list[Drawing]:
    """Best on test minus selected: each run a dot, the mean a stroke."""
    gaps = {method: [run.selection_gap for run in view.finished[method].values()] for method in view.methods}
    found = {method: [gap for gap in values if gap is not None] for method, values in gaps.items()}
    if not any(found.values()):
        raise UserError("no record says which evaluation was best on test; run the methods again")
    lines = layout(view)
    figure = canvas(COLUMN, 0.55 + LINE * lines.height)
    axes = figure.subplots()
    means = {}
    for method, y in lines.places.items():
        colour, marker = look(method)
        if not found[method]:
            continue
        axes.plot(found[method], [y] * len(found[method]), marker, color=colour, alpha=0.55, mew=0, clip_on=False)
        mean = mean_over(view.finished[method], lambda run: run.selection_gap)
        if mean is not None:
            means[method] = mean
            axes.plot(mean, y, "|", color="black", markersize=9, markeredgewidth=1.4, zorder=4, clip_on=False)
    label_lines(axes, lines)
    _fit(axes, "selection gap, points of accuracy")
    axes.axvline(0, color=GREY, linewidth=0.5, zorder=0)
    footline(figure, "mark: a run; stroke: mean over settings")
    if not means:
        raise UserError("no run knows its best evaluation, so there is no selection gap")
    largest = max(means, key=lambda method: means[method])
    alt = f"Selection gap of {len(means)} methods; the largest mean is {means[largest]:.2f} points ({largest})"
    return [view.draw("gap", "Selection gap: best on test minus selected", alt, figure)]


def _stages(runs: dict[Cell, Record]) -> list[str]:
    """The stages of a method in their order."""
    return list(dict.fromkeys(stage for run in runs.values() for stage in run.stages))


def _accuracy(run: Record, stage: str, own: bool) -> float:
    """After the stage, on the student's ``own`` domain or on the teacher's; NaN where it is not known."""
    outcome = run.stages.get(stage)
    if outcome is None:
        return math.nan
    accuracy = outcome.evaluation.test.acc if own else outcome.teacher_domain_acc
    return math.nan if accuracy is None else accuracy


def _mean(runs: Mapping[Cell, Record], stage: str, own: bool) -> float | None:
    return mean_over(runs, lambda run: _accuracy(run, stage, own))


def _stage_marks(axes: Axes, runs: Mapping[Cell, Record], look: Look, places: dict[str, float]) -> None:
    for own in (True, False):
        path = []
        for stage, y in places.items():
            values = [acc for run in runs.values() if math.isfinite(acc := _accuracy(run, stage, own))]
            mean = _mean(runs, stage, own)
            if mean is not None:
                axes.plot([min(values), max(values)], [y, y], color=look.colour, linewidth=0.8, alpha=0.5, zorder=1)
                axes.plot(mean, y, look.marker, color=look.colour, mfc=look.colour if own else "white", zorder=3)
                path.append((mean, y))
        axes.plot([x for x, _ in path], [y for _, y in path], color="0.7", linewidth=0.5, zorder=2)


def _spell(runs: Mapping[Cell, Record], stage: str) -> str:
    both = (_mean(runs, stage, own) for own in (True, False))
    return f"{stage} " + " and ".join("unknown" if mean is None else f"{mean:.1f}" for mean in both)


def _fit(axes: Axes, label: str) -> None:
    axes.set_xlabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.margins(x=0.04)
