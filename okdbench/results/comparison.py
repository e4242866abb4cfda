"""Which methods differ, on the records of one comparison group or of the same group on several data sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from okdbench.core.errors import UserError, unknown
from okdbench.results.grouping import ComparisonGroup, contests
from okdbench.results.leaderboard import accuracies
from okdbench.results.records import Record
from okdbench.results.significance import Block, Comparison, Ranking, compare, holm, rank

#: method -> block -> accuracy in percent
Scores = dict[str, dict[Block, float]]


def compare_methods(
    methods: Sequence[str], records: Iterable[Record], wanted: Mapping[str, str | None]
) -> tuple[list[Comparison], Ranking | None]:
    """The first method against each of the others, and from three methods on the ranking of all.

    Args:
        methods: at least two, as the tables write them.
        records: of any runs.
        wanted: field of :class:`~okdbench.results.grouping.ComparisonGroup` -> value; None for any.

    Raises:
        UserError: fewer than two methods, one has no finished run, or the comparison group is not clear.
    """
    if len(set(methods)) < 2:
        raise UserError("name two different methods or more, such as okdbench compare augkd kd")
    scores = gather(records, wanted)
    for name in methods:
        if name not in scores:
            raise unknown("method with a finished run", name, scores)
    chosen = {name: scores[name] for name in methods}
    pairs = adjusted([compare(methods[0], other, chosen) for other in methods[1:]])
    return pairs, rank(chosen) if len(methods) > 2 else None


def adjusted(pairs: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with probabilities adjusted for their number, so that all sentences hold together."""
    tested = {pair.b: pair.p for pair in pairs if pair.p is not None}
    found = dict(zip(tested, holm(list(tested.values())), strict=True))
    return [replace(pair, p=found.get(pair.b)) for pair in pairs]


def gather(records: Iterable[Record], wanted: Mapping[str, str | None]) -> Scores:
    """Method -> block -> accuracy, over all data sets of the one comparison group that fits.

    Raises:
        UserError: no group fits, or several that must not be mixed.
    """
    found = {
        group: members
        for group, members in contests(records).items()
        if all(value is None or getattr(group, name) == value for name, value in wanted.items())
    }
    kinds = sorted({group[1:] for group in found})
    if not kinds:
        raise UserError("no finished run fits; okdbench runs ls lists what there is")
    if len(kinds) > 1:
        options = " or ".join(_options(ComparisonGroup("", *kind)) for kind in kinds)
        raise UserError(f"the runs are of {len(kinds)} kinds that must not be mixed; choose one: {options}")
    scores: Scores = {}
    for group, members in found.items():
        for name, cells in accuracies(members).items():
            blocks = {Block(group.dataset, cell.setting, cell.seed): acc for cell, acc in cells.items()}
            scores.setdefault(name, {}).update(blocks)
    return scores


def _options(group: ComparisonGroup) -> str:
    fields = ("track", "budget", "teacher", "student")
    return " ".join(f"--{name} {getattr(group, name)}" for name in fields)
