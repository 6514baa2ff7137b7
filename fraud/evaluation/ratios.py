"""Several ratios of sums, and average precision, under one bootstrap by card.

    rows ─► sums by card of each ratio's part and whole    float64[groups, k]
    cards drawn with replacement ─► the same draw for every ratio, and for average precision
      ─► point float64[k + 1], rounds float64[rounds, k + 1]; average precision last

One draw serves all figures, so that two sides on the same rows and seed saw the
same cards, and the difference of their rounds is a paired one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fraud.evaluation.metrics import Floats
from fraud.evaluation.resampling import Interval, Sample, card_draws, grouped, interval_of
from fraud.evaluation.weighted import LEVEL


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """Figures on a sample, and in each round of the bootstrap; NaN where not defined."""

    point: Floats
    rounds: NDArray[np.float64]

    def intervals(self) -> list[Interval]:
        """Return each figure with the middle 90 % of its rounds."""
        return [
            interval_of(float(value), self.rounds[:, place], LEVEL) for place, value in enumerate(self.point)
        ]

    def minus(self, other: "Spread") -> "Spread":
        """Return the paired difference to a spread of the same sample, rounds and seed."""
        return Spread(self.point - other.point, self.rounds - other.rounds)


class CardRanking:
    """Average precision under draws of cards; the same as `Ranking`, without a step for each honest row.

    Only frauds make steps, so rows are summed from one score with a fraud to the next.
    """

    def __init__(self, sample: Sample, scores: Floats, group: NDArray[np.intp]) -> None:
        order = np.argsort(-scores, kind="stable")
        ranked, is_fraud = scores[order], sample.is_fraud[order]
        # The last row of each score, and of these the ones whose score a fraud has.
        ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(order) else order
        frauds = np.flatnonzero(is_fraud)
        steps, self._step = np.unique(np.searchsorted(ends, frauds), return_inverse=True)
        ends = ends[steps]
        used = order[: ends[-1] + 1] if len(ends) else order[:0]
        self._starts = np.append(0, ends[:-1] + 1) if len(ends) else ends
        self._frauds = frauds
        self._group, self._weights = group[used], sample.weights[used]

    def average_precision(self, draw: Floats) -> float:
        """Return Σ (recall step × precision) when each group is drawn so often; NaN without frauds."""
        if not len(self._frauds):
            return float("nan")
        weight = draw[self._group] * self._weights
        alerted = np.cumsum(np.add.reduceat(weight, self._starts))
        caught = np.bincount(self._step, weight[self._frauds], len(self._starts))
        total = caught.sum()
        if total <= 0:
            return float("nan")
        precision = np.divide(np.cumsum(caught), alerted, out=np.zeros_like(caught), where=alerted > 0)
        return float(caught @ precision / total)


def spread_of(
    sample: Sample,
    parts: NDArray[np.float64],
    wholes: NDArray[np.float64],
    scores: Floats,
    rounds: int,
    seed: int,
) -> Spread:
    """Return Σ part ÷ Σ whole for each column, then average precision, with their rounds.

    Args:
        sample: judged rows; its weights count in the average precision alone.
        parts: what each row adds to each numerator, float64[n, k], weights included.
        wholes: the same for the denominators.
        scores: float64[n].
        rounds: of the bootstrap, 1 or more.
        seed: the same one gives the same rounds.
    """
    groups, group = grouped(sample.cards)
    columns = parts.shape[1]
    sums = [
        np.stack([np.bincount(group, of[:, i], groups) for i in range(columns)], axis=1)
        for of in (parts, wholes)
    ]
    ranking = CardRanking(sample, scores, group)

    def judge(draw: Floats) -> Floats:
        part, whole = draw @ sums[0], draw @ sums[1]
        ratios = np.divide(part, whole, out=np.full(columns, np.nan), where=whole > 0)
        return np.append(ratios, ranking.average_precision(draw))

    draws = card_draws(np.arange(groups), rounds, seed)
    spread = [judge(draw.astype(np.float64)) for draw in draws]
    return Spread(judge(np.ones(groups)), np.array(spread).reshape(len(spread), columns + 1))
