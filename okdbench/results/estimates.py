"""The one estimator and the one test of okdbench; docs/statistics.md says why, and shows how they do in simulations.

The unit of everything is a *seed mean*: the accuracy of one seed, averaged over the settings of a row. Seed means are
independent, because each seed has its own networks, order and test images. The settings of one seed need not be, and
averaging over them first keeps whatever they have in common in the spread.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from okdbench.results.studentised_range import quantile

CONFIDENCE = 0.95
#: with fewer seeds a row is provisional, and says so instead of having a mark
ENOUGH_SEEDS = 5
#: wanted probability that a difference of the measured size is shown
POWER = 0.8
#: a question about more seeds than this is answered by "more than"
MOST_SEEDS = 100


@dataclass(frozen=True)
class Difference:
    """Mean of one row minus that of another, in points.

    Attributes:
        value: the difference.
        error: its standard error.
        freedom: degrees of freedom of the error (Welch and Satterthwaite).
        low: lower end of its interval, simultaneous over all pairs of the rows that are compared.
        high: upper end.
        rows: how many rows are compared.
    """

    value: float
    error: float
    freedom: float
    low: float
    high: float
    rows: int

    @property
    def is_shown(self) -> bool:
        """Whether the rows differ at the family-wise 5 % level: the interval is entirely on one side of 0."""
        return self.low > 0 or self.high < 0

    @property
    def p(self) -> float:
        """P-value, adjusted for all pairs of the rows."""
        if not self.error:
            return 0.0 if self.value else 1.0
        from scipy.stats import studentized_range  # takes a second to import

        return float(studentized_range.sf(abs(self.value) / self.error * math.sqrt(2), self.rows, self.freedom))


def mean(values: Sequence[float]) -> float:
    """Mean without rounding errors of the sum, so that it does not depend on the order; NaN without values."""
    return float(statistics.mean(values)) if values else math.nan


def group_mean(groups: Sequence[Sequence[float]]) -> float:
    """The mean over the groups of the mean of each."""
    return mean([mean(values) for values in groups])


def interval(seed_means: Sequence[float]) -> tuple[float, float] | None:
    """Student's 95 % interval of the mean; None with fewer than two values, because their spread is unknown.

    Its ends are not cut at 0 or 100 %: where they are outside, the accuracies are no normal sample of that spread.
    """
    if len(seed_means) < 2:
        return None
    # The quantile function of scipy.stats.t, without the second that importing scipy.stats takes.
    from scipy.special import stdtrit

    middle, error = mean(seed_means), math.sqrt(_error2(seed_means))
    half = float(stdtrit(len(seed_means) - 1, (1 + CONFIDENCE) / 2)) * error
    return middle - half, middle + half


def difference(a: Sequence[float], b: Sequence[float], rows: int = 2) -> Difference | None:
    """The test of Games and Howell (1976): every pair of ``rows`` rows at once, whatever their spreads.

    Args:
        a: seed means of one row.
        b: seed means of the other one.
        rows: how many rows are compared; of 2 it is Welch's test.

    Returns:
        mean of ``a`` minus mean of ``b``; None where one of them has fewer than two values.
    """
    if min(len(a), len(b)) < 2:
        return None
    value, parts = mean(a) - mean(b), [(_error2(values), len(values) - 1) for values in (a, b)]
    total = sum(part for part, _ in parts)
    error = math.sqrt(total)
    # Shares of the whole, because the fourth power of a small error is 0.
    freedom = 1 / sum((part / total) ** 2 / count for part, count in parts) if error else math.inf
    half = critical(rows, freedom) * error if error else 0.0
    return Difference(value, error, freedom, value - half, value + half, rows)


def critical(rows: int, freedom: float) -> float:
    """How many standard errors two of ``rows`` rows must be apart: the Studentised range over the root of 2."""
    return quantile(max(2, rows), freedom) / math.sqrt(2)


def seeds_needed(found: Difference, seeds: int) -> int | None:
    """Seeds of each row for a power of 80 %, if the difference and the spreads are as measured.

    Args:
        found: a difference of rows with ``seeds`` seeds each.
        seeds: how many these are.

    Returns:
        the number; None where the difference is 0, or more than :data:`MOST_SEEDS` are needed.
    """
    from scipy.stats import nct

    if not found.value or not found.error:
        return None
    for count in range(2, MOST_SEEDS + 1):
        freedom = found.freedom * (count - 1) / (seeds - 1)
        away = abs(found.value) / found.error * math.sqrt(count / seeds)
        # The chance of a difference in the wrong direction is left out: where the power is 80 %, it is 0.
        if nct.sf(critical(found.rows, freedom), freedom, away) >= POWER:
            return count
    return None


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


def _error2(values: Sequence[float]) -> float:
    """Square of the standard error of the mean; equal values give exactly 0."""
    return statistics.variance(values) / len(values)
