"""Mean ranks of three methods or more, with the tests of Demsar (2006)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from okdbench.results.significance import ALPHA, FEWEST_BLOCKS, holm, signed_rank


@dataclass(frozen=True)
class Ranking:
    """Methods on the blocks that all of them have.

    Attributes:
        blocks: number of these blocks.
        ranks: method -> mean rank, 1 for the best; empty with too few blocks.
        p: p-value of Friedman's test that all methods are equal.
        critical: critical difference of mean ranks (Nemenyi's test at the 5 % level).
        pairs: (method, method) -> Holm-adjusted p-value of their comparison.
    """

    blocks: int
    ranks: dict[str, float]
    p: float | None
    critical: float | None
    pairs: dict[tuple[str, str], float]


def rank(scores: pd.DataFrame) -> Ranking:
    """Friedman's test, mean ranks and Holm-adjusted pairs.

    Args:
        scores: a row per block and a column for each of at least three methods; rows with NaN are left out.
    """
    # Sorted, so that the pairs do not depend on the order in which the methods were named.
    shared = scores.dropna().sort_index(axis="columns")
    blocks, count = shared.shape
    if blocks < FEWEST_BLOCKS:
        return Ranking(blocks, {}, None, None, {})
    from scipy.stats import studentized_range  # takes a second to import

    ranks = shared.rank(axis="columns", ascending=False).mean()
    # Nemenyi: CD = q sqrt(k (k + 1) / (6 N)) for k methods and N blocks, q from the Studentised range over sqrt(2).
    critical = studentized_range.ppf(1 - ALPHA, count, np.inf) / math.sqrt(2)
    pairs = list(combinations(shared.columns, 2))
    tests = [signed_rank(list(shared[a] - shared[b])) for a, b in pairs]
    adjusted = holm([p for p in tests if p is not None])  # enough blocks, so that each pair has one
    return Ranking(
        blocks=blocks,
        ranks={str(method): float(value) for method, value in ranks.items()},
        p=_friedman(shared),
        critical=float(critical * math.sqrt(count * (count + 1) / (6 * blocks))),
        pairs=dict(zip(pairs, adjusted, strict=True)),
    )


def _friedman(scores: pd.DataFrame) -> float:
    """P-value of Friedman's test, whose statistic is undefined where all methods are equal."""
    from scipy.stats import friedmanchisquare

    table = scores.to_numpy()
    return 1.0 if (table == table[:, :1]).all() else float(friedmanchisquare(*table.T).pvalue)
