"""What quiet weeks promise: how surprising a count of now is, given the weeks before it.

    counts of whole days before the judged ones, the newest first
      ─ weeks ─ the loudest quarter scaled down to the next one (an attack, a backlog that came at once)
      ─ blocks of as many days as are judged ─► rate, dispersion ─► chance of so many or more

Weeks stay whole, so whatever speaks on Mondays only, or rests at week-ends, is
judged by what it does itself. Scaling down the loudest keeps an attack of last
month from hiding the one of today; what is left is a little too quiet, and days
may vary more than a few weeks show, which is why callers ask for an effect and
a least number beside the chance.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from fraud.evaluation.counts import Floats, Ints, dispersion, more

WEEK: Final = 7
WEEKS_MIN: Final = 3
"""Fewer whole weeks promise nothing."""
LOUD_SHARE: Final = 0.25
"""Of the weeks, the loudest, rounded down: they count as the next one does."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is expected of the judged days, with the dispersion α ≥ 0 of its past."""

    expected: float
    alpha: float

    def chance(self, observed: float) -> float:
        """Return the chance of at least `observed` when nothing has changed.

        >>> round(Forecast(3.0, 0.0).chance(1), 4)
        0.9502
        """
        return more(observed, self.expected, self.alpha)


def forecast(
    daily: Ints, days: int = 1, exposure: Floats | None = None, exposed: float | None = None
) -> Forecast | None:
    """Return what the next `days` days promise; None for fewer than three whole weeks.

    Args:
        daily: counts of the days before, the newest first, int64[n].
        days: how many days are judged together, 1 to 7.
        exposure: how much there was to count on each of these days, float64[n] >= 0; default: 1 each.
        exposed: the same of the judged days together; default: `days`.

    Half a count is added to the past, so that a first time is no miracle.

    >>> forecast(np.full(28, 0), days=2)
    Forecast(expected=0.03571428571428571, alpha=0.0)
    """
    weeks = len(daily) // WEEK
    worth = np.ones(len(daily)) if exposure is None else exposure
    counts = daily[: weeks * WEEK].reshape(weeks, WEEK).astype(np.float64)
    worths = worth[: weeks * WEEK].reshape(weeks, WEEK)
    lived = worths.sum(axis=1) > 0
    counts, worths = counts[lived], worths[lived]
    if len(counts) < WEEKS_MIN:
        return None
    rates = counts.sum(axis=1) / worths.sum(axis=1)
    loudest = np.sort(rates)[len(rates) - int(LOUD_SHARE * len(rates)) - 1]
    # Scaled down, not left out: their days are as uneven as before, which is what chance is told by.
    counts *= np.divide(loudest, rates, out=np.ones(len(rates)), where=rates > loudest)[:, None]
    rate = (float(counts.sum()) + 0.5) / float(worths.sum())
    whole = WEEK // days * days
    observed = counts[:, :whole].reshape(-1, days).sum(axis=1)
    expected = rate * worths[:, :whole].reshape(-1, days).sum(axis=1)
    return Forecast(rate * (float(days) if exposed is None else exposed), dispersion(observed, expected))
