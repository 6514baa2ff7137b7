"""What a campaign found: evasion over cost, profit per card, tries until the first acceptance.

Shares are of the frauds that the bundle stops as they are; the others need no evasion. `white`
is what the search of the trees found, `black` what a prober got, `best` the cheaper of both, card
by card. No figure bounds what a further search would find: it is at least as much.
Intervals are Wilson's (1927), 95 %, one vote a fraud.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fraud.attacks.campaign import Result

_NORMAL_95 = 1.96


@dataclass(frozen=True, slots=True)
class Point:
    """Share of stopped frauds that get through at `cost` or less, with its interval; NaN for none."""

    cost: float
    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Summary:
    """Figures of one campaign against one bundle.

    Profit is a share of the card's value, mean over all attacked cards, those included that are never
    stopped (NaN for a prober where none was sent). `first` is the median number of tries until one was
    accepted among the stopped cards where one was (NaN: none), `never` the share of those where none was.
    """

    frauds: int
    stopped: int
    white: tuple[Point, ...]
    black: tuple[Point, ...]
    best: tuple[Point, ...]
    white_profit: float
    black_profit: float
    best_profit: float
    first: float
    never: float


def summarize(results: Sequence[Result], costs: Sequence[float]) -> Summary:
    """Return the figures of a campaign."""
    stopped = [result for result in results if result.stopped]
    white = np.array([result.white_cost for result in stopped])
    best = np.array([result.cost for result in stopped])
    probes = [result.black for result in stopped if result.black is not None]
    black = np.array([probe.cost for probe in probes])
    firsts = [probe.first for probe in probes if probe.first is not None]
    return Summary(
        len(results),
        len(stopped),
        tuple(point(white, cost) for cost in costs),
        tuple(point(black, cost) for cost in costs),
        tuple(point(best, cost) for cost in costs),
        _profit(np.array([result.white_cost for result in results])),
        _profit(np.array([result.black.cost for result in results if result.black is not None])),
        _profit(np.array([result.cost for result in results])),
        float(np.median(firsts)) if firsts else math.nan,
        1 - len(firsts) / len(probes) if probes else math.nan,
    )


def point(costs: np.ndarray[tuple[int], np.dtype[np.float64]], cost: float) -> Point:
    """Return the share of costs that are at most `cost`."""
    n, through = len(costs), int(np.sum(costs <= cost))
    low, high = wilson(through, n)
    return Point(cost, through / n if n else math.nan, low, high)


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a share by Wilson's score; (0, 1) without any.

    >>> [round(each, 3) for each in wilson(5, 10)]
    [0.237, 0.763]
    """
    if not n:
        return 0.0, 1.0
    share, z2 = hits / n, _NORMAL_95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _NORMAL_95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def _profit(costs: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """Return the mean profit as a share of the value; nobody pays more than he gets."""
    return float(np.mean(np.maximum(0.0, 1 - costs))) if len(costs) else math.nan
