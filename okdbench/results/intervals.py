"""Means and 95 % confidence intervals, fixed in advance and tested on simulated data with a known answer.

Measurements come in *groups*, one per setting. Settings are fixed, seeds are a random sample. So a mean is the mean of
the settings' means, and only the spread of the seeds within each setting counts as uncertainty.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

Groups = Sequence[Sequence[float]]
_RESAMPLES = 9999
#: with fewer degrees of freedom a bootstrap is meaningless; Student's t replaces it, which assumes normality
_ENOUGH = 5


def mean(values: Sequence[float]) -> float:
    """Mean without rounding errors of the sum, so that it does not depend on the order; NaN without values."""
    return float(statistics.mean(values)) if values else math.nan


def mean_std(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (n - 1); equal values give exactly 0.

    The deviation of fewer than two values is NaN, because it is unknown rather than zero.
    """
    return mean(values), statistics.stdev(values) if len(values) > 1 else math.nan


def group_mean(groups: Groups) -> float:
    """The mean over the groups of the mean of each."""
    return mean([mean(values) for values in groups])


def axis_start(accuracies: Iterable[float]) -> float:
    """Where an axis of accuracies (percent) starts, so that failed runs do not squeeze all others together.

    It starts just below the lowest accuracy that is at most five median absolute deviations away from the median, and
    at 0 without accuracies.
    """
    values = list(accuracies)
    if not values:
        return 0.0
    middle = statistics.median(values)
    reach = 5 * statistics.median(abs(value - middle) for value in values)
    return max(0.0, math.ceil(min(value for value in values if value >= middle - reach)) - 1.0)


def interval(groups: Groups, confidence: float = 0.95) -> tuple[float, float] | None:
    """Bootstrap-t interval of :func:`group_mean`, in the unit of the values; equal input gives an equal interval.

    Values are resampled within their groups, and the distance of each resampled mean is divided by its own standard
    error (Efron and Tibshirani, 1993, chapter 12.5): percentile intervals are far too narrow for a few seeds. With
    fewer than five degrees of freedom it is Student's interval.

    Args:
        groups: independent finite measurements, such as the accuracies of some seeds in each setting.
        confidence: nominal coverage in (0, 1).

    Returns:
        lower and upper end; None when a group has fewer than two values, because its spread is unknown then.
    """
    # Sorted, because the order of the records carries no information but would change what is drawn.
    samples = [np.sort(np.asarray(values, dtype=np.float64)) for values in groups]
    if not samples or min(map(len, samples)) < 2:
        return None
    middle, error = group_mean(groups), float(_standard_error(samples))
    if error <= 1e-12 * max(1.0, abs(middle)):  # equal values, up to rounding
        return middle, middle
    freedom = sum(len(sample) - 1 for sample in samples)
    tails = np.array([1 - confidence, 1 + confidence]) / 2
    if freedom < _ENOUGH:
        # The quantile function of scipy.stats.t, without the second that importing scipy.stats takes.
        from scipy.special import stdtrit

        low, high = stdtrit(freedom, tails)
    else:
        low, high = np.quantile(_resampled(samples, middle), tails)
    # The tails change sides, because t = (mean - truth) / error is solved for the truth.
    return middle - float(high) * error, middle - float(low) * error


def _standard_error(samples: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """Standard error of the mean over groups of n values each, along the last axis."""
    parts = [sample.var(axis=-1, ddof=1) / sample.shape[-1] for sample in samples]
    return np.asarray(np.sqrt(sum(parts)) / len(samples))


def _resampled(samples: Sequence[npt.NDArray[np.float64]], middle: float) -> npt.NDArray[np.float64]:
    """Distance of each resampled mean from ``middle`` in its own standard errors; draws without spread are dropped."""
    # A fixed seed, so that equal records give equal tables and figures.
    rng = np.random.default_rng(0)
    drawn = [sample[rng.integers(0, len(sample), (_RESAMPLES, len(sample)))] for sample in samples]
    means = np.mean([draw.mean(axis=-1) for draw in drawn], axis=0)
    errors = _standard_error(drawn)
    # A draw that repeats one value per group has an error of zero, up to rounding, to divide by.
    spread = errors > 1e-9 * max(errors.max(), 1e-300)
    return np.asarray((means[spread] - middle) / errors[spread])
