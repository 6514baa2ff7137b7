"""How surprising a count is, given what it used to do. Exact tails, dispersion from the past.

Counts of frauds vary more than Poisson counts do: attacks come in bursts, feeds
rest at week-ends. How much more is estimated by moments from equal blocks of
the past, and enters as a negative binomial (variance μ + αμ²) for counts, as a
design effect 1 + (n − 1)ρ for shares. Tails by the incomplete beta and gamma
functions (Johnson, Kemp, Kotz 2005, sections 3.6 and 5.6). Where the bursts
themselves are known, a count's interval is that of a sum of weighted Poisson
counts (Fay and Feuer 1997).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, gammainc, gammaincc
from scipy.stats import chi2

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def burst_interval(sizes: Sequence[int] | Ints, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of the mean of a count that came in bursts of `sizes` ≥ 1, by their gamma method.

    Of bursts of one it is the exact Poisson interval (Garwood 1936). The high end knows of no burst larger
    than those that came.

    >>> low, high = burst_interval([1, 1, 1])
    >>> round(low, 3), round(high, 3)
    (0.619, 8.767)
    """
    bursts = np.asarray(sizes, np.float64)
    tail = (1 - level) / 2
    count, spread = float(bursts.sum()), float(np.square(bursts).sum())
    largest = float(bursts.max()) if len(bursts) else 1.0
    low = spread / (2 * count) * float(chi2.ppf(tail, 2 * count**2 / spread)) if count else 0.0
    beyond, wider = count + largest, spread + largest**2
    return low, wider / (2 * beyond) * float(chi2.ppf(1 - tail, 2 * beyond**2 / wider))


def fewer(observed: float, expected: float, alpha: float) -> float:
    """Return the chance of at most `observed`, given `expected` and dispersion α ≥ 0.

    >>> round(fewer(0, 3.0, 0.0), 4)
    0.0498
    """
    if expected <= 0:
        return 1.0
    if alpha <= 0:
        return float(gammaincc(observed + 1, expected))
    return float(betainc(1 / alpha, observed + 1, 1 / (1 + alpha * expected)))


def more(observed: float, expected: float, alpha: float) -> float:
    """Return the chance of at least `observed`, given `expected` and dispersion α ≥ 0.

    >>> round(more(1, 3.0, 0.0), 4)
    0.9502
    """
    if observed <= 0:
        return 1.0
    if expected <= 0:
        return 0.0
    if alpha <= 0:
        return float(gammainc(observed, expected))
    return float(betainc(observed, 1 / alpha, alpha * expected / (1 + alpha * expected)))


def dispersion(observed: Sequence[float] | Floats | Ints, expected: Sequence[float] | Floats) -> float:
    """Return α of past counts about their expectations, by moments; 0 for Poisson or fewer than two.

    >>> dispersion([10.0, 10.0, 10.0], [10.0, 10.0, 10.0])
    0.0
    """
    counts, means = np.asarray(observed, np.float64), np.asarray(expected, np.float64)
    squares = float(np.square(means).sum())
    if len(counts) < 2 or squares == 0:
        return 0.0
    excess = float((np.square(counts - means) - means).sum())
    return max(0.0, excess / squares)


def larger_share(hits: float, rows: float, share: float, rho: float) -> float:
    """Return the chance of at least `hits` of `rows` when each is one by `share`, correlated by ρ."""
    if hits <= 0 or share >= 1:
        return 1.0
    effective = 1 + (rows - 1) * rho
    scaled, size = hits / effective, rows / effective
    return float(betainc(scaled, size - scaled + 1, share))


def correlation(hits: Floats | Ints, rows: Floats | Ints, share: float) -> float:
    """Return ρ of past blocks about a common share, by moments; 0 where they vary as coins do.

    >>> correlation(np.array([5, 5]), np.array([10, 10]), 0.5)
    0.0
    """
    counts, sizes = np.asarray(hits, np.float64), np.asarray(rows, np.float64)
    spread = share * (1 - share)
    pairs = float((sizes * (sizes - 1)).sum()) * spread
    if pairs <= 0:
        return 0.0
    excess = float((np.square(counts - sizes * share) - sizes * spread).sum())
    return min(1.0, max(0.0, excess / pairs))


def past_share(hits: float, rows: float) -> float:
    """Return a share from counts that is never quite 0, so that a first time is no miracle."""
    return (hits + 0.5) / (rows + 1.0)
