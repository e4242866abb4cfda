"""Paired significance tests of methods, on the blocks in which both have a finished run.

A *block* is a data set, a setting and a seed: what two methods share when they are compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd

from okdbench.core.errors import UserError, unknown
from okdbench.results.grouping import GROUP, counted, current
from okdbench.results.intervals import group_mean, interval, mean_std

#: the columns that a block consists of
BLOCK = ["dataset", "setting", "seed"]
#: a Wilcoxon test on fewer blocks cannot fall below ALPHA
FEWEST_BLOCKS = 6
ALPHA = 0.05
_POWER_QUANTILES = 1.959964 + 0.841621  # of the normal distribution: two-sided 5 %, power 80 %


@dataclass(frozen=True)
class Comparison:
    """Method ``a`` minus method ``b``, in points of accuracy; None where a value is unknown.

    Attributes:
        difference: mean over settings of the mean over seeds.
        low: lower end of its 95 % confidence interval.
        high: upper end.
        effect: mean difference in standard deviations of the blocks (Cohen's d of pairs).
        p: two-sided p-value of Wilcoxon's signed-rank test.
    """

    a: str
    b: str
    blocks: int
    settings: int
    difference: float
    low: float | None
    high: float | None
    effect: float | None
    p: float | None

    @property
    def is_significant(self) -> bool:
        """Whether the difference is significant at the 5 % level."""
        return self.p is not None and self.p < ALPHA

    @property
    def sentence(self) -> str:
        """The result in words."""
        basis = f"{self.blocks} blocks ({self.settings} settings)"
        if self.p is None:
            return f"no test: {basis} are too few, a test needs {FEWEST_BLOCKS}"
        if self.is_significant:
            better, worse = (self.a, self.b) if self.difference > 0 else (self.b, self.a)
            return f"{better} is better than {worse} by {abs(self.difference):.2f} points; based on {basis}"
        more = self.seeds_needed
        needed = f"about {more} more seeds would show one of this size" if more else "more seeds may show one"
        return f"no evidence of a difference; {needed}; based on {basis}"

    @property
    def seeds_needed(self) -> int | None:
        """More seeds per setting for a power of 80 % if the effect is as measured; None without an effect."""
        if not self.effect or not math.isfinite(self.effect):
            return None
        # Wilcoxon's test needs pi / 3 times the pairs of a t test on normal differences (Pitman efficiency).
        blocks = math.ceil((_POWER_QUANTILES / self.effect) ** 2 * math.pi / 3)
        # At least one, because the blocks so far did not show the difference.
        return max(1, math.ceil((blocks - self.blocks) / self.settings))


def compare(records: pd.DataFrame, a: str, *others: str, **group: str | None) -> pd.DataFrame:
    """Paired comparison of method ``a`` with each of the others, over all data sets.

    Args:
        records: runs as :func:`okdbench.load_records` returns them.
        a: a method as the leaderboards name it.
        others: the methods that it is compared with.
        group: fields of :class:`~okdbench.results.grouping.ComparisonGroup`, such as ``track``; None for any value.

    Returns:
        One row per pair with the fields of :class:`Comparison`, p-values adjusted for the number of pairs, and the
        result in words as ``sentence``.

    Raises:
        UserError: a method has no finished run, or the runs are of several comparison groups that must not be mixed.
    """
    pairs = compare_pairs(scores_of(records, (a, *others), **group))
    return pd.DataFrame([asdict(pair) | {"sentence": pair.sentence} for pair in pairs])


def scores_of(records: pd.DataFrame, methods: Sequence[str], **group: str | None) -> pd.DataFrame:
    """The accuracies to compare: a row per block and a column per method, NaN where a run is missing.

    Args:
        records: runs as :func:`okdbench.load_records` returns them.
        methods: at least two, as the leaderboards name them; the order of the columns.
        group: fields of :class:`~okdbench.results.grouping.ComparisonGroup`, such as ``track``; None for any value.

    Raises:
        UserError: a method has no finished run, or the runs are of several comparison groups that must not be mixed.
    """
    if len(set(methods)) < 2:
        raise UserError("name two different methods or more, such as okdbench compare augkd kd")
    runs = counted(current(records))
    for name, value in group.items():
        runs = runs if value is None else runs[runs[name] == value]
    _refuse_mixed(runs)
    scores = block_scores(runs)
    for method in methods:
        if method not in scores:
            raise unknown("method with a finished run", method, map(str, scores.columns))
    # A method that is named twice is one column.
    return scores[list(dict.fromkeys(methods))]


def block_scores(runs: pd.DataFrame) -> pd.DataFrame:
    """The accuracies of runs that may be compared, one per method and block: a row per block, a column per method."""
    return runs.pivot(index=BLOCK, columns="method", values="acc")


def _refuse_mixed(runs: pd.DataFrame) -> None:
    """Raise a UserError unless all runs are of one comparison group, whatever the data set."""
    # All but the data set, which is a part of a block.
    kinds = runs[GROUP[1:]].drop_duplicates().sort_values(GROUP[1:])
    fields = [name for name in kinds if kinds[name].nunique() > 1]
    if kinds.empty:
        raise UserError("no finished run fits; okdbench runs ls lists what there is")
    if len(kinds) > 1:
        options = (" ".join(f"--{name} {kind[name]}" for name in fields) for kind in kinds.to_dict("records"))
        raise UserError(
            f"the runs are of {len(kinds)} comparison groups that must not be mixed; choose one: {' or '.join(options)}"
        )


def compare_pairs(scores: pd.DataFrame) -> list[Comparison]:
    """The first column of ``scores`` with each other one; Holm's rule adjusts the p-values for the number of pairs."""
    first, *others = scores.columns
    pairs = [compare_pair(scores, first, other) for other in others]
    tested = [pair for pair in pairs if pair.p is not None]
    adjusted = {pair.b: p for pair, p in zip(tested, holm([pair.p or 0.0 for pair in tested]), strict=True)}
    return [replace(pair, p=adjusted.get(pair.b)) for pair in pairs]


def compare_pair(scores: pd.DataFrame, a: str, b: str) -> Comparison:
    """Two columns of ``scores`` on the blocks that both have."""
    shared = scores[[a, b]].dropna().sort_index()
    differences = shared[a] - shared[b]
    groups = [list(values) for _, values in differences.groupby(["dataset", "setting"])]
    low, high = interval(groups) or (None, None)
    mean, deviation = mean_std(list(differences))
    return Comparison(
        a=a,
        b=b,
        blocks=len(differences),
        settings=len(groups),
        difference=group_mean(groups),
        low=low,
        high=high,
        effect=mean / deviation if len(differences) > 1 and deviation > 0 else None,
        p=signed_rank(list(differences)),
    )


def signed_rank(differences: Sequence[float]) -> float | None:
    """Two-sided p-value of Wilcoxon's signed-rank test; None on fewer than FEWEST_BLOCKS; 1 if all are 0."""
    if len(differences) < FEWEST_BLOCKS:
        return None
    if not any(differences):
        return 1.0
    from scipy.stats import wilcoxon  # takes a second to import

    # Rounded, so that differences that are equal up to floating-point errors are ties.
    return float(wilcoxon(np.round(differences, 9), zero_method="zsplit").pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number by Holm's step-down rule, in the order given."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for place, index in enumerate(order):
        # The running maximum: of two p-values, the larger one never gets the smaller adjusted value.
        highest = max(highest, min(1.0, (len(order) - place) * p_values[index]))
        adjusted[index] = highest
    return adjusted
