"""Means, deviations and intervals over seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from okdbench.stats import bootstrap_interval, mean_std

ACCURACIES = st.floats(0, 100).map(lambda value: round(value, 4))


def test_mean_and_sample_deviation() -> None:
    assert mean_std([1.0, 2.0, 6.0]) == (3.0, pytest.approx(math.sqrt(7)))
    assert mean_std([0.1, 0.1, 0.1]) == (0.1, 0.0)


def test_what_is_unknown_is_nan() -> None:
    assert math.isnan(mean_std([])[0])
    assert math.isnan(mean_std([])[1])
    mean, std = mean_std([4.0])
    assert mean == 4.0
    assert math.isnan(std)


def test_no_interval_below_two_values_and_a_point_without_variance() -> None:
    assert bootstrap_interval([]) is None
    assert bootstrap_interval([50.0]) is None
    assert bootstrap_interval([0.1, 0.1, 0.1]) == (0.1, 0.1)


def test_two_values_by_hand() -> None:
    # resampled means of (0, 1) are 0, 1/2 and 1 with probabilities 1/4, 1/2 and 1/4
    assert bootstrap_interval([0.0, 1.0], confidence=0.8) == (0.0, 1.0)
    assert bootstrap_interval([0.0, 1.0], confidence=0.4) == (0.5, 0.5)


def test_many_values_agree_with_the_normal_interval() -> None:
    values = np.random.default_rng(3).normal(60, 5, size=200).tolist()
    mean, std = mean_std(values)
    low, high = bootstrap_interval(values) or (math.nan, math.nan)
    half = 1.96 * std / math.sqrt(len(values))
    assert (low, high) == (pytest.approx(mean - half, abs=0.1), pytest.approx(mean + half, abs=0.1))


@settings(max_examples=25, deadline=None)
@given(st.lists(ACCURACIES, min_size=2, max_size=6), st.randoms())
def test_an_interval_lies_in_the_values_and_ignores_their_order(values: list[float], random: object) -> None:
    interval = bootstrap_interval(values)
    assert interval is not None
    assert min(values) - 1e-9 <= interval[0] <= interval[1] <= max(values) + 1e-9
    random.shuffle(values)  # type: ignore[attr-defined]
    assert bootstrap_interval(values) == interval
