"""Intervals of counts: exact where each event is alone, honest where they come in bursts."""

import numpy as np
import pytest
from scipy.stats import chi2

from fraud.evaluation.counts import burst_interval

ROUNDS, BURSTS = 400, 12.0
SIZES = (1, 1, 1, 25)
"""Of four bursts one is a ring."""


@pytest.mark.parametrize("count", [0, 1, 7, 300])
def test_bursts_of_one_have_the_exact_poisson_interval(count: int) -> None:
    low, high = burst_interval(np.ones(count, np.int64))
    assert low == pytest.approx(chi2.ppf(0.025, 2 * count) / 2 if count else 0.0)
    assert high == pytest.approx(chi2.ppf(0.975, 2 * count + 2) / 2)


def test_the_mean_of_a_count_in_bursts_is_above_the_low_end_and_often_below_that_of_poisson() -> None:
    rng = np.random.default_rng(5)
    mean = BURSTS * float(np.mean(SIZES))
    below = naive = 0
    for _ in range(ROUNDS):
        sizes = rng.choice(SIZES, size=rng.poisson(BURSTS))
        below += mean < burst_interval(sizes)[0]
        naive += mean < burst_interval(np.ones(sizes.sum(), np.int64))[0]
    assert below / ROUNDS <= 0.025
    assert naive / ROUNDS >= 0.2


def test_a_wider_level_is_a_wider_interval() -> None:
    (low, high), (lower, higher) = burst_interval(SIZES), burst_interval(SIZES, level=0.99)
    assert 0 < lower < low < sum(SIZES) < high < higher
