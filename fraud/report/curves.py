"""The curves of a report, as plain figures: precision and recall, calibration, money.

Rows are columns of equal length n in log order, as in `fraud.evaluation.metrics`.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from fraud.evaluation.metrics import Bools, Days, Floats, alerts, average_precision

POINTS_MAX: Final = 600
"""Points of one drawn curve; more would only make the page heavier."""
BINS: Final = 8
_SHARES: Final = np.geomspace(0.0005, 0.2, 40)


@dataclass(frozen=True, slots=True)
class PrecisionRecall:
    """Precision at each recall step, float64[k] each, and the area that the gate goes by."""

    recall: Floats
    precision: Floats
    average_precision: float


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Rows of similar score: mean score against the share of frauds, exact 95 % interval."""

    rows: int
    frauds: int
    expected: float
    observed: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Money:
    """What a daily alert budget catches: alerts a day, share of fraud value, share of frauds; float64[k]."""

    alerts_per_day: Floats
    value: Floats
    recall: Floats

    def at(self, alerts_per_day: float) -> tuple[float, float]:
        """Return the shares of value and of frauds caught within a budget; NaN without frauds."""
        place = max(0, int(np.searchsorted(self.alerts_per_day, alerts_per_day, "right")) - 1)
        return float(self.value[place]), float(self.recall[place])


def precision_recall(is_fraud: Bools, scores: Floats, weights: Floats) -> PrecisionRecall:
    """Return the curve; empty without frauds.

    >>> curve = precision_recall(np.array([True, False, True]), np.array([0.9, 0.8, 0.1]), np.ones(3))
    >>> curve.recall.tolist(), curve.precision.round(2).tolist()
    ([0.5, 1.0], [1.0, 0.67])
    """
    area = average_precision(is_fraud, scores, weights)
    if not is_fraud.any():
        return PrecisionRecall(np.empty(0), np.empty(0), area)
    order = np.argsort(-scores, kind="stable")
    ranked, fraud, weight = scores[order], is_fraud[order], weights[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    caught, alerted = np.cumsum(weight * fraud)[ends], np.cumsum(weight)[ends]
    steps = np.flatnonzero(np.diff(caught, prepend=0.0) > 0)
    kept = steps[np.unique(np.linspace(0, len(steps) - 1, min(len(steps), POINTS_MAX)).astype(np.int64))]
    return PrecisionRecall(caught[kept] / caught[-1], caught[kept] / alerted[kept], area)


def calibration_bins(is_fraud: Bools, scores: Floats, bins: int = BINS) -> list[CalibrationBin]:
    """Return bins of rising score that expect about equally many frauds; none without rows.

    Bins of equally many rows would put nearly every fraud into the last one.
    """
    if not len(scores):
        return []
    order = np.argsort(scores, kind="stable")
    ranked, fraud = scores[order], is_fraud[order]
    shares = np.cumsum(ranked) / max(float(ranked.sum()), 1e-300)
    ends = np.unique(np.append(np.searchsorted(shares, np.arange(1, bins) / bins), len(ranked)))
    made, start = [], 0
    for each in ends.tolist():
        # Rows of one score stay together.
        end = int(np.searchsorted(ranked, ranked[each - 1], "right")) if each else 0
        if end > start:
            made.append(_bin(fraud[start:end], ranked[start:end]))
            start = end
    return made


def _bin(fraud: Bools, scores: Floats) -> CalibrationBin:
    rows, frauds = len(fraud), int(fraud.sum())
    # Clopper and Pearson 1934.
    low = float(beta.ppf(0.025, frauds, rows - frauds + 1)) if frauds else 0.0
    high = float(beta.ppf(0.975, frauds + 1, rows - frauds)) if frauds < rows else 1.0
    return CalibrationBin(rows, frauds, float(scores.mean()), frauds / rows, low, high)


def money(is_fraud: Bools, scores: Floats, days: Days, amounts: NDArray[np.int64], share: float) -> Money:
    """Return what budgets from 0.05 % to 20 % of a day's rows catch, the gate's `share` among them."""
    count = max(len(np.unique(days)), 1)
    value = np.where(is_fraud, amounts, 0).astype(np.float64)
    total, frauds = float(value.sum()), int(is_fraud.sum())
    points = []
    for each in np.unique(np.append(_SHARES, share)):
        alerted = alerts(scores, days, float(each))
        caught = float(value[alerted].sum()) / total if total else float("nan")
        found = int(np.sum(is_fraud & alerted)) / frauds if frauds else float("nan")
        points.append((int(alerted.sum()) / count, caught, found))
    # Small budgets buy the same number of alerts; one point each is enough.
    columns = np.unique(np.array(points), axis=0)
    return Money(columns[:, 0], columns[:, 1], columns[:, 2])
