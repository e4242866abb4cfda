"""Simulated accuracies with a known truth, and what the test of the tables makes of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from okdbench.results.estimates import difference

METHODS, SETTINGS = 8, 3
#: standard deviations of the methods' accuracies, in points
UNEQUAL = np.linspace(0.2, 3.0, METHODS)


def seed_means(
    rng: np.random.Generator,
    tables: int,
    methods: int,
    seeds: int,
    spreads: np.ndarray,
    across: float = 0.0,
    between: float = 0.0,
) -> np.ndarray:
    """Deviations of seed means from the truth: tables x methods x seeds.

    Args:
        rng: the source of randomness.
        tables: number of simulated tables.
        methods: rows of a table.
        seeds: seeds of each row.
        spreads: standard deviation of one run of each method, in points.
        across: share of the variance that the settings of one seed of a method have in common.
        between: share of the variance that all methods of a setting and seed have in common.
    """
    own = rng.standard_normal((tables, methods, SETTINGS, seeds)) * np.sqrt(1 - across - between)
    own += rng.standard_normal((tables, methods, 1, seeds)) * np.sqrt(across)
    own += rng.standard_normal((tables, 1, SETTINGS, seeds)) * np.sqrt(between)
    return np.asarray((own * spreads[:, None, None]).mean(2))


def _shown(table: np.ndarray, a: int, b: int) -> bool:
    found = difference(table[a].tolist(), table[b].tolist(), len(table))
    return found is not None and found.is_shown


def share_of_false_claims(
    tables: int, seeds: int, spreads: np.ndarray, across: float = 0.0, between: float = 0.0
) -> float:
    """Share of tables of equal methods in which some row is called worse than the best one.

    Args:
        tables: number of simulated tables.
        seeds: seeds of each row.
        spreads: standard deviation of one run of each method, in points.
        across: as for :func:`seed_means`.
        between: as for :func:`seed_means`.
    """
    made = seed_means(np.random.default_rng(1), tables, METHODS, seeds, spreads, across, between)
    wrong = 0
    for table in made:
        best = int(table.mean(1).argmax())
        wrong += any(_shown(table, best, row) for row in range(METHODS) if row != best)
    return wrong / tables


def power(tables: int, seeds: int, truths: Sequence[float], spreads: np.ndarray) -> float:
    """Share of tables in which the first two rows differ, where the seed means have these spreads.

    Args:
        tables: number of simulated tables.
        seeds: seeds of each row.
        truths: true accuracy of each method.
        spreads: standard deviation of a seed mean of each method, in points.
    """
    rng = np.random.default_rng(2)
    made = rng.standard_normal((tables, METHODS, seeds)) * spreads[:, None] + np.array(truths)[:, None]
    return float(np.mean([_shown(table, 0, 1) for table in made]))
