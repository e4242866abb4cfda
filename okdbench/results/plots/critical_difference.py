"""Critical-difference diagrams (Demsar, JMLR 2006): mean ranks on an axis, bars over methods that do not differ."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes

from okdbench.core.errors import UserError
from okdbench.results.frames import finished_runs, to_frame
from okdbench.results.friedman import Ranking, rank
from okdbench.results.grouping import counted, current
from okdbench.results.plots.figure import PlotFigure
from okdbench.results.plots.group import PlotGroup, join_names
from okdbench.results.plots.style import (
    COLUMN_WIDTH,
    GREY,
    LINE_HEIGHT,
    add_notes,
    method_style,
    new_figure,
    wrap_method,
)
from okdbench.results.significance import FEWEST_BLOCKS, block_scores

NAME_WIDTH = 20
#: position of the highest bar, step between bars, and height of a name, in lines of text below the axis
FIRST_BAR, BAR_STEP, LABEL_STEP = 0.65, 0.5, 1.15


def plot_critical_difference(group: PlotGroup) -> list[PlotFigure]:
    """Draw one diagram over the blocks (setting x seed) that all of its methods share.

    Raises:
        UserError: there are fewer than three methods, or too few shared blocks.
    """
    # A privileged method is never ranked.
    records = [record for record in group.records if record.role != "privileged"]
    scores = comparable_methods(block_scores(counted(current(to_frame(records)))))
    ranking = rank(scores)
    if ranking.critical is None or ranking.p is None:
        raise UserError(
            f"a critical-difference diagram needs {FEWEST_BLOCKS} blocks (a setting with a seed) that three methods "
            f"share, and there are {ranking.blocks}; add some with okdbench run --seeds"
        )

    # ---- size: names take both sides in turn, the best half on the left
    names = sorted(ranking.ranks, key=lambda name: (ranking.ranks[name], name))
    bars = indistinguishable_groups(ranking.ranks, ranking.critical)
    left, right = names[: (len(names) + 1) // 2], names[: (len(names) - 1) // 2 : -1]
    depth = max(sum(_height(name) for name in side) for side in (left, right)) + FIRST_BAR + BAR_STEP * len(bars)
    figure = new_figure(COLUMN_WIDTH, 0.75 + LINE_HEIGHT * depth)

    # ---- drawing: axis, bars, names
    axes = figure.subplots()
    _axis(axes, len(names), ranking.critical, depth)
    for index, members in enumerate(bars):
        # A little longer than the ranks that it joins, so that its ends are visible beside the lines to the names.
        ends = [ranking.ranks[members[0]] - 0.06, ranking.ranks[members[-1]] + 0.06]
        axes.plot(ends, [FIRST_BAR + BAR_STEP * index] * 2, color="black", linewidth=2.2, solid_capstyle="butt")
    for names_of_side, edge in ((left, 0.0), (right, 1.0)):
        _label_side(axes, group, names_of_side, ranking.ranks, FIRST_BAR + BAR_STEP * len(bars), edge)
    absent = sorted(finished_runs(records).keys() - set(scores))
    add_notes(
        figure,
        f"mean rank, 1 is best; Friedman p = {ranking.p:.2g}",
        "a bar joins methods that do not differ significantly (Nemenyi, 5 %)",
        f"left out because runs are missing: {', '.join(absent)}" if absent else "",
    )
    title = f"Critical differences over {ranking.blocks} blocks"
    return [group.finish("cd", title, _alt(names, bars, ranking), figure)]


def comparable_methods(scores: pd.DataFrame) -> pd.DataFrame:
    """Keep methods (columns) that share as many blocks (rows) as the test needs, dropping the most incomplete first.

    Raises:
        UserError: there are fewer than three methods.
    """
    count = scores.shape[1]
    if count < 3:
        raise UserError(f"a critical-difference diagram needs three methods, and there are {count}; run another")
    while scores.shape[1] > 3 and len(scores.dropna()) < FEWEST_BLOCKS:
        # drop the method whose absence leaves the most shared blocks
        shared = {name: len(scores.drop(columns=name).dropna()) for name in scores}
        scores = scores.drop(columns=max(shared, key=lambda name: (shared[name], -scores[name].count(), str(name))))
    return scores


def indistinguishable_groups(ranks: Mapping[str, float], critical: float) -> list[list[str]]:
    """Maximal sets of at least two methods whose mean ranks are within ``critical`` of each other, best first."""
    names = sorted(ranks, key=lambda name: (ranks[name], name))
    found: list[list[str]] = []
    for index, first in enumerate(names):
        members = [name for name in names[index:] if ranks[name] - ranks[first] <= critical]
        # a set that ends with the same method as the one before it is contained in that one
        if len(members) > 1 and not (found and found[-1][-1] == members[-1]):
            found.append(members)
    return found


def _axis(axes: Axes, count: int, critical: float, depth: float) -> None:
    """Draw the rank axis at the top, with the critical difference as a bar above it."""
    axes.set_xlim(1, count)
    axes.set_ylim(depth, -2.2)
    axes.set_yticks([])
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="x", bottom=False, labelbottom=False)
    axes.plot([1, count], [0, 0], color="black", linewidth=0.8, clip_on=False)
    for place in range(1, count + 1, 1 if count <= 10 else 2):
        axes.plot([place, place], [0, -0.2], color="black", linewidth=0.8, clip_on=False)
        axes.text(place, -0.3, str(place), ha="center", va="bottom")
    # the critical difference may exceed the range of ranks; the bar then ends with the axis
    axes.plot([1, min(count, 1 + critical)], [-1.5, -1.5], "|-", color="black", linewidth=0.8, clip_on=False)
    axes.text(1, -1.75, f"CD = {critical:.2f}", ha="left", va="bottom")


def _label_side(
    axes: Axes, group: PlotGroup, names: list[str], ranks: Mapping[str, float], top: float, edge: float
) -> None:
    """Write the names of one side and connect each to its rank; the outermost rank is highest, so no lines cross."""
    y = top
    for name in names:
        y += _height(name) / 2
        colour, marker = method_style(name)
        limit = axes.get_xlim()[round(edge)]
        axes.plot([ranks[name], ranks[name], limit], [0, y, y], color=GREY, linewidth=0.6, clip_on=False, zorder=1)
        axes.plot(ranks[name], 0, marker, color=colour, clip_on=False, zorder=3)
        axes.annotate(
            wrap_method(name, NAME_WIDTH),
            (limit, y),
            (4 if edge else -4, 0),
            textcoords="offset points",
            ha="left" if edge else "right",
            va="center",
            style="italic" if group.is_reference(name) else "normal",
            annotation_clip=False,
        )
        y += _height(name) / 2


def _height(name: str) -> float:
    return LABEL_STEP + wrap_method(name, NAME_WIDTH).count("\n")


def _alt(names: list[str], bars: list[list[str]], ranking: Ranking) -> str:
    ranks = join_names([f"{name} {ranking.ranks[name]:.2f}" for name in names])
    joined = "; no significant difference within " + "; ".join(map(join_names, bars)) if bars else "; all differ"
    return (
        f"Mean ranks over {ranking.blocks} blocks with a critical difference of {ranking.critical:.2f}: {ranks}{joined}"
    )
