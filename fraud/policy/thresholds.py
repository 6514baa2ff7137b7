"""Outcome by score: thresholds that are solved from targets, and their name.

    labelled rows: score, is_fraud, weight       targets of `fraud.toml`
    all traffic:   score, amount
                       └──────────── solve ────────────┘
                                       │
            challenge ≤ review ≤ decline, each a score or None
                                       │
      score ≥ decline → DECLINE, else ≥ review → REVIEW, else ≥ challenge → CHALLENGE, else APPROVE

A target counts everything at or above its threshold: a review share of 1 % with
declines of 0.2 % sends 0.8 % to review. A threshold above that of a more severe
outcome is lowered to it: no transaction is answered differently by that (the
more severe outcome takes precedence), the order is just written down.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fraud.policy.risks import Risks
from fraud.records import Outcome
from fraud.settings.model import Policy, Target

SEVERITIES = (("challenge", Outcome.CHALLENGE), ("review", Outcome.REVIEW), ("decline", Outcome.DECLINE))
"""The outcomes that a threshold leads to, mildest first."""

_DIGEST_LETTERS = 6


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The least calibrated score of each outcome, 0..1; None: the outcome is never given."""

    challenge: float | None = None
    review: float | None = None
    decline: float | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.challenge, self.review, self.decline) if value is not None]
        if given != sorted(given):
            raise ValueError(f"thresholds must rise with severity, got {given}")

    def outcomes(self, scores: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the `Outcome` number of each score, int64[n].

        >>> Thresholds(review=0.5, decline=0.9).outcomes(np.array([0.1, 0.5, 0.95])).tolist()
        [1, 3, 4]
        """
        answers = np.full(len(scores), int(Outcome.APPROVE), np.int64)
        for name, outcome in SEVERITIES:
            threshold = getattr(self, name)
            if threshold is not None:
                answers[scores >= threshold] = outcome
        return answers

    def to_dict(self) -> dict[str, float | None]:
        """Return the thresholds for JSON; floats survive the round trip exactly."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Take back what `to_dict` gave."""
        return cls(stored["challenge"], stored["review"], stored["decline"])


@dataclass(frozen=True, slots=True)
class Solution:
    """Solved thresholds, and a sentence for each target that could not be met."""

    thresholds: Thresholds
    notes: tuple[str, ...]


def solve(
    policy: Policy,
    scores: NDArray[np.float64],
    is_fraud: NDArray[np.bool_],
    weights: NDArray[np.float64],
    days: float,
    traffic: NDArray[np.float64] | None = None,
    amounts: NDArray[np.int64] | None = None,
) -> Solution:
    """Return the thresholds that meet a policy's targets on the calibration span.

    Args:
        policy: targets per outcome.
        scores: calibrated scores of the labelled rows, float64[n].
        is_fraud: their labels, bool[n].
        weights: what restores natural prevalence, float64[n]; a weight counts transactions.
        days: length of the span, > 0; turns `per_day` into a number of transactions.
        traffic: scores of all traffic of the span, labelled or not, float64[m].
            `share` and `per_day` need no labels, and the labelled rows lack the
            unexplored declines. Default: the labelled rows with their weights.
        amounts: of `traffic`, base currency minor units, int64[m]; only a cost by
            amount asks for them.

    Raises:
        ValueError: `days` is not above 0, or a cost by amount has no amounts.
    """
    if days <= 0:
        raise ValueError(f"days must be above 0, got {days}")
    labelled = _Curve.of(scores, weights, is_fraud)
    everything = labelled if traffic is None else _Curve.of(traffic, np.ones(len(traffic)))
    risks = None if traffic is None or amounts is None else Risks(traffic, amounts)
    found: dict[str, float | None] = {}
    notes: list[str] = []
    for name, _ in SEVERITIES:
        target: Target | None = getattr(policy, name)
        found[name] = None
        if target is None:
            continue
        found[name], problem = _threshold(target, labelled, everything, days, risks)
        if problem:
            notes.append(f"policy.{name}: {problem}; this outcome is never given")
    return Solution(_ordered(found), tuple(notes))


def _ordered(found: dict[str, float | None]) -> Thresholds:
    ceiling = float("inf")
    for name, _ in reversed(SEVERITIES):
        value = found[name]
        if value is not None:
            found[name] = ceiling = min(value, ceiling)
    return Thresholds(**found)


@dataclass(frozen=True, slots=True)
class _Curve:
    """Distinct scores, highest first, with the weight and the frauds at or above each."""

    scores: NDArray[np.float64]
    weight: NDArray[np.float64]
    frauds: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        scores: NDArray[np.float64],
        weights: NDArray[np.float64],
        is_fraud: NDArray[np.bool_] | None = None,
    ) -> Self:
        distinct, group = np.unique(scores, return_inverse=True)
        size = len(distinct)
        weight = np.bincount(group, weights, size)
        frauds = np.zeros(size) if is_fraud is None else np.bincount(group, weights * is_fraud, size)
        return cls(distinct[::-1], np.cumsum(weight[::-1]), np.cumsum(frauds[::-1]))

    def lowest_within(self, weight_max: float) -> float | None:
        """The lowest score with no more than `weight_max` at or above it."""
        count = int(np.searchsorted(self.weight, weight_max * (1 + 1e-12), side="right"))
        return float(self.scores[count - 1]) if count else None

    def lowest_sparing(self, rate: float) -> float | None:
        """The lowest score with no more than a share of the legitimate rows at or above it."""
        legitimate = self.weight - self.frauds
        allowed = rate * float(legitimate[-1]) * (1 + 1e-12)
        count = int(np.searchsorted(legitimate, allowed, side="right"))
        return float(self.scores[count - 1]) if count else None

    def lowest_precise(self, precision: float) -> float | None:
        """The lowest score whose share of frauds at or above it reaches `precision`."""
        enough = np.flatnonzero(self.frauds >= precision * self.weight * (1 - 1e-12))
        return float(self.scores[enough[-1]]) if len(enough) else None


def _threshold(
    target: Target, labelled: _Curve, everything: _Curve, days: float, risks: Risks | None
) -> tuple[float | None, str]:
    if target.score is not None:
        return target.score, ""
    if target.cost is not None:
        missed, alarm = target.cost.missed_fraud, target.cost.false_alarm
        if missed is not None and alarm is not None:
            # Bayes-optimal for a calibrated p: act when p · missed_fraud ≥ (1 − p) · false_alarm
            # (Elkan 2001, "The Foundations of Cost-Sensitive Learning", eq. 2).
            return alarm / (alarm + missed), ""
        if risks is None:
            raise ValueError("a cost by amount needs the amounts of all traffic")
        threshold = risks.cheapest(target.cost)
        return threshold, "" if threshold is not None else "no alert is worth its friction"
    if not len(labelled.scores) or not len(everything.scores):
        return None, "the calibration span is empty"
    if target.false_positive_rate is not None:
        threshold = labelled.lowest_sparing(target.false_positive_rate)
        told = (
            f"the highest score alone is that of more than {target.false_positive_rate:g} of the legitimate"
        )
        return threshold, "" if threshold is not None else told
    if target.precision is not None:
        threshold = labelled.lowest_precise(target.precision)
        return (
            threshold,
            "" if threshold is not None else f"no score reaches a precision of {target.precision:g}",
        )
    if target.share is not None:
        allowed, told = target.share * float(everything.weight[-1]), f"{target.share:g} of traffic"
    else:
        assert target.per_day is not None, "a target has exactly one key"
        allowed, told = target.per_day * days, f"{target.per_day:g} transactions per day"
    threshold = everything.lowest_within(allowed)
    return threshold, "" if threshold is not None else f"the highest score alone is more than {told}"


def policy_digest(policy: Policy, thresholds: Thresholds) -> str:
    """Return six hex digits that change with the targets or with the solved thresholds."""
    targets = {name: _target_key(getattr(policy, name)) for name, _ in SEVERITIES}
    content = json.dumps({"targets": targets, "thresholds": thresholds.to_dict()}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:_DIGEST_LETTERS]


def policy_version(version: str, digest: str) -> str:
    """Name the policy of a version.

    >>> policy_version("card-7", "3fa2c1")
    'card-7/3fa2c1'
    """
    return f"{version}/{digest}"


def _target_key(target: Target | None) -> dict[str, Any] | None:
    return None if target is None else target.model_dump(exclude_none=True)
