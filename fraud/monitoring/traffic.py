"""Recent traffic before labels arrive: how the champion answers it, against what it was made for.

    a sample of the last days, by logged features     the champion's matrix, scores, outcomes
      outcomes        shares now against those at its training; alerts ÷ promised, with an interval
      distributions   scores and features against the bundle's references (`drift`)
      oddities        shares of new entities, values out of range, unseen words: from the logged limits
      shadows         share of payments they would answer otherwise
      estimate        precision and recall that the scores promise, if they are calibrated

The estimate is context, never a judgement (CBPE, "will not work under concept drift"): what it rests
on is shown beside it, and it is worth nothing where that does not hold.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import norm

from fraud.archive.columns import shadow_of
from fraud.bundle.bundle import Bundle
from fraud.evaluation.metrics import Bools, Days, Floats, alerts
from fraud.evaluation.resampling import Interval
from fraud.monitoring.drift import (
    Drift,
    drift,
    effective_rows,
    feature_drift,
    findings,
    likeness,
    score_shares,
)
from fraud.records import Outcome
from fraud.settings.monitoring import Alarms
from fraud.settings.monitoring import Drift as DriftRules

CALIBRATED = 1.25
"""Expected ÷ observed frauds within this factor of 1 count as calibrated."""
ODDITIES = ("out_of_range", "unseen_category", "late_event")
"""Kinds of oddity beside new_<entity>, as limits spell them before the colon, in capitals."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares of outcomes on some traffic, by name of the outcome."""

    rows: int
    by_outcome: Mapping[str, float]

    @classmethod
    def of(cls, outcomes: NDArray[np.integer]) -> "Shares":
        """Count outcomes, numbers as in `Outcome`."""
        counts = Counter(outcomes.tolist())
        rows = max(len(outcomes), 1)
        return cls(
            len(outcomes),
            {it.name: counts[int(it)] / rows for it in Outcome if it is not Outcome.UNSPECIFIED},
        )

    @property
    def alerts(self) -> float:
        """The share of all but APPROVE."""
        return sum(share for name, share in self.by_outcome.items() if name != Outcome.APPROVE.name)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What calibrated scores promise: frauds expected, precision and recall within the budget."""

    frauds: float
    precision: float
    recall: float


@dataclass(frozen=True, slots=True)
class Traffic:
    """Recent traffic as the champion sees it. `found` names what has moved, by kind."""

    rows: int
    outcomes: Shares
    promised: Shares
    alert_ratio: Interval
    scores: Drift
    features: tuple[Drift, ...]
    found: Mapping[str, tuple[str, ...]]
    estimate: Estimate

    @property
    def drifted(self) -> bool:
        """Something has moved."""
        return any(self.found.values())


def look_at(
    bundle: Bundle,
    matrix: NDArray[np.float32],
    scores: Floats,
    cards: NDArray[np.int64],
    days: Days,
    promised: Shares,
    rules: DriftRules,
    alarms: Alarms,
    alert_share: float,
) -> Traffic | None:
    """Return how recent rows look to a bundle; None where there are fewer than `rules.rows_min`.

    `matrix` float32[n, d] is the bundle's, `scores` float64[n] are what it would give had no row taught it,
    `cards` int64[n] and `days` int32[n] (`event_days`) those of the rows; `promised` are the outcomes at
    training. Whether scores have moved is told by what is served, as the references are.
    """
    if len(matrix) < rules.rows_min:
        return None
    alike = likeness(cards)
    served = bundle.scores_of(matrix) if bundle.folds else scores
    outcomes = Shares.of(bundle.thresholds.outcomes(scores))
    references = bundle.references
    rows = effective_rows(references.rows, len(matrix), alike)
    expected = np.asarray(references.score_shares)
    of_scores = drift("score", expected, score_shares(references.score_edges, served), rows)
    features = tuple(feature_drift(bundle, matrix, alike))
    ratio = alert_ratio(outcomes, promised, alike, rules.p_value)
    jumped = ratio.low > alarms.alert_ratio or ratio.high < 1 / alarms.alert_ratio
    found = {
        "features": tuple(it.name for it in findings(features, rules)),
        "scores": tuple(it.name for it in findings([of_scores], rules)),
        "alerts": ("alerts",) if jumped else (),
    }
    estimated = estimate(scores, alerts(scores, days, alert_share))
    return Traffic(len(matrix), outcomes, promised, ratio, of_scores, features, found, estimated)


def alert_ratio(now: Shares, then: Shares, alike: float, p_value: float) -> Interval:
    """Return alerts now ÷ promised; the interval leaves `p_value` outside (log of a ratio of shares).

    Half a row is added to each count, so that no alerts at all is not nothing.
    """
    counts, rows = [], []
    for shares in (now, then):
        size = max(shares.rows / alike, 1.0)
        counts.append(shares.alerts * size + 0.5)
        rows.append(size + 1.0)
    ratio = (counts[0] / rows[0]) / (counts[1] / rows[1])
    error = math.sqrt(sum(1 / count - 1 / size for count, size in zip(counts, rows, strict=True)))
    reach = math.exp(float(norm.isf(p_value / 2)) * error)
    return Interval(ratio, ratio / reach, ratio * reach)


def estimate(scores: Floats, alerted: Bools) -> Estimate:
    """Return what scores promise, were they calibrated; NaN without alerts or rows.

    >>> estimate(np.array([0.5, 0.25, 0.25]), np.array([True, False, False]))
    Estimate(frauds=1.0, precision=0.5, recall=0.5)
    """
    total, caught = float(scores.sum()), float(scores[alerted].sum())
    count = int(alerted.sum())
    return Estimate(
        total, caught / count if count else float("nan"), caught / total if total else float("nan")
    )


def is_calibrated(ratio: Interval | None) -> bool:
    """Tell whether expected ÷ observed frauds of what matured last is near 1, as far as one can tell."""
    return ratio is not None and ratio.low <= CALIBRATED and ratio.high >= 1 / CALIBRATED


def oddities(limits: pl.Series, entities: Sequence[str]) -> dict[str, float]:
    """Return the share of rows with each kind of oddity; `limits` as logged: "NEW_CARD,OUT_OF_RANGE:x"."""
    kinds = [*(f"new_{name}" for name in entities), *ODDITIES]
    rows = max(len(limits), 1)
    return {
        kind: int(limits.str.contains(rf"(^|,){kind.upper()}(:|,|$)").fill_null(value=False).sum()) / rows
        for kind in kinds
    }


def disagreement(rows: pl.DataFrame, version: str) -> float | None:
    """Return the share of payments that a version in shadow would alert on and were not, or the reverse.

    Columns outcome, explored, rule, score, shadows as archived; those that a rule or list decided count for
    neither. None where the version scored none of the others.
    """
    decided = rows.filter(pl.col("rule").is_null() & pl.col("score").is_not_null())
    seen = decided.with_columns(shadow_of(version).alias("own")).drop_nulls("own")
    if seen.is_empty():
        return None
    alerted = (seen["outcome"] != int(Outcome.APPROVE)) | seen["explored"]
    would = seen["own"].struct.field("outcome") != int(Outcome.APPROVE)
    return float((alerted != would).sum()) / len(seen)
