"""Accuracies by setting with their 95 % intervals: a panel for each setting, a line for each method."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.markers import CARETLEFTBASE
from matplotlib.ticker import MaxNLocator

from okdbench.results.grouping import ALL
from okdbench.results.intervals import axis_start
from okdbench.results.leaderboard import Row
from okdbench.results.plots.figure import Drawing
from okdbench.results.plots.group import View, mean_over, teacher_abroad
from okdbench.results.plots.row_layout import Lines, label_lines, layout, write_beside
from okdbench.results.plots.style import COLUMN, GREY, LINE, PAGE, canvas, footline, look


def paint(view: View) -> list[Drawing]:
    """One picture: dots with intervals, sorted by the accuracy over all settings, reference rows below a gap."""
    settings = view.settings
    panels = [ALL, *settings] if len(settings) > 1 else settings
    columns, width = (min(2, len(panels)), COLUMN) if len(panels) <= 4 else (5, PAGE)
    lines = layout(view)
    figure = _panels(view, panels, lines, columns, width)
    rows = [row for (_, setting), row in view.rows.items() if setting in panels]
    footline(
        figure,
        "accuracy on the test split of the student's domain, %",
        "lines: 95 % intervals; dashes: the teacher itself; arrows: further to the left",
        "no line: no interval, for want of a second seed" if any(map(_lacks_interval, rows)) else "",
        "hollow: runs are missing" if not all(row.is_complete for row in rows) else "",
    )
    title = "Accuracy by setting" if len(settings) > 1 else f"Accuracy in setting {settings[0]}"
    return [view.draw("bars", title, _alt(view, panels[0]), figure)]


def _panels(view: View, panels: list[str], lines: Lines, columns: int, width: float) -> Figure:
    count = math.ceil(len(panels) / columns)
    figure = canvas(width, 0.15 + count * (0.3 + LINE * lines.height))
    grid = figure.subplots(count, columns, squeeze=False, sharey=True)
    for index, axes in enumerate(grid.flat):
        if index >= len(panels):
            axes.remove()
            continue
        _panel(axes, view, panels[index], lines)
        label_lines(axes, lines, named=index % columns == 0)
        if len(panels) > 1:
            axes.set_title("all settings" if panels[index] == ALL else panels[index])
    return figure


def _panel(axes: Axes, view: View, setting: str, lines: Lines) -> None:
    teacher_logits = mean_over(
        {cell: run for cell, run in view.teachers.items() if setting in (ALL, cell.setting)}, teacher_abroad
    )
    rows = {method: row for method in lines.places if (row := view.rows.get((method, setting)))}
    start = axis_start(row.acc or 0.0 for row in rows.values())
    if teacher_logits is not None and teacher_logits > start:
        axes.axvline(teacher_logits, color="black", linestyle=(0, (3, 2)), linewidth=0.8, zorder=1)
    for method, row in rows.items():
        _line(axes, lines.places[method], method, row, start)
        write_beside(axes, lines.places[method], f"{row.acc:.1f}", right=True, color=GREY)
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    end = max([start + 1, *(max(row.acc or 0.0, row.acc_high or 0.0) for row in rows.values())])
    axes.set_xlim(start, start + 1.05 * (end - start))
    axes.tick_params(axis="x", color=GREY)


def _line(axes: Axes, y: float, method: str, row: Row, start: float) -> None:
    """A dot in its interval, or an arrow out of the picture."""
    colour, marker = look(method)
    face = colour if row.is_complete else "white"
    assert row.acc is not None
    if row.acc_low is not None and row.acc_high is not None:
        axes.plot([row.acc_low, row.acc_high], [y, y], color=colour, linewidth=1.2, solid_capstyle="butt")
    looks: dict[str, Any] = {"color": colour, "markerfacecolor": face, "markersize": 4, "zorder": 3, "clip_on": False}
    axes.plot(max(start, row.acc), y, marker=CARETLEFTBASE if row.acc < start else marker, **looks)


def _lacks_interval(row: Row) -> bool:
    return row.acc_low is None


def _alt(view: View, setting: str) -> str:
    rows = [row for (_, where), row in view.rows.items() if where == setting and row.acc is not None]
    best, worst = (pick(rows, key=lambda row: row.acc or 0.0) for pick in (max, min))
    where = "over all settings" if setting == ALL else f"in setting {setting}"
    return (
        f"Dots with 95 % intervals for {len(rows)} methods in {len(view.settings)} settings; {where} the highest mean "
        f"accuracy is {best.acc:.1f} % ({best.method}) and the lowest {worst.acc:.1f} % ({worst.method})"
    )
