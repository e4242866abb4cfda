"""Two rows compared on the seeds that both have, with the test of the leaderboards.

A comparison is adjusted for all rows of its table, not for those that are named, so it never contradicts the table.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from shlex import quote

import pandas as pd

from okdbench.core.errors import UserError, unknown
from okdbench.results.estimates import ENOUGH_SEEDS, MOST_SEEDS, POWER, Difference, difference, mean, seeds_needed
from okdbench.results.grouping import GROUP, Cell, counted, current, default_settings

#: seed -> mean accuracy over the settings of a row
SeedMeans = Mapping[int, float]


@dataclass(frozen=True)
class Comparison:
    """Method ``a`` minus method ``b``, in points of accuracy; None where a value is unknown.

    Attributes:
        seeds: seeds that both have in all of the settings.
        settings: the settings that are averaged over.
        rows: rows of the table that the test is adjusted for.
        difference: mean of ``a`` minus mean of ``b``.
        low: lower end of its simultaneous 95 % interval.
        high: upper end.
        p: adjusted p-value; None as well where it is not asked for.
        seeds_needed: seeds of each that would show a difference of this size with a probability of 80 %; None if the
            difference is shown, or if more than 100 would be needed.
    """

    a: str
    b: str
    seeds: int
    settings: tuple[str, ...]
    rows: int
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    seeds_needed: int | None

    @property
    def is_shown(self) -> bool:
        """Whether the methods differ at the family-wise 5 % level."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    @property
    def sentence(self) -> str:
        """The result in words, which follow from the interval."""
        settings = f"{len(self.settings)} settings" if len(self.settings) > 1 else f"setting {self.settings[0]}"
        basis = f"{self.seeds} {'seed' if self.seeds == 1 else 'seeds'}, {settings}"
        if self.difference is None or self.low is None or self.high is None:
            return f"no test: {self.a} and {self.b} share {basis}, and a test needs 2 seeds"
        size = f"{abs(self.difference):.2f} points"
        if self.is_shown:
            better, worse = (self.a, self.b) if self.difference > 0 else (self.b, self.a)
            ends = sorted(abs(end) for end in (self.low, self.high))
            shown = f"{better} is better than {worse} by {size} (95 % interval {ends[0]:.2f} to {ends[1]:.2f}; {basis})"
            return shown if self.seeds >= ENOUGH_SEEDS else f"{shown}; provisional with fewer than {ENOUGH_SEEDS} seeds"
        interval = f"95 % interval of {self.a} - {self.b}: {self.low:+.2f} to {self.high:+.2f}; {basis}"
        return f"{self.a} and {self.b} cannot be told apart ({interval}); {self._needed(size)}"

    def _needed(self, size: str) -> str:
        if not self.difference:
            return "their means are equal"
        count = f"{self.seeds_needed}" if self.seeds_needed else f"more than {MOST_SEEDS}"
        return f"{count} seeds of each would show a difference of {size} with a probability of {POWER:.0%}"


def seed_means(cells: pd.DataFrame, column: str = "acc") -> dict[int, float]:
    """The seed means of one row from its cells; a seed that lacks one of their settings is left out."""
    places = map(Cell, cells["setting"], cells["seed"].tolist())
    return mean_by_seed(zip(places, cells[column].tolist(), strict=True))


def mean_by_seed(values: Iterable[tuple[Cell, float]]) -> dict[int, float]:
    """The mean over the settings for each seed that has all of them; a cell has one value."""
    found: dict[int, list[float]] = {}
    settings = set()
    for cell, value in values:
        found.setdefault(cell.seed, []).append(value)
        settings.add(cell.setting)
    return {seed: mean(members) for seed, members in found.items() if len(members) == len(settings)}


def mean_difference(a: SeedMeans, b: SeedMeans) -> float | None:
    """Mean of ``a`` minus mean of ``b`` on the seeds that both have; None without any."""
    shared = sorted(a.keys() & b.keys())
    return mean([a[seed] for seed in shared]) - mean([b[seed] for seed in shared]) if shared else None


def compare_rows(a: SeedMeans, b: SeedMeans, rows: int) -> Difference | None:
    """:func:`~okdbench.results.estimates.difference` on the seeds that both have, so that both saw the same images."""
    shared = sorted(a.keys() & b.keys())
    return difference([a[seed] for seed in shared], [b[seed] for seed in shared], rows)


def testable(rows: Mapping[str, SeedMeans]) -> int:
    """How many rows of a table the test is adjusted for: those with a finished seed.

    Rows of one seed count, so that their second seed changes no other row.
    """
    return sum(map(bool, rows.values()))


def compare(records: pd.DataFrame, a: str, *others: str, **group: str | None) -> pd.DataFrame:
    """Method ``a`` compared with each of the others.

    Args:
        records: runs as :func:`okdbench.load_records` returns them.
        a: a method as the leaderboards name it.
        others: the methods that it is compared with.
        group: ``setting``, or fields of :class:`~okdbench.results.grouping.ComparisonGroup`, such as ``track``; None
            for any value.

    Returns:
        One row per pair with the fields of :class:`Comparison`, and the result in words as ``sentence``.

    Raises:
        UserError: a method has no finished run, or the runs are of several comparison groups that must not be mixed.
    """
    pairs = compare_methods(records, (a, *others), **group)
    return pd.DataFrame([asdict(pair) | {"sentence": pair.sentence} for pair in pairs])


def compare_methods(records: pd.DataFrame, methods: Sequence[str], **group: str | None) -> list[Comparison]:
    """The first of ``methods`` compared with each of the others; see :func:`compare`.

    Args:
        records: runs as :func:`okdbench.load_records` returns them.
        methods: at least two, as the leaderboards name them.
        group: ``setting``, or fields of the comparison group; None for any value.

    Raises:
        UserError: a method has no finished run, or the runs are of several comparison groups that must not be mixed.
    """
    first, *others = dict.fromkeys(methods)
    if not others:
        raise UserError("name two different methods or more, such as okdbench compare augkd kd")
    kept = current(records)
    for name, value in group.items():
        kept = kept if value is None else kept[kept[name] == value]
    runs = counted(kept)
    _refuse_mixed(runs)
    # Failed runs of other groups have default settings too.
    kept = kept[(kept[GROUP] == runs.iloc[0][GROUP]).all(axis="columns")]
    for method in methods:
        if method not in set(runs["method"]):
            raise unknown("method with a finished run", method, sorted(set(runs["method"])))
    return [_compare_pair(runs, default_settings(kept), first, other) for other in others]


def _compare_pair(runs: pd.DataFrame, defaults: set[str], a: str, b: str) -> Comparison:
    """Two methods, on the default settings if both have all of them, and otherwise on the settings that both have."""
    own = [set(runs.loc[runs["method"] == method, "setting"]) for method in (a, b)]
    settings = defaults if all(defaults <= had for had in own) else own[0] & own[1]
    if not settings:
        raise UserError(f"{a} and {b} have no setting in common; okdbench runs ls lists the runs")
    cells = runs[runs["setting"].isin(settings)]
    rows = {
        str(method): seed_means(members)
        for method, members in cells.groupby("method")
        if set(members["setting"]) == settings
    }
    return compare_pair(rows, settings, a, b)


def compare_pair(
    rows: Mapping[str, SeedMeans], settings: Collection[str], a: str, b: str, with_p: bool = True
) -> Comparison:
    """Two rows of one table.

    Args:
        rows: method -> seed means, of every row of the table.
        settings: the settings that these are averaged over.
        a: one method.
        b: the other one.
        with_p: whether to compute the p-value, which takes ten times as long as the rest.
    """
    found = compare_rows(rows[a], rows[b], testable(rows))
    shared = rows[a].keys() & rows[b].keys()
    return Comparison(
        a=a,
        b=b,
        seeds=len(shared),
        settings=tuple(sorted(settings)),
        rows=testable(rows),
        difference=mean_difference(rows[a], rows[b]),
        low=found.low if found else None,
        high=found.high if found else None,
        p=found.p if found and with_p else None,
        seeds_needed=seeds_needed(found, len(shared)) if found and not found.is_shown else None,
    )


def _refuse_mixed(runs: pd.DataFrame) -> None:
    """Raise a UserError unless all runs are of one comparison group."""
    kinds = runs[GROUP].drop_duplicates().sort_values(GROUP)
    fields = [name for name in kinds if kinds[name].nunique() > 1]
    if kinds.empty:
        raise UserError("no finished run fits; okdbench runs ls lists what there is")
    if len(kinds) > 1:
        options = (" ".join(f"--{name} {quote(kind[name])}" for name in fields) for kind in kinds.to_dict("records"))
        raise UserError(
            f"the runs are of {len(kinds)} comparison groups that must not be mixed; choose one: {' or '.join(options)}"
        )
