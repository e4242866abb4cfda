"""What ``okdbench compare`` prints: how sure it is that methods differ, from the records of their runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from okdbench.core.errors import UserError, unknown
from okdbench.results.grouping import ComparisonGroup, consult, contests
from okdbench.results.leaderboard import accuracies
from okdbench.results.records import Record
from okdbench.results.significance import Block, Comparison, Ranking, compare, holm, rank

Scores = dict[str, dict[Block, float]]


def show(names: Sequence[str], runs: Path, wanted: dict[str, str | None]) -> None:
    """Compare the methods called ``names`` on all records below ``runs`` that are of the ``wanted`` contest.

    Args:
        names: at least two, as the tables write them.
        runs: a folder of runs.
        wanted: field of :class:`~okdbench.results.leaderboard.ComparisonGroup` -> value; None for any.

    Raises:
        UserError: a method has no run there, or the contest is not clear.
    """
    if len(set(names)) < 2:
        raise UserError("name two different methods or more, such as okdbench compare augkd kd")
    scores = gather(consult(runs), wanted)
    for name in names:
        if name not in scores:
            raise unknown("method with a finished run", name, scores)
    console = Console()
    chosen = {name: scores[name] for name in names}
    pairs = adjusted([compare(names[0], other, chosen) for other in names[1:]])
    console.print(_pairs(pairs))
    for pair in pairs:
        console.print(f"{pair.a} and {pair.b}: {pair.sentence}", markup=False, highlight=False, soft_wrap=True)
    if len(names) > 2:
        _print_ranking(console, rank(chosen))


def adjusted(pairs: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with their probabilities adjusted for their number, so that their sentences bear all of them."""
    tested = {pair.b: pair.p for pair in pairs if pair.p is not None}
    found = dict(zip(tested, holm(list(tested.values())), strict=True))
    return [replace(pair, p=found.get(pair.b)) for pair in pairs]


def gather(records: Iterable[Record], wanted: dict[str, str | None]) -> Scores:
    """Method -> block -> accuracy, over all data sets of the one contest that fits.

    Raises:
        UserError: no contest fits, or several that must not be mixed.
    """
    found = {
        contest: members
        for contest, members in contests(records).items()
        if all(value is None or getattr(contest, name) == value for name, value in wanted.items())
    }
    kinds = sorted({contest[1:] for contest in found})
    if not kinds:
        raise UserError("no finished run fits; okdbench ls runs lists what there is")
    if len(kinds) > 1:
        options = " or ".join(_spell(ComparisonGroup("", *kind)) for kind in kinds)
        raise UserError(f"the runs are of {len(kinds)} kinds that must not be mixed; choose one: {options}")
    scores: Scores = {}
    for contest, members in found.items():
        for name, cells in accuracies(members).items():
            blocks = {Block(contest.dataset, cell.setting, cell.seed): acc for cell, acc in cells.items()}
            scores.setdefault(name, {}).update(blocks)
    return scores


def _spell(contest: ComparisonGroup) -> str:
    fields = ("track", "budget", "teacher", "student")
    return " ".join(f"--{name} {getattr(contest, name)}" for name in fields)


def _pairs(pairs: Sequence[Comparison]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for name in ("a", "b"):
        table.add_column(name, overflow="fold", min_width=8)
    for name in ("blocks", "a - b", "95 % interval", "effect", "Wilcoxon p" + (", Holm" if len(pairs) > 1 else "")):
        table.add_column(name, justify="right", no_wrap=True)
    for pair in pairs:
        ends = "-" if pair.low is None or pair.high is None else f"{pair.low:+.2f} .. {pair.high:+.2f}"
        numbers = (str(pair.blocks), f"{pair.difference:+.2f}", ends, _number(pair.effect), _number(pair.p, 4))
        table.add_row(escape(pair.a), escape(pair.b), *numbers)
    return table


def _print_ranking(console: Console, ranking: Ranking) -> None:
    if ranking.p is None or ranking.critical is None:
        print(f"no ranking: only {ranking.blocks} blocks have a run of every method")
        return
    ranks = ", ".join(f"{name} {mean:.2f}" for name, mean in sorted(ranking.ranks.items(), key=lambda item: item[1]))
    console.print(f"mean ranks over {ranking.blocks} blocks: {ranks}", markup=False, highlight=False, soft_wrap=True)
    print(f"Friedman p {ranking.p:.4f}; ranks are apart beyond {ranking.critical:.2f} (Nemenyi, 5 %)")
    for (one, other), p in ranking.pairs.items():
        print(f"{one} - {other}: Holm-adjusted p {p:.4f}")


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
