"""Accuracy by setting with 95 % confidence intervals: one panel per setting, one row per method."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from okdbench.results.columns import is_complete
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
    """Draw one figure: dots with intervals on one axis, sorted by accuracy, reference rows below a rule."""
    settings = group.settings
    panels = [ALL, *settings] if len(settings) > 1 else settings
    # up to four panels fit into one printed column
    columns, width = (min(2, len(panels)), COLUMN_WIDTH) if len(panels) <= 4 else (5, PAGE_WIDTH)
    rows = [row for (_, setting), row in group.rows.items() if setting in panels]
    figure = _panels(group, panels, columns, width)
    add_notes(
        figure,
        "accuracy on the test images, %",
        "lines: 95 % intervals; a line without an end goes on beyond the axis; dashes: the teacher",
        "no line: no interval, which needs two seeds" if any(map(_lacks_interval, rows)) else "",
        "hollow: runs are missing" if not all(map(is_complete, rows)) else "",
    )
    title = "Accuracy" + (group.in_setting or " by setting")
    return [group.finish("bars", title, _alt(group, panels[0]), figure)]


def _panels(group: PlotGroup, panels: list[str], columns: int, width: float) -> Figure:
    layout = layout_rows(group)
    count = math.ceil(len(panels) / columns)
    figure = new_figure(width, 0.15 + count * (0.3 + LINE_HEIGHT * layout.height))
    grid = figure.subplots(count, columns, squeeze=False, sharey=True)
    limits = _limits([row for (_, setting), row in group.rows.items() if setting in panels])
    for index, axes in enumerate(grid.flat):
        if index >= len(panels):
            axes.remove()
            continue
        axes.set_xlim(limits)
        _panel(axes, group, panels[index], layout)
        label_rows(axes, layout, named=index % columns == 0)
        if len(panels) > 1:
            axes.set_title("all settings" if panels[index] == ALL else panels[index])
    return figure


def _limits(rows: Sequence[Row]) -> tuple[float, float]:
    """One axis for all panels, with every interval that ends between 0 and 100 %."""
    ends = [value for row in rows for name in ("acc_low", "acc", "acc_high") if (value := row[name]) is not None]
    low, high = max(0.0, min(ends)), min(100.0, max(ends))
    margin = 0.04 * max(1.0, high - low)
    return low - margin, high + margin


def _panel(axes: Axes, group: PlotGroup, setting: str, layout: RowLayout) -> None:
    teachers = {cell: run for cell, run in group.teachers.items() if setting in (ALL, cell.setting)}
    teacher_acc = mean_over(teachers, teacher_transfer_accuracy)
    start, _ = axes.get_xlim()
    if teacher_acc is not None and teacher_acc > start:
        axes.axvline(teacher_acc, color="black", linestyle=(0, (3, 2)), linewidth=0.8, zorder=1)
    for method, y in layout.centres.items():
        if row := group.rows.get((method, setting)):
            _draw_row(axes, y, method, row)
            annotate_row(axes, y, f"{row['acc']:.1f}", right=True, color=GREY)
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.tick_params(axis="x", color=GREY)


def _draw_row(axes: Axes, y: float, method: str, row: Row) -> None:
    """Draw a dot within its interval, whose ends are marked where they are on the axis."""
    colour, marker = method_style(method)
    face = colour if is_complete(row) else "white"
    if not _lacks_interval(row):
        ends, limits = (row["acc_low"], row["acc_high"]), axes.get_xlim()
        axes.plot([max(limits[0], ends[0]), min(limits[1], ends[1])], [y, y], color=colour, linewidth=1.2)
        shown = [end for end in ends if limits[0] <= end <= limits[1]]
        axes.plot(shown, [y] * len(shown), "|", color=colour, markersize=5)
    axes.plot(row["acc"], y, marker, color=colour, markerfacecolor=face, markersize=4, zorder=3)


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
