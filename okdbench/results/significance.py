"""Whether two methods differ, on the blocks, each a setting with a seed, in which both have a finished run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np

from okdbench.results.intervals import group_mean, interval, mean_std

#: a Wilcoxon test on fewer blocks cannot fall below ALPHA
FEWEST_BLOCKS = 6
ALPHA = 0.05
_POWER_QUANTILES = 1.959964 + 0.841621  # two-sided 5 %, power 80 %


class Block(NamedTuple):
    """A setting of a data set and a seed: what two methods share when they are compared."""

    dataset: str
    setting: str
    seed: int


Scores = Mapping[Block, float]


@dataclass(frozen=True)
class Comparison:
    """Method ``a`` minus method ``b``, in points of accuracy.

    ``difference`` is the mean over settings of the mean over seeds, ``low`` and ``high`` its 95 % interval, ``effect``
    the mean in standard deviations of the blocks (Cohen's d of pairs), ``p`` Wilcoxon's signed-rank probability; what
    is not known is None.
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
    def is_evident(self) -> bool:
        """Whether the blocks are evidence of a difference at the 5 % level."""
        return self.p is not None and self.p < ALPHA

    @property
    def sentence(self) -> str:
        """The finding in plain words."""
        rests = f"{self.blocks} blocks ({self.settings} settings)"
        if self.p is None:
            return f"no test: {rests} are too few, {FEWEST_BLOCKS} are the fewest that can show anything"
        if self.is_evident:
            better, worse = (self.a, self.b) if self.difference > 0 else (self.b, self.a)
            return f"{better} is better than {worse} by {abs(self.difference):.2f} points; this rests on {rests}"
        more = self.seeds_needed
        how_many = f"about {more} more seeds would be needed to see one of this size" if more else "more seeds may tell"
        return f"no evidence of a difference; {how_many}; this rests on {rests}"

    @property
    def seeds_needed(self) -> int | None:
        """More seeds in each setting for a power of 80 % if the effect is what it seems; None without an effect."""
        if not self.effect or not math.isfinite(self.effect):
            return None
        # Wilcoxon's test needs pi / 3 times the pairs of a t test on normal differences.
        blocks = math.ceil((_POWER_QUANTILES / self.effect) ** 2 * math.pi / 3)
        return max(1, math.ceil((blocks - self.blocks) / self.settings))


def compare(a: str, b: str, scores: Mapping[str, Scores]) -> Comparison:
    """Compare two of the methods in ``scores`` on the blocks that both have."""
    shared = sorted(scores[a].keys() & scores[b].keys())
    groups: dict[tuple[str, str], list[float]] = {}
    for block in shared:
        groups.setdefault((block.dataset, block.setting), []).append(scores[a][block] - scores[b][block])
    differences = [difference for group in groups.values() for difference in group]
    ends = interval(list(groups.values())) or (None, None)
    mean, deviation = mean_std(differences)
    return Comparison(
        a=a,
        b=b,
        blocks=len(shared),
        settings=len(groups),
        difference=group_mean(list(groups.values())),
        low=ends[0],
        high=ends[1],
        effect=mean / deviation if len(differences) > 1 and deviation > 0 else None,
        p=signed_rank(differences),
    )


def signed_rank(differences: Sequence[float]) -> float | None:
    """Two-sided probability of Wilcoxon's signed-rank test; None on fewer than FEWEST_BLOCKS; 1 if all are 0."""
    if len(differences) < FEWEST_BLOCKS:
        return None
    if not any(differences):
        return 1.0
    from scipy.stats import wilcoxon

    return float(wilcoxon(np.round(differences, 9), zero_method="zsplit").pvalue)


def holm(probabilities: Sequence[float]) -> list[float]:
    """Probabilities adjusted for their number by Holm's step-down rule, in the order given."""
    order = sorted(range(len(probabilities)), key=lambda index: probabilities[index])
    adjusted, highest = [0.0] * len(probabilities), 0.0
    for place, index in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - place) * probabilities[index]))
        adjusted[index] = highest
    return adjusted


@dataclass(frozen=True)
class Ranking:
    """More than two methods on the blocks that all of them have.

    ``ranks`` are mean ranks, 1 for the best; ``p`` is Friedman's probability that all are alike; ``critical`` the
    difference of mean ranks beyond which Nemenyi's test sees two methods apart (Demsar, 2006); ``pairs`` the
    comparisons with Holm's probabilities.
    """

    blocks: int
    ranks: dict[str, float]
    p: float | None
    critical: float | None
    pairs: dict[tuple[str, str], float]


def rank(scores: Mapping[str, Scores]) -> Ranking:
    """Friedman's test, mean ranks and Holm-adjusted pairs of at least three methods."""
    from scipy.stats import friedmanchisquare, rankdata, studentized_range

    names = sorted(scores)
    shared = sorted(set.intersection(*(set(scores[name]) for name in names)))
    table = np.array([[scores[name][block] for name in names] for block in shared]).reshape(len(shared), len(names))
    if len(shared) < FEWEST_BLOCKS:
        return Ranking(len(shared), {}, None, None, {})
    ranks = rankdata(-table, axis=1).mean(axis=0)
    alike = bool((table == table[:, :1]).all())
    p = 1.0 if alike else float(friedmanchisquare(*table.T).pvalue)
    count = len(names)
    critical = studentized_range.ppf(1 - ALPHA, count, np.inf) / math.sqrt(2)
    pairs = list(combinations(names, 2))
    on_shared = {name: {block: scores[name][block] for block in shared} for name in names}
    found = [compare(a, b, on_shared).p for a, b in pairs]
    adjusted = holm([p for p in found if p is not None])  # enough blocks are shared, so each has one
    return Ranking(
        blocks=len(shared),
        ranks=dict(zip(names, ranks.tolist(), strict=True)),
        p=p,
        critical=float(critical * math.sqrt(count * (count + 1) / (6 * len(shared)))),
        pairs=dict(zip(pairs, adjusted, strict=True)),
    )
