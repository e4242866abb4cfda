"""Scatter plots over all settings: accuracy against cost, and against retention on the teacher's domains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator

from okdbench.core.errors import UserError
from okdbench.results.columns import is_complete
from okdbench.results.grouping import ALL
from okdbench.results.plots.figure import PlotFigure
from okdbench.results.plots.group import (
    PlotGroup,
    join_names,
    mean_over,
    teacher_own_accuracy,
    teacher_transfer_accuracy,
)
from okdbench.results.plots.style import COLUMN_WIDTH, FAINT, GREY, add_legend, method_style, new_figure, within_percent
from okdbench.results.table import Row

#: column of the leaderboard -> axis label; less is better
COSTS = {
    "teacher_queries": "images through\nthe teacher",
    "generator_steps": "updates of\nthe generator",
    "passes": "images through any\nnetwork, both ways",
}
LEGEND_COLUMNS = 3
#: not "teacher", which is a reference row of its own
TEACHER = "frozen teacher"
#: from this ratio of the largest to the smallest cost on, an axis is logarithmic
LOG_RATIO = 50


class Point(NamedTuple):
    """A method's cost, or its accuracy on another domain, and its accuracy."""

    x: float
    acc: float


def pareto_front(points: Mapping[str, Point]) -> list[str]:
    """Methods that no other method beats in cost or accuracy without losing in the other, cheapest first."""
    best = float("-inf")
    kept: list[str] = []
    for method in sorted(points, key=lambda name: (points[name].x, -points[name].acc, name)):
        # a tie with the last member of the front is on the front too
        if points[method].acc > best or (kept and points[method] == points[kept[-1]]):
            best = points[method].acc
            kept.append(method)
    return kept


def plot_pareto(group: PlotGroup) -> list[PlotFigure]:
    """Draw accuracy against the costs side by side; the Pareto front is ringed and joined by steps.

    Raises:
        UserError: no method has a run in a default setting, or none has its costs.
    """
    rows = _rows(group)
    # Where no row is complete, all count, because nothing would be on the front otherwise.
    complete = {method for method, row in rows.items() if is_complete(row)} or set(rows)
    figure = new_figure(COLUMN_WIDTH, 2.3)
    fronts = {}
    # A cost that no row has, such as that of generators among methods without one, has no panel.
    costs = {column: label for column, label in COSTS.items() if any(row[column] for row in rows.values())}
    if not costs:
        raise UserError("no record has its costs; run the methods again")
    panels = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
    for index, (axes, (column, label)) in enumerate(zip(panels, costs.items(), strict=True)):
        points = {m: Point(row[column], row["acc"]) for m, row in rows.items() if row[column] is not None}
        # A privileged method is never on the front, because it sees what no method may.
        fronts[column] = pareto_front(
            {m: point for m, point in points.items() if m in complete and rows[m]["role"] != "privileged"}
        )
        _scatter(axes, points, fronts[column], complete)
        axes.set_xlabel(label)
        if index == 0:
            axes.set_ylabel("accuracy, %")
    add_legend(figure, _marks(rows), LEGEND_COLUMNS, _hollow(rows, complete))
    named = "; ".join(f"for {column.replace('_', ' ')}: {join_names(names)}" for column, names in fronts.items())
    alt = f"Accuracy of {len(rows)} methods against {len(costs)} costs; nothing is both cheaper and better {named}"
    return [group.finish("pareto", f"Accuracy against cost{group.in_setting}; ringed: Pareto front", alt, figure)]


def plot_retention(group: PlotGroup) -> list[PlotFigure]:
    """Draw accuracy on the teacher's domains against accuracy on the student's domain, with the teacher as a star.

    Raises:
        UserError: no run was evaluated on the teacher's domains.
    """
    rows = {method: row for method, row in _rows(group).items() if row["retention"] is not None}
    if not rows:
        raise UserError(
            "no run was evaluated on the teacher's domains, so retention is unknown; run a setting that has any"
        )
    complete = {method for method, row in rows.items() if is_complete(row)} or set(rows)
    figure = new_figure(COLUMN_WIDTH, 2.6)
    marks = _marks(rows)
    axes = figure.subplots()
    for method, row in rows.items():
        _cross(axes, row, method_style(method).colour)
    _scatter(axes, {m: Point(row["acc"], row["retention"]) for m, row in rows.items()}, [], complete)
    within_percent(axes)
    own, transfer = (
        mean_over(group.teachers, teacher_own_accuracy),
        mean_over(group.teachers, teacher_transfer_accuracy),
    )
    if own is not None and transfer is not None:
        (marks[TEACHER],) = axes.plot(transfer, own, "*", color="black", markersize=7, linestyle="none", zorder=4)
    axes.set_xlabel("accuracy on the student's domain, %")
    axes.set_ylabel("accuracy on the teacher's domains, %")
    add_legend(figure, marks, LEGEND_COLUMNS, "lines: 95 % intervals", _hollow(rows, complete))
    teacher = "" if own is None or transfer is None else f"; the teacher has {transfer:.1f} and {own:.1f} %"
    best = max(rows, key=lambda method: float(rows[method]["retention"]))
    alt = (
        f"Accuracy of {len(rows)} students on their own domain and on the teacher's domains{teacher}; {best} retains "
        f"most, {rows[best]['retention']:.1f} %"
    )
    title = f"Accuracy on the student's and teacher's domains{group.in_setting}"
    return [group.finish("retention", title, alt, figure)]


def _cross(axes: Axes, row: Row, colour: str) -> None:
    """Both intervals of a row, as thin lines behind its mark."""
    look: dict[str, Any] = {"color": colour, "linewidth": 0.7, "alpha": 0.6, "zorder": 2}
    if row["acc_low"] is not None:
        axes.plot([row["acc_low"], row["acc_high"]], [row["retention"]] * 2, **look)
    if row["retention_low"] is not None:
        axes.plot([row["acc"]] * 2, [row["retention_low"], row["retention_high"]], **look)


def _rows(group: PlotGroup) -> dict[str, Row]:
    """Method -> its row over all settings, in the group's order."""
    # a method without a run in any default setting has no row over all settings
    rows = {method: group.rows[method, ALL] for method in group.methods if (method, ALL) in group.rows}
    if not rows:
        raise UserError("no method has a run in a default setting; run one, or choose the settings with --setting")
    return rows


def _hollow(rows: Mapping[str, Row], complete: set[str]) -> str:
    """The note that explains hollow markers."""
    if complete < set(rows):
        return "hollow: runs are missing, so the method is not on the front"
    return "" if all(map(is_complete, rows.values())) else "no method has all of its runs"


def _marks(methods: Iterable[str]) -> dict[str, Line2D]:
    styles = {method: method_style(method) for method in methods}
    return {m: Line2D([], [], linestyle="none", marker=marker, color=c) for m, (c, marker) in styles.items()}


def _scatter(axes: Axes, points: Mapping[str, Point], best: Sequence[str], complete: set[str]) -> None:
    """Draw the points, those of ``best`` ringed and joined."""
    if not points:
        return
    steps = [points[method] for method in best]
    # post: from one method of the front up to the next, the cheaper one is the best that the cost allows.
    axes.step([p.x for p in steps], [p.acc for p in steps], where="post", color=GREY, linewidth=0.8, zorder=1)
    for method, point in points.items():
        colour, marker = method_style(method)
        face = colour if method in complete else "white"
        edge = "black" if method in best else colour
        axes.plot(
            point.x,
            point.acc,
            marker,
            color=colour,
            markerfacecolor=face,
            markeredgecolor=edge,
            markersize=4.5,
            zorder=3,
        )
    xs = [point.x for point in points.values()]
    if min(xs) > 0 and max(xs) > LOG_RATIO * min(xs):
        axes.set_xscale("log")
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.margins(0.1)
    axes.grid(color=FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
