"""From features to decisions, for the rows of one batch that share a model.

features float32[n, F] → the champion's matrix → margins → calibrated scores
  → outcome by thresholds → exploration → limits
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fraud.features.state import ScoredRows
from fraud.policy.spending import DaySpending
from fraud.records import Decision, Outcome, Transaction
from fraud.serving.champions import Champion

_DECLINE = int(Outcome.DECLINE)
_OUTCOMES = {outcome.value: outcome for outcome in Outcome}


@dataclass(frozen=True, slots=True)
class RowLimits:
    """Names of what a row's answer should not be trusted for, ready to attach."""

    new: tuple[str, ...]
    stale_after_us: int

    def of(self, is_new: Sequence[bool], *, is_late: bool, first: tuple[str, ...]) -> tuple[str, ...]:
        """Return `first` and the limits of the row: NEW_<ENTITY>, LATE_EVENT."""
        limits = first
        for name, new in zip(self.new, is_new, strict=True):
            if new:
                limits = (*limits, name)
        return (*limits, "LATE_EVENT") if is_late else limits


def decide_without_champion(outcome: Outcome, rows: ScoredRows, limits: RowLimits) -> list[Decision]:
    """Return the configured outcome for every row, marked NO_CHAMPION."""
    marks = zip(rows.is_new.tolist(), rows.is_late.tolist(), strict=True)
    return [
        Decision(
            None, None, outcome, "", "", False, 1.0, limits.of(new, is_late=late, first=("NO_CHAMPION",))
        )
        for new, late in marks
    ]


def decide(
    champion: Champion,
    transactions: Sequence[Transaction],
    rows: ScoredRows,
    surrogates: Sequence[tuple[int, ...]],
    limits: RowLimits,
    now_us: int,
    spent: DaySpending | None,
) -> list[Decision]:
    """Return a decision for every row, in order; `rows` are the features of `transactions`.

    What exploration lets through is added to `spent`; None: nothing is explored.
    """
    bundle = champion.bundle
    words = champion.words(transactions)
    matrix = champion.matrix(rows.features, words)
    margins = bundle.margins(matrix)
    scores = bundle.scores(margins)
    outcomes = bundle.thresholds.outcomes(scores)
    stale = now_us - champion.trained_until_us > limits.stale_after_us
    first: tuple[str, ...] = ("STALE_CHAMPION",) if stale else ()
    bundle_limits = bundle.limits(matrix, words)
    version, policy_version = champion.version, champion.policy_version
    decisions = []
    explorer = champion.explorer if spent is not None and champion.explorer.active else None
    columns = zip(
        transactions,
        surrogates,
        scores.tolist(),
        bundle.risk_scores(margins).tolist(),
        outcomes.tolist(),
        bundle_limits,
        rows.is_new.tolist(),
        rows.is_late.tolist(),
        strict=True,
    )
    for transaction, entities, score, risk_score, outcome_number, own, new, late in columns:
        outcome, explored, propensity = _OUTCOMES[outcome_number], False, 1.0
        if outcome_number == _DECLINE and explorer is not None and spent is not None:
            outcome, explored, propensity = explorer.explore(
                transaction.transaction_id, score, transaction.amount_base_minor, entities, spent
            )
        marks = limits.of(new, is_late=late, first=(*first, *own) if own else first)
        decisions.append(
            Decision(score, risk_score, outcome, version, policy_version, explored, propensity, marks)
        )
    return decisions
