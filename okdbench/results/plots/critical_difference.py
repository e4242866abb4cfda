"""Critical-difference diagrams (Demsar, 2006): mean ranks on an axis, bars over methods that are not apart."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes

from okdbench.core.errors import UserError
from okdbench.results.plots.figure import Drawing
from okdbench.results.plots.group import View, accuracy, listed
from okdbench.results.plots.style import COLUMN, GREY, LINE, canvas, footline, look, wrap
from okdbench.results.significance import FEWEST_BLOCKS, Block, Ranking, Scores, rank

NAME_WIDTH = 20
#: the highest bar, the next ones and the names, in lines of text below the axis
FIRST_BAR, BAR_STEP, LABEL_STEP = 0.65, 0.5, 1.15


def paint(view: View) -> list[Drawing]:
    """One diagram over the blocks, each a setting with a seed, that all of its methods have."""
    scores = comparable(
        {
            method: {Block(view.contest.dataset, *cell): accuracy(run) for cell, run in runs.items()}
            for method, runs in view.finished.items()
        }
    )
    ranking = rank(scores)
    if ranking.critical is None or ranking.p is None:
        raise UserError(
            f"a critical-difference diagram needs {FEWEST_BLOCKS} blocks (a setting with a seed) that three methods "
            f"share, and there are {ranking.blocks}; add some with okdbench run --seeds"
        )
    names = sorted(ranking.ranks, key=lambda name: (ranking.ranks[name], name))
    bars = groups(ranking.ranks, ranking.critical)
    left, right = names[: (len(names) + 1) // 2], names[: (len(names) - 1) // 2 : -1]
    depth = max(sum(_height(name) for name in side) for side in (left, right)) + FIRST_BAR + BAR_STEP * len(bars)
    figure = canvas(COLUMN, 0.75 + LINE * depth)
    axes = figure.subplots()
    _axis(axes, len(names), ranking.critical, depth)
    for index, members in enumerate(bars):
        ends = [ranking.ranks[members[0]] - 0.06, ranking.ranks[members[-1]] + 0.06]
        axes.plot(ends, [FIRST_BAR + BAR_STEP * index] * 2, color="black", linewidth=2.2, solid_capstyle="butt")
    for names_of_side, edge in ((left, 0.0), (right, 1.0)):
        _label(axes, view, names_of_side, ranking.ranks, FIRST_BAR + BAR_STEP * len(bars), edge)
    absent = sorted(view.finished.keys() - scores.keys())
    footline(
        figure,
        f"mean rank, 1 is best; Friedman p = {ranking.p:.2g}",
        "a bar joins methods that are not apart (Nemenyi, 5 %)",
        f"left out for missing runs: {', '.join(absent)}" if absent else "",
    )
    title = f"Critical differences over {ranking.blocks} blocks"
    return [view.draw("cd", title, _alt(names, bars, ranking), figure)]


def comparable(scores: Mapping[str, Scores]) -> dict[str, Scores]:
    """Methods that share the fewest blocks that a test needs: while they do not, the one that is most in the way goes.

    Raises:
        UserError: there are fewer than three methods.
    """
    kept = dict(scores)
    if len(kept) < 3:
        raise UserError(f"a critical-difference diagram needs three methods, and there are {len(kept)}; run another")
    while len(kept) > 3 and _shared(kept) < FEWEST_BLOCKS:
        del kept[max(kept, key=lambda name: (_shared(kept, name), -len(kept[name]), name))]
    return kept


def _shared(scores: Mapping[str, Scores], without: str = "") -> int:
    """How many blocks all methods have, but for the one called ``without``."""
    return len(set.intersection(*(set(blocks) for name, blocks in scores.items() if name != without)))


def groups(ranks: Mapping[str, float], critical: float) -> list[list[str]]:
    """The largest sets of two methods or more whose mean ranks all lie within ``critical``, from the best."""
    names = sorted(ranks, key=lambda name: (ranks[name], name))
    found: list[list[str]] = []
    for index, first in enumerate(names):
        members = [name for name in names[index:] if ranks[name] - ranks[first] <= critical]
        if len(members) > 1 and not (found and found[-1][-1] == members[-1]):
            found.append(members)
    return found


def _axis(axes: Axes, count: int, critical: float, depth: float) -> None:
    """The axis of ranks on top, with the critical difference as a bar above it."""
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
    # a difference that is wider than the axis ends with it
    axes.plot([1, min(count, 1 + critical)], [-1.5, -1.5], "|-", color="black", linewidth=0.8, clip_on=False)
    axes.text(1, -1.75, f"CD = {critical:.2f}", ha="left", va="bottom")


def _label(axes: Axes, view: View, names: list[str], ranks: Mapping[str, float], top: float, edge: float) -> None:
    """Names on one side, each tied to its rank; the outermost is the highest, so no two ties cross."""
    y = top
    for name in names:
        y += _height(name) / 2
        colour, marker = look(name)
        limit = axes.get_xlim()[round(edge)]
        axes.plot([ranks[name], ranks[name], limit], [0, y, y], color=GREY, linewidth=0.6, clip_on=False, zorder=1)
        axes.plot(ranks[name], 0, marker, color=colour, clip_on=False, zorder=3)
        axes.annotate(
            wrap(name, NAME_WIDTH),
            (limit, y),
            (4 if edge else -4, 0),
            textcoords="offset points",
            ha="left" if edge else "right",
            va="center",
            style="italic" if view.is_reference(name) else "normal",
            annotation_clip=False,
        )
        y += _height(name) / 2


def _height(name: str) -> float:
    return LABEL_STEP + wrap(name, NAME_WIDTH).count("\n")


def _alt(names: list[str], bars: list[list[str]], ranking: Ranking) -> str:
    ranks = listed([f"{name} {ranking.ranks[name]:.2f}" for name in names])
    joined = "; not apart are " + "; ".join(map(listed, bars)) if bars else "; all are apart"
    return (
        f"Mean ranks over {ranking.blocks} blocks with a critical difference of {ranking.critical:.2f}: {ranks}{joined}"
    )
