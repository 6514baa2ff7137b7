"""What a campaign found: evasion over cost, profit per card, tries until the first acceptance.

Shares are of the frauds that the bundle stops as they are; the others need no evasion. `white`
is what the search of the trees found, `black` what a prober got, `best` the cheaper of both, card
by card. No figure bounds what a further search would find: it is at least as much.
Intervals are Wilson's (1927), 95 %, of as many votes as the frauds are worth: fewer than there are where
those of one card go together (Kish's design effect, from the variance between cards). What a prober had
learned from earlier cards is taken as given, so his interval, and that of `best`, is of these cards in
this order: another prober would vary by more.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fraud.attacks.campaign import Result
from fraud.evaluation.metrics import Bools

_NORMAL_95 = 1.96
_Costs = np.ndarray[tuple[int], np.dtype[np.float64]]


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
    probed = [result for result in stopped if result.black is not None]
    cards, probed_cards = _cards(stopped), _cards(probed)
    white = np.array([result.white_cost for result in stopped])
    best = np.array([result.cost for result in stopped])
    probes = [result.black for result in probed if result.black is not None]
    black = np.array([probe.cost for probe in probes])
    firsts = [probe.first for probe in probes if probe.first is not None]
    return Summary(
        len(results),
        len(stopped),
        tuple(point(white, cards, cost) for cost in costs),
        tuple(point(black, probed_cards, cost) for cost in costs),
        tuple(point(best, cards, cost) for cost in costs),
        _profit(np.array([result.white_cost for result in results])),
        _profit(np.array([result.black.cost for result in results if result.black is not None])),
        _profit(np.array([result.cost for result in results])),
        float(np.median(firsts)) if firsts else math.nan,
        1 - len(firsts) / len(probes) if probes else math.nan,
    )


def point(costs: _Costs, cards: NDArray[np.int64], cost: float) -> Point:
    """Return the share of costs that are at most `cost`; `cards` tells whose fraud each is of."""
    n, through = len(costs), costs <= cost
    votes = effective(through, cards)
    share = float(through.mean()) if n else math.nan
    low, high = wilson(share * votes if n else 0, votes)
    return Point(cost, share, low, high)


def effective(through: Bools, cards: NDArray[np.int64]) -> float:
    """Return as many independent frauds as these n are worth for their share: n at most.

    Where all or none get through nothing tells cards apart, and each is one.

    >>> effective(np.array([True, True, False, False]), np.array([1, 1, 2, 2]))
    1.0
    """
    n = len(cards)
    _, card = np.unique(cards, return_inverse=True)
    sizes, hits = np.bincount(card), np.bincount(card, weights=through)
    if len(sizes) < 2 or hits.sum() in (0, n):
        return float(len(sizes))
    share = float(hits.sum()) / n
    variance = len(sizes) / (len(sizes) - 1) * float(np.sum((hits - share * sizes) ** 2)) / n**2
    return min(float(n), share * (1 - share) / variance) if variance else float(n)


def wilson(hits: float, n: float) -> tuple[float, float]:
    """Return the 95 % interval of a share by Wilson's score, hits of n votes; (0, 1) without any.

    >>> [round(each, 3) for each in wilson(5, 10)]
    [0.237, 0.763]
    """
    if not n:
        return 0.0, 1.0
    share, z2 = hits / n, _NORMAL_95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _NORMAL_95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def _cards(results: Sequence[Result]) -> NDArray[np.int64]:
    return np.array([result.fraud.payment.surrogates[0] for result in results], np.int64)


def _profit(costs: _Costs) -> float:
    """Return the mean profit as a share of the value; nobody pays more than he gets."""
    return float(np.mean(np.maximum(0.0, 1 - costs))) if len(costs) else math.nan
