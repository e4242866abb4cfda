"""What accuracy costs, and what it is paid with: scatter plots over all settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator

from okdbench.core.errors import UserError
from okdbench.results.grouping import ALL
from okdbench.results.intervals import axis_start
from okdbench.results.leaderboard import Row
from okdbench.results.plots.figure import Drawing
from okdbench.results.plots.group import View, listed, mean_over, teacher_abroad, teacher_at_home
from okdbench.results.plots.style import COLUMN, FAINT, GREY, canvas, legend, look

#: column of the tables -> label; fewer is better
COSTS = {
    "student_images": "pictures that the\nstudent learned from",
    "teacher_images": "pictures that the\nteacher looked at",
    "seconds": "seconds",
}
LEGEND_COLUMNS = 3
TEACHER = "teacher as released"
#: from this ratio of the dearest to the cheapest on, an axis is logarithmic
WIDE = 50


class Point(NamedTuple):
    """A method's cost, or its accuracy elsewhere, and its accuracy."""

    x: float
    acc: float


def front(points: Mapping[str, Point]) -> list[str]:
    """Those that no other beats in one number without losing in the other, from the cheapest to the best."""
    best = float("-inf")
    kept: list[str] = []
    for method in sorted(points, key=lambda name: (points[name].x, -points[name].acc, name)):
        if points[method].acc > best or (kept and points[method] == points[kept[-1]]):
            best = points[method].acc
            kept.append(method)
    return kept


def paint(view: View) -> list[Drawing]:
    """Accuracy against three costs side by side; the front is ringed and joined by steps."""
    rows = _rows(view)
    complete = {method for method, row in rows.items() if row.is_complete} or set(rows)
    figure = canvas(COLUMN, 2.3)
    fronts = {}
    for index, (axes, (column, label)) in enumerate(
        zip(figure.subplots(1, len(COSTS), sharey=True), COSTS.items(), strict=True)
    ):
        costs = {method: getattr(row, column) for method, row in rows.items()}
        points = {m: Point(costs[m], row.acc or 0.0) for m, row in rows.items() if costs[m] is not None}
        fronts[column] = front({method: point for method, point in points.items() if method in complete})
        start = axis_start(point.acc for point in points.values())
        _scatter(axes, points, fronts[column], complete, start)
        axes.set_xlabel(label)
        if index == 0:
            axes.set_ylabel("accuracy, %")
    legend(figure, _marks(rows), LEGEND_COLUMNS, "arrows: further down", _hollow(rows, complete))
    named = "; ".join(f"for {column.replace('_', ' ')}: {listed(names)}" for column, names in fronts.items())
    alt = f"Accuracy of {len(rows)} methods against three costs; no other method is both cheaper and better {named}"
    return [view.draw("pareto", "Accuracy and what it costs; ringed: not dominated", alt, figure)]


def paint_retention(view: View) -> list[Drawing]:
    """Accuracy on the teacher's domains against accuracy on the student's, with the teacher as a star."""
    rows = {method: row for method, row in _rows(view).items() if row.teacher_domain_acc is not None}
    if not rows:
        raise UserError("no run has pictures of the teacher's domains, so nothing is known of retention")
    complete = {method for method, row in rows.items() if row.is_complete} or set(rows)
    figure = canvas(COLUMN, 2.6)
    marks = _marks(rows)
    axes = figure.subplots()
    _scatter(axes, {m: Point(row.acc or 0.0, row.teacher_domain_acc or 0.0) for m, row in rows.items()}, [], complete)
    own, there = mean_over(view.teachers, teacher_at_home), mean_over(view.teachers, teacher_abroad)
    if own is not None and there is not None:
        (marks[TEACHER],) = axes.plot(there, own, "*", color="black", markersize=7, linestyle="none", zorder=4)
    axes.set_xlabel("accuracy on the student's domain, %")
    axes.set_ylabel("accuracy on the teacher's domains, %")
    legend(figure, marks, LEGEND_COLUMNS, _hollow(rows, complete))
    teacher = "" if own is None or there is None else f"; the teacher has {there:.1f} and {own:.1f} %"
    kept = max(rows, key=lambda method: rows[method].teacher_domain_acc or 0.0)
    alt = (
        f"Accuracy of {len(rows)} students on their own domain and on the teacher's domains{teacher}; {kept} retains "
        f"most, {rows[kept].teacher_domain_acc:.1f} %"
    )
    return [view.draw("retention", "Accuracy on the student's and teacher's domains", alt, figure)]


def _rows(view: View) -> dict[str, Row]:
    """Method -> its row over all settings, in the view's order."""
    rows = {method: view.rows[method, ALL] for method in view.methods if (method, ALL) in view.rows}
    if not rows:
        raise UserError("no method has a run in a default setting; run one, or choose the settings with --setting")
    return rows


def _hollow(rows: Mapping[str, Row], complete: set[str]) -> str:
    if complete < set(rows):
        return "hollow: runs are missing, so it is compared with nobody"
    return "" if all(row.is_complete for row in rows.values()) else "no method has all of its runs"


def _marks(methods: Iterable[str]) -> dict[str, Line2D]:
    looks = {method: look(method) for method in methods}
    return {m: Line2D([], [], linestyle="none", marker=marker, color=c) for m, (c, marker) in looks.items()}


def _scatter(
    axes: Axes, points: Mapping[str, Point], best: Sequence[str], complete: set[str], start: float = 0.0
) -> None:
    """Points, those of ``best`` ringed and joined; one below ``start`` stands there, under an arrow."""
    if not points:
        return
    steps = [points[method] for method in best]
    axes.step(
        [p.x for p in steps], [max(p.acc, start) for p in steps], where="post", color=GREY, linewidth=0.8, zorder=1
    )
    for method, point in points.items():
        colour, marker = look(method)
        face = colour if method in complete else "white"
        edge = "black" if method in best else colour
        place = (point.x, max(point.acc, start))
        axes.plot(*place, marker, color=colour, markerfacecolor=face, markeredgecolor=edge, markersize=4.5, zorder=3)
        if point.acc < start:
            axes.annotate("▾", place, (0, 3), textcoords="offset points", ha="center")
    xs = [point.x for point in points.values()]
    if min(xs) > 0 and max(xs) > WIDE * min(xs):
        axes.set_xscale("log")
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.margins(0.1)
    axes.grid(color=FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
