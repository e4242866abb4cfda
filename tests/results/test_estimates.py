"""The estimator and the test of the tables: by hand, against scipy, and on simulated data with a known answer."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import studentized_range, t, ttest_ind, tukey_hsd
from support.simulated_seeds import METHODS, SETTINGS, UNEQUAL, power, seed_means, share_of_false_claims

from okdbench.results.estimates import (
    axis_start,
    difference,
    group_mean,
    interval,
    mean,
    seeds_needed,
)
from okdbench.results.studentised_range import FREEDOMS, QUANTILES, ROWS, quantile

ACCURACIES = st.floats(0, 100).map(lambda value: round(value, 4))


def test_the_mean_of_nothing_is_unknown() -> None:
    assert math.isnan(mean([]))
    assert mean([0.1, 0.1, 0.1]) == 0.1


def test_groups_have_equal_weights() -> None:
    assert group_mean([[1.0], [4.0, 6.0]]) == 3.0


def test_an_axis_starts_below_the_lowest_that_is_not_an_outlier() -> None:
    assert axis_start([98.4, 98.0, 97.2, 95.5, 91.7, 63.3, 10.1]) == 91
    assert axis_start([20, 40, 60, 80]) == 19
    assert axis_start([100.0, 100.0]) == 99
    assert axis_start([0.3]) == axis_start([]) == 0


# intervals


def test_one_seed_has_no_interval_and_equal_seeds_have_a_point() -> None:
    assert interval([]) is None
    assert interval([50.0]) is None
    assert interval([0.1, 0.1, 0.1]) == (0.1, 0.1)


@pytest.mark.parametrize("count", [2, 3, 5, 10, 40])
def test_an_interval_is_students_and_is_not_cut(count: int) -> None:
    values = np.random.default_rng(count).normal(97, 4, size=count).tolist()
    half = t.ppf(0.975, count - 1) * np.std(values, ddof=1) / math.sqrt(count)
    assert interval(values) == (pytest.approx(np.mean(values) - half), pytest.approx(np.mean(values) + half))
    assert (interval([90.0, 99.0]) or (0.0, 0.0))[1] > 100


def test_intervals_do_not_import_scipys_statistics() -> None:
    code = "from okdbench.results.estimates import *; interval([1.0, 2.0]); difference([1, 2], [1, 3]); import sys; "
    code += "assert 'scipy.special' in sys.modules and 'scipy.stats' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@given(st.lists(ACCURACIES, min_size=2, max_size=8), st.randoms())
def test_an_interval_contains_the_mean_and_ignores_the_order(values: list[float], random: object) -> None:
    low, high = interval(values) or (math.nan, math.nan)
    assert low <= mean(values) <= high
    random.shuffle(values)  # type: ignore[attr-defined]
    assert interval(values) == (low, high)


# differences


def test_two_rows_are_welchs_test() -> None:
    a, b = [60.0, 64.0, 65.0, 61.0], [50.0, 58.0, 71.0]
    found = difference(a, b)
    assert found is not None
    welch = ttest_ind(a, b, equal_var=False)
    ends = welch.confidence_interval(0.95)
    assert found.freedom == pytest.approx(welch.df)
    assert found.p == pytest.approx(welch.pvalue)
    assert (found.low, found.high) == (pytest.approx(ends.low, rel=1e-3), pytest.approx(ends.high, rel=1e-3))


def test_several_rows_are_scipys_games_and_howell() -> None:
    rng = np.random.default_rng(0)
    rows = [rng.normal(60, spread, size).tolist() for spread, size in [(1, 5), (4, 5), (2, 8), (9, 4)]]
    expected = tukey_hsd(*rows, equal_var=False)
    ends = expected.confidence_interval(0.95)
    for i, a in enumerate(rows):
        for j, b in enumerate(rows):
            found = difference(a, b, len(rows))
            if i != j and found:
                assert found.p == pytest.approx(expected.pvalue[i, j], abs=1e-9)
                assert (found.low, found.high) == pytest.approx((ends.low[i, j], ends.high[i, j]), rel=1e-3, abs=1e-3)


def test_the_table_of_quantiles_is_scipys_and_so_is_what_is_between() -> None:
    for rows, line in zip(ROWS[::3], QUANTILES[::3], strict=True):
        assert line == pytest.approx(studentized_range.ppf(0.95, rows, FREEDOMS), abs=1e-4)
    for rows, freedom in [(2, 4.4), (7, 1.2), (15, 7.7), (35, 14.0), (120, 8.0)]:
        assert quantile(rows, freedom) == pytest.approx(studentized_range.ppf(0.95, rows, freedom), rel=1e-3)


def test_without_a_spread_equal_means_are_equal_and_others_differ() -> None:
    equal, other = difference([5.0, 5.0], [5.0, 5.0]), difference([5.0, 5.0], [4.0, 4.0])
    assert difference([5.0], [4.0]) is None
    assert equal is not None
    assert (equal.low, equal.high, equal.p, equal.is_shown) == (0, 0, 1, False)
    assert other is not None
    assert (other.low, other.high, other.p, other.is_shown) == (1, 1, 0, True)


@settings(max_examples=40)
@given(*[st.lists(ACCURACIES, min_size=2, max_size=6)] * 2, st.integers(2, 12))
def test_interval_and_p_value_agree(a: list[float], b: list[float], rows: int) -> None:
    found = difference(a, b, rows)
    assert found is not None
    assert found.low <= found.value <= found.high
    # The interval is from an interpolated quantile.
    if abs(found.p - 0.05) > 1e-3:
        assert found.is_shown == (found.p < 0.05)


# simulations; the slow ones are the same with 10,000 repetitions


REGIMES = {
    "equal": {"spreads": np.ones(METHODS)},
    "unequal": {"spreads": UNEQUAL},
    "correlated settings": {"spreads": np.ones(METHODS), "across": 0.25},
    "unequal and correlated": {"spreads": UNEQUAL, "across": 0.25},
    "shared images": {"spreads": np.ones(METHODS), "between": 0.5},
}


@pytest.mark.parametrize("regime", REGIMES)
def test_of_equal_methods_at_most_6_percent_of_the_tables_claim_a_difference(regime: str) -> None:
    # Of 600 tables the share has a standard error of 0.9 points.
    assert share_of_false_claims(600, 5, **REGIMES[regime]) <= 0.06 + 3 * 0.009


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("regime", REGIMES)
def test_of_equal_methods_at_most_6_percent_of_10000_tables_claim_a_difference(regime: str, seeds: int) -> None:
    assert share_of_false_claims(10_000, seeds, **REGIMES[regime]) <= 0.06


def covered(draw: Callable[[np.random.Generator, int], np.ndarray], truth: float, seeds: int, count: int) -> float:
    rng = np.random.default_rng(7)
    ends = [interval(draw(rng, seeds).tolist()) or (math.nan, math.nan) for _ in range(count)]
    return float(np.mean([low <= truth <= high for low, high in ends]))


def normal(rng: np.random.Generator, seeds: int) -> np.ndarray:
    """Seed means of three settings whose seeds are correlated."""
    return 90 + seed_means(rng, 1, 1, seeds, np.ones(1), across=0.25)[0, 0]


def skewed(rng: np.random.Generator, seeds: int) -> np.ndarray:
    """Accuracies near the ceiling: some seeds fail more than others; means over three settings."""
    return 100 * rng.beta(40, 4, (3, seeds)).mean(0)


@pytest.mark.parametrize("seeds", [5, 10])
@pytest.mark.parametrize(("draw", "truth"), [(normal, 90.0), (skewed, 100 * 40 / 44)])
def test_93_to_97_percent_of_the_intervals_contain_the_true_mean(
    draw: Callable[[np.random.Generator, int], np.ndarray], truth: float, seeds: int
) -> None:
    assert 0.93 <= covered(draw, truth, seeds, 2000) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [5, 10])
@pytest.mark.parametrize(("draw", "truth"), [(normal, 90.0), (skewed, 100 * 40 / 44)])
def test_93_to_97_percent_of_20000_intervals_contain_the_true_mean(
    draw: Callable[[np.random.Generator, int], np.ndarray], truth: float, seeds: int
) -> None:
    assert 0.93 <= covered(draw, truth, seeds, 20_000) <= 0.97


#: of seed means over three settings, where one run has a standard deviation of a point
SPREADS = np.full(METHODS, 1 / math.sqrt(SETTINGS))


def test_five_seeds_of_three_settings_show_2_5_points_in_at_least_90_percent() -> None:
    assert power(600, 5, [2.5, *[0.0] * (METHODS - 1)], SPREADS) >= 0.9


@pytest.mark.slow
def test_five_seeds_of_three_settings_show_2_5_points_in_at_least_90_percent_of_10000() -> None:
    assert power(10_000, 5, [2.5, *[0.0] * (METHODS - 1)], SPREADS) >= 0.9


def needed(points: float, spreads: Sequence[float]) -> int | None:
    """The answer for seed means whose difference and spreads are exactly these."""
    pair = [np.array([-1.0, 0.0, 1.0]) * spread for spread in spreads[:2]]
    found = difference((pair[0] + points).tolist(), pair[1].tolist(), METHODS)
    assert found is not None
    return seeds_needed(found, 3)


@pytest.mark.parametrize(("points", "spreads"), [(2.0, [1.0, 1.0]), (1.2, [1.0, 1.0]), (3.0, [0.5, 3.0])])
def test_the_seeds_that_are_needed_give_the_power_that_is_promised(points: float, spreads: list[float]) -> None:
    count = needed(points, spreads)
    assert count is not None
    found = power(1500, count, [points, *[0.0] * (METHODS - 1)], np.array([*spreads, *[1.0] * (METHODS - 2)]))
    fewer = power(1500, count - 1, [points, *[0.0] * (METHODS - 1)], np.array([*spreads, *[1.0] * (METHODS - 2)]))
    # The smallest number that has the power may have more of it.
    assert found >= 0.75
    assert fewer <= 0.85


def test_no_number_of_seeds_shows_what_is_not_there() -> None:
    assert needed(0.0, [1.0, 1.0]) is None
    assert needed(0.01, [5.0, 5.0]) is None
