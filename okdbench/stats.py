"""How sure a mean over a few seeds is."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import numpy as np

_RESAMPLES = 9999


def mean_std(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (n - 1).

    The deviation of fewer than two values is NaN, for it is unknown, not zero; the mean of none is NaN too. Equal
    values give exactly 0.
    """
    mean = float(statistics.mean(values)) if values else math.nan
    return mean, statistics.stdev(values) if len(values) > 1 else math.nan


def bootstrap_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float] | None:
    """Percentile bootstrap interval of the mean, in the unit of ``values``; the same values give the same interval.

    It is None below two values. With three it is rough: no resample leaves the range of the values, so the true
    coverage is well under ``confidence``; read it as a spread, and trust it from about ten values on.

    Args:
        values: independent finite measurements, such as one accuracy per (setting, seed).
        confidence: nominal coverage in (0, 1).
    """
    if len(values) < 2:
        return None
    if min(values) == max(values):
        return values[0], values[0]
    # imported here because it takes half a second, which commands without tables need not wait for
    from scipy.stats import bootstrap

    interval = bootstrap(
        # in order, so that the interval does not depend on the order of the records
        (np.sort(np.asarray(values, dtype=np.float64)),),
        np.mean,
        n_resamples=_RESAMPLES,
        confidence_level=confidence,
        method="percentile",
        random_state=np.random.default_rng(0),
    ).confidence_interval
    return float(interval.low), float(interval.high)
