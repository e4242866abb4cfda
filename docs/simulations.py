"""Simulates tables whose truth is known, and prints how often intervals and tests are right, as docs/statistics.md.

    python docs/simulations.py

Every run of a method in a setting has the same true accuracy and a standard deviation of its own. ``across`` is the
share of the variance that the settings of one seed have in common, ``between`` the share that all methods of one
setting and seed have in common, because they are tested on the same images.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from okdbench.results.studentised_range import quantile

Array = npt.NDArray[np.float64]

TABLES, METHODS, SEEDS = 4000, 8, (3, 5, 10)
TESTS = ("seed means", "cells", "pairs")
UNEQUAL = np.linspace(0.2, 3.0, METHODS)


class Regime(NamedTuple):
    """How the accuracies vary."""

    spreads: Array
    across: float = 0.0
    between: float = 0.0


REGIMES: Mapping[str, Regime] = {
    "equal spreads": Regime(np.ones(METHODS)),
    "unequal spreads": Regime(UNEQUAL),
    "settings correlated": Regime(np.ones(METHODS), across=0.25),
    "unequal and correlated": Regime(UNEQUAL, across=0.25),
    "methods correlated": Regime(np.ones(METHODS), between=0.5),
}


def simulate(rng: np.random.Generator, regime: Regime, settings: int, seeds: int) -> Array:
    """Deviations from the true accuracy: tables x methods x settings x seeds."""
    noise = np.sqrt(1 - regime.across - regime.between) * rng.standard_normal((TABLES, METHODS, settings, seeds))
    noise += np.sqrt(regime.across) * rng.standard_normal((TABLES, METHODS, 1, seeds))
    noise += np.sqrt(regime.between) * rng.standard_normal((TABLES, 1, settings, seeds))
    return np.asarray(noise * regime.spreads[:, None, None])


def is_shown(accuracies: Array, test: str) -> Array:
    """Whether each method is shown to be worse than the best of its table: tables x methods.

    Args:
        accuracies: tables x methods x settings x seeds.
        test: ``seed means``: Games and Howell's on the mean of each seed over the settings, which okdbench uses.
            ``cells``: the same with the settings as strata. ``pairs``: on differences of seed means.
    """
    seeds, settings = accuracies.shape[3], accuracies.shape[2]
    means = accuracies.mean(2)
    best = means.mean(2).argmax(1)[:, None]
    behind = np.take_along_axis(means.mean(2), best, 1) - means.mean(2)
    if test == "pairs":
        differences = np.take_along_axis(means, best[..., None], 1) - means
        errors = differences.var(2, ddof=1) / seeds
        freedom = np.full(errors.shape, seeds - 1.0)
        errors[behind == 0], freedom[behind == 0] = 1, 1  # the best itself
    else:
        own = (means[:, :, None] if test == "seed means" else accuracies).var(3, ddof=1) / seeds
        own = own / (settings**2 if test == "cells" else 1)
        others = np.take_along_axis(own, best[..., None], 1)
        errors = (own + others).sum(2)
        freedom = errors**2 / ((own**2 + others**2) / (seeds - 1)).sum(2)
    places, where = np.unique(np.round(np.nan_to_num(freedom, nan=1.0), 2), return_inverse=True)
    critical = np.array([quantile(METHODS, place) for place in places])[where].reshape(freedom.shape) / np.sqrt(2)
    return np.asarray(behind > critical * np.sqrt(errors))


def false_claims() -> str:
    """Share of tables of equal methods in which any method is called worse, in percent; it should be at most 5."""
    lines = ["| 3 settings | seeds | " + " | ".join(TESTS) + " |", "|---|---:|" + "---:|" * len(TESTS)]
    for name, regime in REGIMES.items():
        for seeds in SEEDS:
            made = simulate(np.random.default_rng(0), regime, 3, seeds)
            shares = [100 * is_shown(made, test).any(1).mean() for test in TESTS]
            lines.append(f"| {name} | {seeds} | " + " | ".join(f"{share:.1f}" for share in shares) + " |")
    return "\n".join(lines)


def coverages() -> str:
    """Share of the intervals of one row that contain its true accuracy, in percent; it should be 95."""
    lines = ["| 3 settings | seeds | Student, seed means | Satterthwaite, cells |", "|---|---:|---:|---:|"]
    regimes = {name: REGIMES[name] for name in ("equal spreads", "settings correlated")}
    for name, regime in regimes.items():
        for seeds in SEEDS:
            made = simulate(np.random.default_rng(0), regime, 3, seeds).reshape(-1, 3, seeds)
            shares = [100 * covers(rows).mean() for rows in (made.mean(1, keepdims=True), made)]
            lines.append(f"| {name} | {seeds} | " + " | ".join(f"{share:.1f}" for share in shares) + " |")
    return "\n".join(lines)


def covers(rows: Array) -> Array:
    """Whether Satterthwaite's 95 % interval of each row contains 0; with a single stratum it is Student's.

    Args:
        rows: rows x strata x seeds.
    """
    strata, seeds = rows.shape[1:]
    parts = rows.var(2, ddof=1) / seeds / strata**2
    freedom = parts.sum(1) ** 2 / (parts**2 / (seeds - 1)).sum(1)
    return np.asarray(abs(rows.mean((1, 2))) <= stdtrit(freedom, 0.975) * np.sqrt(parts.sum(1)))


def powers() -> str:
    """Share of tables in which a method that is 2.5 points worse is shown to be, in percent."""
    lines = ["| a run varies by 1 point | seeds | " + " | ".join(TESTS) + " |", "|---|---:|" + "---:|" * len(TESTS)]
    truth = np.array([0.0] * (METHODS - 1) + [-2.5])
    for settings in (1, 3):
        for seeds in SEEDS:
            made = simulate(np.random.default_rng(0), REGIMES["equal spreads"], settings, seeds)
            shares = [100 * is_shown(made + truth[:, None, None], test)[:, -1].mean() for test in TESTS]
            where = f"{settings} setting" + "s" * (settings > 1)
            lines.append(f"| {where} | {seeds} | " + " | ".join(f"{share:.0f}" for share in shares) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(f"{coverages()}\n\n{false_claims()}\n\n{powers()}")
