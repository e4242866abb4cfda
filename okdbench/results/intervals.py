"""How sure the numbers are: fixed in advance, free of torch, and checked on simulated data with a known answer.

Measurements come in *groups*, one for each setting: settings are what they are, seeds are drawn at random. So a mean is
over the settings' means, and only the seeds within a setting say how far it may be off.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

Groups = Sequence[Sequence[float]]
_RESAMPLES = 9999
#: with fewer degrees of freedom resampling says nothing; Student's t stands in, which trusts in normality
_ENOUGH = 5


def mean_std(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (n - 1).

    The deviation of fewer than two values is NaN, for it is unknown, not zero; the mean of none is NaN too. Equal
    values give exactly 0.
    """
    mean = float(statistics.mean(values)) if values else math.nan
    return mean, statistics.stdev(values) if len(values) > 1 else math.nan


def group_mean(groups: Groups) -> float:
    """The mean over the groups of the mean of each."""
    return mean_std([mean_std(values)[0] for values in groups])[0]


def axis_start(accuracies: Iterable[float]) -> float:
    """Where an axis of accuracies starts, so that those that failed to learn do not press all others together.

    It lies just below the lowest that is at most five median absolute deviations from the median. Percent; 0 for none.
    """
    values = list(accuracies)
    if not values:
        return 0.0
    middle = statistics.median(values)
    reach = 5 * statistics.median(abs(value - middle) for value in values)
    return max(0.0, math.ceil(min(value for value in values if value >= middle - reach)) - 1.0)


def interval(groups: Groups, confidence: float = 0.95) -> tuple[float, float] | None:
    """Bootstrap-t interval of :func:`group_mean`, in the unit of the values; equal input gives an equal interval.

    Values are resampled within their groups, and each resampled mean is measured in its own standard errors (Efron and
    Tibshirani, 1993, chapter 12.5), because intervals of plain percentiles are far too narrow for a few seeds. With
    fewer than five degrees of freedom it is Student's.

    Args:
        groups: independent finite measurements, such as the accuracies of some seeds in each setting.
        confidence: nominal coverage in (0, 1).

    Returns:
        lower and upper end; None when a group has fewer than two values, for its spread is unknown then.
    """
    samples = [np.sort(np.asarray(values, dtype=np.float64)) for values in groups]  # the order of records says nothing
    if not samples or min(map(len, samples)) < 2:
        return None
    mean, error = group_mean(groups), float(_standard_error(samples))
    if error <= 1e-12 * max(1.0, abs(mean)):  # what is left of equal values is rounding
        return mean, mean
    freedom = sum(len(sample) - 1 for sample in samples)
    tails = np.array([1 - confidence, 1 + confidence]) / 2
    if freedom < _ENOUGH:
        from scipy.stats import t  # half a second to import

        low, high = t.ppf(tails, freedom)
    else:
        low, high = np.quantile(_resampled(samples, mean), tails)
    return mean - float(high) * error, mean - float(low) * error


def _standard_error(samples: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """Of the mean over groups of n values each, along the last axis."""
    parts = [sample.var(axis=-1, ddof=1) / sample.shape[-1] for sample in samples]
    return np.asarray(np.sqrt(sum(parts)) / len(samples))


def _resampled(samples: Sequence[npt.NDArray[np.float64]], mean: float) -> npt.NDArray[np.float64]:
    """How many of its own standard errors each resampled mean is off ``mean``; those without spread are left out."""
    rng = np.random.default_rng(0)
    drawn = [sample[rng.integers(0, len(sample), (_RESAMPLES, len(sample)))] for sample in samples]
    means = np.mean([draw.mean(axis=-1) for draw in drawn], axis=0)
    errors = _standard_error(drawn)
    spread = errors > 1e-9 * max(errors.max(), 1e-300)
    return np.asarray((means[spread] - mean) / errors[spread])
