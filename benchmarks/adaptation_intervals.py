"""Ratios over seeds with intervals: the same seed gives both sides the same world and the same opponents.

    R = Σ x ÷ Σ y      d_i = x_i − R·y_i      R ± t(n − 1) · sd(d) ÷ (mean(y) · √n)

The classical ratio estimator (Cochran 1977, "Sampling Techniques", section 6.4), paired by seed.
With few seeds a bootstrap of them would be too narrow; Student's t is not.
"""

from collections.abc import Sequence

import numpy as np
from scipy.stats import t as student

from fraud.evaluation.resampling import Interval

LEVEL = 0.95
UNKNOWN = Interval(float("nan"), float("nan"), float("nan"))


def mean_interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """Return the mean of n ≥ 1 values with its interval by Student's t; bounds are NaN for one value."""
    array = np.asarray(values, np.float64)
    n, mean = len(array), float(array.mean())
    if n < 2:
        return Interval(mean, float("nan"), float("nan"))
    half = float(student.ppf((1 + level) / 2, n - 1) * array.std(ddof=1) / np.sqrt(n))
    return Interval(mean, mean - half, mean + half)


def paired_ratio(
    numerators: Sequence[float], denominators: Sequence[float], level: float = LEVEL
) -> Interval:
    """Return Σ numerators ÷ Σ denominators with its interval; pairs are of one seed each.

    All is NaN where the denominators sum to 0, the bounds for one pair.

    Raises:
        ValueError: the lengths differ, or there is no pair.
    """
    if len(numerators) != len(denominators) or not len(numerators):
        raise ValueError(f"{len(numerators)} and {len(denominators)} values are no pairs")
    x, y = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    if not y.sum():
        return UNKNOWN
    ratio = float(x.sum() / y.sum())
    residuals = mean_interval((x - ratio * y).tolist(), level)
    half = (residuals.high - residuals.value) / float(y.mean())
    return Interval(ratio, ratio - half, ratio + half)
