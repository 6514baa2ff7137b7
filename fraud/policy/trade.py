"""The curve that shows what a threshold trades: alerts and friction against fraud that goes through.

    about fifty scores, from the riskiest of the traffic down, and the solved thresholds
      → alerts per day · precision · recall · value detected · expected cost per day

Alerts and expected cost are counted on all traffic of the calibration span;
precision, recall and value detected on its labelled rows, each weighted by the
inverse of its propensity, so that explored declines stand for the others. The
curve is solved with the thresholds, kept with them, and never changes after.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fraud.policy.risks import Floats, Risks
from fraud.policy.thresholds import SEVERITIES, Thresholds
from fraud.settings.model import Cost, Policy

POINTS = 48
SHARE_MAX = 0.3
"""The lowest score of the curve alerts on this share of traffic."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """What a policy is solved on: labelled rows and all traffic of the calibration span.

    Labelled: scores float64[n], is_fraud bool[n], amounts int64[n] in minor
    units, weights float64[n]. `traffic` holds scores and amounts of every row;
    `days` is the length of the span.
    """

    scores: Floats
    is_fraud: NDArray[np.bool_]
    amounts: NDArray[np.int64]
    weights: Floats
    traffic: Risks
    days: float


@dataclass(frozen=True, slots=True)
class Point:
    """One threshold. None where there was nothing to divide by; cost in the unit of the basis."""

    threshold: float
    alerts_per_day: float
    precision: float | None
    recall: float | None
    value_detected: float | None
    cost_per_day: float


@dataclass(frozen=True, slots=True)
class TradeCurve:
    """Points by falling threshold, those of the solved `thresholds` among them.

    `basis` is the cost that `cost_per_day` counts, as configured.
    """

    basis: Mapping[str, float]
    thresholds: Thresholds
    points: tuple[Point, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the curve for JSON, a list a column."""
        columns = {name: [getattr(point, name) for point in self.points] for name in Point.__slots__}
        return {"basis": dict(self.basis), "thresholds": self.thresholds.to_dict(), **columns}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Take back what `to_dict` gave; an empty mapping (a version of old) gives an empty curve."""
        if not stored:
            return cls({}, Thresholds(), ())
        columns = [stored[name] for name in Point.__slots__]
        points = tuple(Point(*row) for row in zip(*columns, strict=True))
        return cls(stored["basis"], Thresholds.from_dict(stored["thresholds"]), points)

    def at(self, threshold: float) -> Point | None:
        """Return the point of a threshold, None when it is not on the curve."""
        return next((point for point in self.points if point.threshold == threshold), None)

    def short(self, count: int) -> tuple[Point, ...]:
        """Return at most `count` points, spread over the curve, both ends among them."""
        places = np.linspace(0, len(self.points) - 1, min(count, len(self.points)))
        return tuple(self.points[i] for i in sorted({round(float(place)) for place in places}))


def trade_curve(policy: Policy, thresholds: Thresholds, calibration: Calibration) -> TradeCurve:
    """Return the curve of a policy; without points when the span has no traffic."""
    basis = cost_basis(policy)
    spelled = {name: float(value) for name, value in basis.model_dump(exclude_none=True).items()}
    traffic = np.sort(calibration.traffic.scores)
    if not len(traffic):
        return TradeCurve(spelled, thresholds, ())
    candidates = _candidates(traffic, thresholds)
    alerts = len(traffic) - np.searchsorted(traffic, candidates, side="left")
    losses = calibration.traffic.losses(basis, candidates)
    frauds = calibration.weights * calibration.is_fraud
    amounts = frauds * calibration.amounts
    alerted, caught, value = (
        _at_or_above(calibration.scores, each, candidates) for each in (calibration.weights, frauds, amounts)
    )
    points = zip(
        candidates.tolist(),
        (alerts / calibration.days).tolist(),
        _shares(caught, alerted),
        _shares(caught, np.full(len(caught), frauds.sum())),
        _shares(value, np.full(len(value), amounts.sum())),
        (losses / calibration.days).tolist(),
        strict=True,
    )
    return TradeCurve(spelled, thresholds, tuple(Point(*row) for row in points))


def cost_basis(policy: Policy) -> Cost:
    """Return the cost of the most severe target that has one, else that of the lost amounts alone."""
    for name, _ in reversed(SEVERITIES):
        target = getattr(policy, name)
        if target is not None and target.cost is not None:
            cost: Cost = target.cost
            return cost
    # The configuration asks for a friction above 0; nobody has said what it is.
    return Cost.model_construct(missed_fraud=None, false_alarm=None, loss_share=1.0, friction_minor=0.0)


def _candidates(rising: Floats, thresholds: Thresholds) -> Floats:
    """Return falling scores: those at ranks that grow by a factor, and the solved thresholds."""
    last = max(1, int(len(rising) * SHARE_MAX))
    ranks = np.geomspace(1, last, POINTS).round().astype(np.int64)
    solved = [value for value in thresholds.to_dict().values() if value is not None]
    return np.unique(np.concatenate([rising[-ranks], np.array(solved, np.float64)]))[::-1]


def _at_or_above(scores: Floats, amounts: Floats, thresholds: Floats) -> Floats:
    """Return the sum of `amounts` at or above each threshold."""
    order = np.argsort(scores, kind="stable")
    sums = np.concatenate([[0.0], np.cumsum(amounts[order])])
    return np.asarray(sums[-1] - sums[np.searchsorted(scores[order], thresholds, side="left")], np.float64)


def _shares(parts: Floats, wholes: Floats) -> list[float | None]:
    both = zip(parts.tolist(), wholes.tolist(), strict=True)
    return [min(1.0, part / whole) if whole > 0 else None for part, whole in both]
