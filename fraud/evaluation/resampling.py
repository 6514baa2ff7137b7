"""Paired bootstrap by card: the intervals people read in reports and dashboards.

    cards drawn with replacement → how often each was drawn is its rows' weight
      → the same weights for every side → one figure per round and side → quantiles

Frauds of one card stand or fall together, so the card is what is drawn; both
sides see the same cards, so their difference is not blurred by which cards
came up. A day's alert cut-offs stay where the sample has them. The interval
informs; the verdict's e-processes decide.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fraud.evaluation.metrics import Bools, Days, Floats, Ranking, alerts, recall

VERDICT_LEVEL = 0.95
"""Of the intervals in a verdict."""
NO_CARD = -1
"""A row without a card is drawn by itself."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with the middle of its bootstrap distribution, 95 % unless said; all NaN when undefined."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Figures:
    """Average precision and recall within the budget of one side."""

    average_precision: Interval
    recall: Interval


@dataclass(frozen=True, slots=True)
class Sample:
    """Judged rows in log order: columns of length n, weights >= 0."""

    is_fraud: Bools
    days: Days
    cards: NDArray[np.int64]
    weights: Floats


def card_draws(cards: NDArray[np.int64], rounds: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield how often each row's card is drawn, int64[n], once per round.

    Rows of one card share their number; rows with `NO_CARD` have their own.
    """
    groups, group = grouped(cards)
    rng = np.random.default_rng(seed)
    for _ in range(rounds if groups else 0):
        yield np.bincount(rng.integers(groups, size=groups), minlength=groups)[group]


def grouped(cards: NDArray[np.int64]) -> tuple[int, NDArray[np.intp]]:
    """Return how many groups are drawn, and the one of each row, int[n] below that number."""
    keys = np.where(cards == NO_CARD, -2 - np.arange(len(cards)), cards)
    _, group = np.unique(keys, return_inverse=True)
    return int(group.max()) + 1 if len(group) else 0, group


def bootstrap(
    sample: Sample, sides: Mapping[str, Floats], share: float, rounds: int, seed: int
) -> tuple[dict[str, Figures], Figures | None]:
    """Judge each side's scores float64[n] on the sample, and the first side minus the second.

    Returns the figures by side, and the paired difference (None unless there
    are two sides). The same seed gives the same intervals.
    """
    rankings = {name: Ranking(sample.is_fraud, scores) for name, scores in sides.items()}
    alerted = {name: alerts(scores, sample.days, share) for name, scores in sides.items()}

    def judge(weights: Floats) -> list[float]:
        figures = [ranking.average_precision(weights) for ranking in rankings.values()]
        return figures + [recall(sample.is_fraud, marked, weights) for marked in alerted.values()]

    point = np.array(judge(sample.weights))
    if not sample.is_fraud.any():
        spread = np.full((1, len(point)), np.nan)
    else:
        draws = card_draws(sample.cards, rounds, seed)
        spread = np.array([judge(draw * sample.weights) for draw in draws])
    count = len(sides)
    figures = {
        name: Figures(
            interval_of(point[i], spread[:, i]), interval_of(point[count + i], spread[:, count + i])
        )
        for i, name in enumerate(sides)
    }
    if count != 2:
        return figures, None
    precision = interval_of(point[0] - point[1], spread[:, 0] - spread[:, 1])
    return figures, Figures(precision, interval_of(point[2] - point[3], spread[:, 2] - spread[:, 3]))


def interval_of(value: float, spread: Floats, level: float = VERDICT_LEVEL) -> Interval:
    """Return a figure with the middle `level` of its values in all rounds, float64[r]."""
    defined = spread[~np.isnan(spread)]  # a round may have drawn no fraud at all
    if len(defined) == 0 or np.isnan(value):
        return Interval(float("nan"), float("nan"), float("nan"))
    low, high = np.quantile(defined, ((1 - level) / 2, (1 + level) / 2))
    return Interval(float(value), float(low), float(high))
