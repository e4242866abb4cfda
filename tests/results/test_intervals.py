"""Means and intervals over seeds: by hand, and on simulated data with a known answer."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t

from okdbench.results.intervals import axis_start, group_mean, interval, mean_std

ACCURACIES = st.floats(0, 100).map(lambda value: round(value, 4))


def test_mean_and_sample_deviation() -> None:
    assert mean_std([1.0, 2.0, 6.0]) == (3.0, pytest.approx(math.sqrt(7)))
    assert mean_std([0.1, 0.1, 0.1]) == (0.1, 0.0)


def test_unknown_numbers_are_nan() -> None:
    assert math.isnan(mean_std([])[0])
    assert math.isnan(mean_std([])[1])
    mean, std = mean_std([4.0])
    assert mean == 4.0
    assert math.isnan(std)


def test_an_axis_starts_below_the_lowest_that_is_not_an_outlier() -> None:
    assert axis_start([98.4, 98.0, 97.2, 95.5, 91.7, 63.3, 10.1]) == 91
    assert axis_start([20, 40, 60, 80]) == 19
    assert axis_start([100.0, 100.0]) == 99
    assert axis_start([0.3]) == axis_start([]) == 0


def test_groups_have_equal_weights() -> None:
    assert group_mean([[1.0], [4.0, 6.0]]) == 3.0


def test_no_interval_where_a_spread_is_unknown_and_a_point_without_one() -> None:
    assert interval([]) is None
    assert interval([[50.0]]) is None
    assert interval([[50.0, 51.0], [50.0]]) is None
    assert interval([[0.1, 0.1, 0.1], [0.3, 0.3]]) == (0.2, 0.2)


def test_few_values_get_students_interval() -> None:
    low, high = interval([[60.0, 62.0, 67.0]]) or (math.nan, math.nan)
    half = t.ppf(0.975, 2) * np.std([60, 62, 67], ddof=1) / math.sqrt(3)
    assert (low, high) == (pytest.approx(63 - half), pytest.approx(63 + half))


def test_students_interval_is_scipys_bit_for_bit_without_importing_its_statistics() -> None:
    for freedom in range(1, 5):
        values = np.random.default_rng(freedom).normal(60, 5, size=freedom + 1)
        error = float(np.sqrt(values.var(ddof=1) / len(values)))
        low, high = t.ppf([0.025, 0.975], freedom)
        middle = mean_std(values.tolist())[0]
        assert interval([values.tolist()]) == (middle - high * error, middle - low * error)
    code = "from okdbench.results.intervals import interval; interval([[1.0, 2.0]]); import sys; "
    code += "assert 'scipy.special' in sys.modules and 'scipy.stats' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_many_values_agree_with_the_normal_interval() -> None:
    values = np.random.default_rng(3).normal(60, 5, size=200).tolist()
    mean, std = mean_std(values)
    low, high = interval([values]) or (math.nan, math.nan)
    half = 1.96 * std / math.sqrt(len(values))
    assert (low, high) == (pytest.approx(mean - half, abs=0.1), pytest.approx(mean + half, abs=0.1))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(ACCURACIES, min_size=2, max_size=6), min_size=1, max_size=3), st.randoms())
def test_an_interval_contains_the_mean_and_ignores_the_order(groups: list[list[float]], random: object) -> None:
    ends = interval(groups)
    assert ends is not None
    assert all(map(math.isfinite, ends))
    assert ends[0] <= ends[1]
    for values in groups:
        random.shuffle(values)  # type: ignore[attr-defined]
    assert interval(groups) == ends


def normal(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.normal(90, 1, count)


def skewed(rng: np.random.Generator, count: int) -> np.ndarray:
    """Accuracies near the ceiling: some seeds fail more than others."""
    return 100 * rng.beta(40, 4, count)


@pytest.mark.parametrize("sizes", [(3,), (3, 3, 3), (5, 5), (10,)])
@pytest.mark.parametrize(("draw", "mean"), [(normal, 90), (skewed, 100 * 40 / 44)])
def test_of_1000_intervals_93_to_97_percent_contain_the_true_mean(
    draw: Callable[[np.random.Generator, int], np.ndarray],
    mean: float,
    sizes: tuple[int, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("okdbench.results.intervals._RESAMPLES", 999)
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(1000):
        low, high = interval([draw(rng, size).tolist() for size in sizes]) or (math.nan, math.nan)
        hits += low <= mean <= high
    assert 930 <= hits <= 970
