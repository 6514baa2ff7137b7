"""Figures of merit: average precision, recall within a daily alert budget, CP@k.

Rows are columns of equal length in log order: `is_fraud` bool[n], `scores`
float64[n] (higher is riskier), `days` int32[n] (`event_days`). Where scores
are tied, the row that stands earlier in the log comes first, so every figure
is a function of its input. A figure that no row can define is NaN.
"""

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Days = NDArray[np.int32]

_ROUNDING = 1e-9
"""0.07 × 100 must buy 7 alerts although it is 7.000000000000001."""


class Ranking:
    """Orders rows by score once, so that many weightings of them are cheap to judge.

    Tied scores share one step of the precision-recall curve, as in scikit-learn.
    """

    def __init__(self, is_fraud: Bools, scores: Floats) -> None:
        order = np.argsort(-scores, kind="stable")
        ranked = scores[order]
        self._order = order
        self._is_fraud = is_fraud[order]
        self._ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(order) else order

    def average_precision(self, weights: Floats) -> float:
        """Return Σ (recall step × precision) under row weights float64[n] >= 0; NaN without frauds."""
        weight = weights[self._order]
        caught = np.cumsum(weight * self._is_fraud)[self._ends]
        alerted = np.cumsum(weight)[self._ends]
        if len(caught) == 0 or caught[-1] <= 0:
            return float("nan")
        precision = np.divide(caught, alerted, out=np.zeros_like(caught), where=alerted > 0)
        return float(np.sum(np.diff(caught, prepend=0.0) * precision) / caught[-1])


def average_precision(is_fraud: Bools, scores: Floats, weights: Floats | None = None) -> float:
    """Return the area under the precision-recall steps, 0..1; NaN without frauds.

    The definition is scikit-learn's `average_precision_score`: no interpolation.

    >>> average_precision(np.array([True, False, True]), np.array([0.9, 0.8, 0.1]))
    0.8333333333333333
    """
    return Ranking(is_fraud, scores).average_precision(np.ones(len(scores)) if weights is None else weights)


def alert_budget(rows: int, share: float) -> int:
    """Return how many alerts a day of `rows` transactions may raise: its share, at least one.

    >>> [alert_budget(rows, 0.07) for rows in (0, 3, 100)]
    [0, 1, 7]
    """
    return min(rows, max(1, int(share * rows + _ROUNDING)))


def alerts(scores: Floats, days: Days, share: float) -> Bools:
    """Mark the rows that a daily budget would alert on: the top `share` of each day by score.

    Returns bool[n]; `share` is within (0, 1]. Ties go to the earlier row.
    """
    return top_of_day(scores, days, share=share)


def top_of_day(
    scores: Floats, days: Days, *, share: float | None = None, counts: NDArray[np.int64] | None = None
) -> Bools:
    """Mark each day's top rows by score, bool[n]: a share of them, or a count per day.

    `counts` is int64[number of days], in the order of the days.
    """
    order = np.lexsort((-scores, days))
    _, starts, sizes = np.unique(days[order], return_index=True, return_counts=True)
    if counts is None:
        counts = np.array([alert_budget(int(size), share or 0.0) for size in sizes], dtype=np.int64)
    rank = np.arange(len(scores)) - np.repeat(starts, sizes)
    marked = np.zeros(len(scores), dtype=np.bool_)
    marked[order] = rank < np.repeat(counts, sizes)
    return marked


def recall(is_fraud: Bools, alerted: Bools, weights: Floats | None = None) -> float:
    """Return the weighted share of frauds that were alerted on, 0..1; NaN without frauds."""
    weight = is_fraud.astype(np.float64) if weights is None else weights * is_fraud
    total = weight.sum()
    return float((weight * alerted).sum() / total) if total > 0 else float("nan")


def recall_at_budget(
    is_fraud: Bools, scores: Floats, days: Days, share: float, weights: Floats | None = None
) -> float:
    """Return the share of frauds within each day's top `share` of rows, 0..1; NaN without frauds."""
    return recall(is_fraud, alerts(scores, days, share), weights)


def card_precision(
    is_fraud: Bools,
    scores: Floats,
    days: Days,
    cards: NDArray[np.int64],
    top_k: int,
    *,
    remove_detected: bool = True,
) -> float:
    """Return CP@k: the share of compromised cards among the `top_k` cards of a day, mean over days.

    A card's score is its highest of the day, and it is compromised when any
    transaction of the day is fraud. Cards found on an earlier day leave the
    later ones when `remove_detected`. Source: Le Borgne et al. 2022, Fraud
    Detection Handbook, chapter 4 (card precision top-k). NaN without rows.
    """
    found: NDArray[np.int64] = np.empty(0, dtype=np.int64)
    precisions = []
    for day in np.unique(days):
        rows = np.flatnonzero(days == day)
        if remove_detected:
            rows = rows[~np.isin(cards[rows], found)]
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        _, first = np.unique(cards[rows], return_index=True)
        top = cards[rows][np.sort(first)[:top_k]]
        detected = top[np.isin(top, cards[rows][is_fraud[rows]])]
        precisions.append(len(detected) / top_k)
        found = np.concatenate([found, detected])
    return float(np.mean(precisions)) if precisions else float("nan")
