"""The 95 % quantile of the Studentised range, interpolated.

scipy needs two seconds to load and a tenth of one for each quantile, and every row of a table has degrees of freedom of
its own. Between the places of the table the error is below one part in a thousand.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.interpolate import RectBivariateSpline

#: numbers of rows that are compared
ROWS = (2, 3, 4, 6, 10, 20, 50, 100)
FREEDOMS = (1.0, 1.4, 2.0, 3.0, 5.0, 9.0, 20.0, 1e4)
#: scipy.stats.studentized_range.ppf(0.95, rows, freedom), a line for each number of rows
QUANTILES = (
    (17.9693, 9.4144, 6.0849, 4.5007, 3.6354, 3.1992, 2.9500, 2.7721),
    (26.9755, 13.4886, 8.3308, 5.9096, 4.6017, 3.9485, 3.5779, 3.3150),
    (32.8187, 16.1462, 9.7980, 6.8245, 5.2183, 4.4149, 3.9583, 3.6338),
    (40.4076, 19.6268, 11.7343, 8.0371, 6.0329, 5.0235, 4.4452, 4.0309),
    (49.0710, 23.6379, 13.9885, 9.4620, 6.9947, 5.7384, 5.0079, 4.4751),
    (59.5576, 28.5346, 16.7688, 11.2400, 8.2080, 6.6435, 5.7136, 5.0131),
    (71.7300, 34.2572, 20.0465, 13.3593, 9.6740, 7.7488, 6.5762, 5.6479),
    (79.9761, 38.1492, 22.2875, 14.8187, 10.6935, 8.5256, 7.1869, 6.0869),
)


def quantile(rows: int, freedom: float) -> float:
    """The 95 % quantile for so many rows (2 or more) and degrees of freedom (1 or more)."""
    if rows > ROWS[-1]:
        from scipy.stats import studentized_range

        return float(studentized_range.ppf(0.95, rows, freedom))
    return math.exp(float(_logarithm()(math.log(rows), 1 / freedom)[0, 0]))


@cache
def _logarithm() -> RectBivariateSpline:
    """The quantile's logarithm over the logarithm of the rows and 1 / freedom, in which it is nearly straight."""
    from scipy.interpolate import RectBivariateSpline

    values = np.log(np.array(QUANTILES)[:, ::-1])
    return RectBivariateSpline(np.log(ROWS), 1 / np.array(FREEDOMS[::-1]), values)
