"""From features to decisions, for the rows of one batch that share a model.

features float32[n, F] → the champion's matrix → margins → calibrated scores
  → outcome by thresholds → lists and rules → exploration of what they leave → limits
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fraud.features.state import ScoredRows
from fraud.policy.lists import Lists
from fraud.policy.rule_columns import RuleRows
from fraud.policy.spending import DaySpending
from fraud.records import Decision, Outcome, Transaction
from fraud.serving.champions import Champion
from fraud.serving.overruling import Overruling

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


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of a batch that share a model, their features, and when they arrived, µs UTC."""

    model: str
    transactions: Sequence[Transaction]
    rows: ScoredRows
    surrogates: Sequence[tuple[int, ...]]
    now_us: int


def decide_without_champion(
    outcome: Outcome, batch: Batch, limits: RowLimits, overruling: Overruling, lists: Lists
) -> list[Decision]:
    """Return what lists and rules say, else the configured outcome, for every row; marked NO_CHAMPION."""
    rows = batch.rows
    configured = np.full(len(batch.transactions), int(outcome), np.int64)
    answer = RuleRows(batch.transactions, rows.features, None, None, configured)
    overruled = overruling.overrule(batch.model, answer, batch.surrogates, lists, batch.now_us)
    policy_version = overruling.policy_version(batch.model, "")
    marks = zip(rows.is_new.tolist(), rows.is_late.tolist(), strict=True)
    decisions = []
    for i, (new, late) in enumerate(marks):
        decided = overruled[i] if overruled is not None else None
        given, rule = (outcome, "") if decided is None else decided
        own = limits.of(new, is_late=late, first=("NO_CHAMPION",))
        decisions.append(Decision(None, None, given, "", policy_version, False, 1.0, own, rule))
    return decisions


def decide(
    champion: Champion,
    batch: Batch,
    limits: RowLimits,
    spent: DaySpending | None,
    overruling: Overruling,
    lists: Lists,
    *,
    tainted: bool,
) -> list[Decision]:
    """Return a decision for every row of the batch, in order.

    What exploration lets through is added to `spent`; None: nothing is explored. `tainted`: the
    champion learned from data that is excluded, and the answers say so.
    """
    bundle, rows = champion.bundle, batch.rows
    words = champion.words(batch.transactions)
    matrix = champion.matrix(rows.features, words)
    margins = bundle.margins(matrix)
    scores, risk_scores = bundle.scores(margins), bundle.risk_scores(margins)
    outcomes = bundle.thresholds.outcomes(scores)
    answer = RuleRows(batch.transactions, rows.features, scores, risk_scores, outcomes)
    overruled = overruling.overrule(batch.model, answer, batch.surrogates, lists, batch.now_us)
    stale = batch.now_us - champion.trained_until_us > limits.stale_after_us
    first: tuple[str, ...] = ("STALE_CHAMPION",) if stale else ()
    if tainted:
        first = (*first, "TAINTED_CHAMPION")
    version = champion.version
    policy_version = overruling.policy_version(batch.model, champion.policy_version)
    decisions = []
    explorer = champion.explorer if spent is not None and champion.explorer.active else None
    columns = zip(
        batch.transactions,
        batch.surrogates,
        scores.tolist(),
        risk_scores.tolist(),
        outcomes.tolist(),
        overruled or [None] * len(outcomes),
        bundle.limits(matrix, words),
        rows.is_new.tolist(),
        rows.is_late.tolist(),
        strict=True,
    )
    for transaction, entities, score, risk_score, outcome_number, decided, own, new, late in columns:
        outcome, explored, propensity, rule = _OUTCOMES[outcome_number], False, 1.0, ""
        if decided is not None:
            outcome, rule = decided
        elif outcome_number == _DECLINE and explorer is not None and spent is not None:
            outcome, explored, propensity = explorer.explore(
                transaction.transaction_id, score, transaction.amount_base_minor, entities, spent
            )
        marks = limits.of(new, is_late=late, first=(*first, *own) if own else first)
        decisions.append(
            Decision(score, risk_score, outcome, version, policy_version, explored, propensity, marks, rule)
        )
    return decisions
