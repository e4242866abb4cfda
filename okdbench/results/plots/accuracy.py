"""Accuracy by setting with 95 % confidence intervals: one panel per setting, one row per method."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.markers import CARETLEFTBASE
from matplotlib.ticker import MaxNLocator

from okdbench.results.columns import is_complete
from okdbench.results.estimates import axis_start
from okdbench.results.grouping import ALL
from okdbench.results.plots.figure import PlotFigure
from okdbench.results.plots.group import PlotGroup, mean_over, teacher_transfer_accuracy
from okdbench.results.plots.row_layout import RowLayout, annotate_row, label_rows, layout_rows
from okdbench.results.plots.style import (
    COLUMN_WIDTH,
    GREY,
    LINE_HEIGHT,
    PAGE_WIDTH,
    add_notes,
    method_style,
    new_figure,
)
from okdbench.results.table import Row


def plot_accuracy(group: PlotGroup) -> list[PlotFigure]:
    """Draw one figure: dots with intervals, sorted by accuracy over all settings, reference rows below a rule."""
    settings = group.settings
    panels = [ALL, *settings] if len(settings) > 1 else settings
    # up to four panels fit into one printed column
    columns, width = (min(2, len(panels)), COLUMN_WIDTH) if len(panels) <= 4 else (5, PAGE_WIDTH)
    layout = layout_rows(group)
    figure = _panels(group, panels, layout, columns, width)
    rows = [row for (_, setting), row in group.rows.items() if setting in panels]
    add_notes(
        figure,
        "accuracy on the test images, %",
        "lines: 95 % intervals; dashes: the teacher; arrows: outside the axis, to the left",
        "no line: no interval, which needs two seeds" if any(map(_lacks_interval, rows)) else "",
        "hollow: runs are missing" if not all(map(is_complete, rows)) else "",
    )
    title = "Accuracy by setting" if len(settings) > 1 else f"Accuracy in setting {settings[0]}"
    return [group.finish("bars", title, _alt(group, panels[0]), figure)]


def _panels(group: PlotGroup, panels: list[str], layout: RowLayout, columns: int, width: float) -> Figure:
    count = math.ceil(len(panels) / columns)
    figure = new_figure(width, 0.15 + count * (0.3 + LINE_HEIGHT * layout.height))
    grid = figure.subplots(count, columns, squeeze=False, sharey=True)
    for index, axes in enumerate(grid.flat):
        if index >= len(panels):
            axes.remove()
            continue
        _panel(axes, group, panels[index], layout)
        label_rows(axes, layout, named=index % columns == 0)
        if len(panels) > 1:
            axes.set_title("all settings" if panels[index] == ALL else panels[index])
    return figure


def _panel(axes: Axes, group: PlotGroup, setting: str, layout: RowLayout) -> None:
    teachers = {cell: run for cell, run in group.teachers.items() if setting in (ALL, cell.setting)}
    teacher_acc = mean_over(teachers, teacher_transfer_accuracy)
    rows = {method: row for method in layout.centres if (row := group.rows.get((method, setting)))}
    # Intervals of good methods are narrow: an axis from 0 would make them invisible.
    start = axis_start(row["acc"] for row in rows.values())
    if teacher_acc is not None and teacher_acc > start:
        axes.axvline(teacher_acc, color="black", linestyle=(0, (3, 2)), linewidth=0.8, zorder=1)
    for method, row in rows.items():
        _draw_row(axes, layout.centres[method], method, row, start)
        annotate_row(axes, layout.centres[method], f"{row['acc']:.1f}", right=True, color=GREY)
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    # At least one point wide, so that equal accuracies do not give an axis without length.
    end = max([start + 1, *(max(row["acc"], row["acc_high"] or 0.0) for row in rows.values())])
    axes.set_xlim(start, start + 1.05 * (end - start))
    axes.tick_params(axis="x", color=GREY)


def _draw_row(axes: Axes, y: float, method: str, row: Row, start: float) -> None:
    """Draw a dot within its interval, or an arrow at the axis when the accuracy is below ``start``."""
    colour, marker = method_style(method)
    face = colour if is_complete(row) else "white"
    if not _lacks_interval(row):
        axes.plot([row["acc_low"], row["acc_high"]], [y, y], color=colour, linewidth=1.2, solid_capstyle="butt")
    # clip_on=False: a dot at the edge of the axis is not cut off
    style: dict[str, Any] = {"color": colour, "markerfacecolor": face, "markersize": 4, "zorder": 3, "clip_on": False}
    axes.plot(max(start, row["acc"]), y, marker=CARETLEFTBASE if row["acc"] < start else marker, **style)


def _lacks_interval(row: Row) -> bool:
    return row["acc_low"] is None


def _alt(group: PlotGroup, setting: str) -> str:
    rows = [row for (_, where), row in group.rows.items() if where == setting]
    best, worst = (pick(rows, key=lambda row: float(row["acc"])) for pick in (max, min))
    where = "over all settings" if setting == ALL else f"in setting {setting}"
    return (
        f"Dots with 95 % intervals for {len(rows)} methods in {len(group.settings)} settings; {where} the highest mean "
        f"accuracy is {best['acc']:.1f} % ({best['method']}) and the lowest {worst['acc']:.1f} % ({worst['method']})"
    )
