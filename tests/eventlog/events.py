"""Events for tests: short builders, hypothesis strategies, and a comparison that counts NaN as equal."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from fraud.records import (
    NO_DECISION,
    Applied,
    BatchRetracted,
    Decision,
    EntityListed,
    Entry,
    Event,
    Label,
    LabelsSubmitted,
    LabelValue,
    Outcome,
    OutcomeReport,
    OutcomesReported,
    PaymentOutcome,
    Scored,
    ShadowScore,
)

INT64 = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(max_size=12)
WORDS = st.sampled_from(["", "card", "é", "a,b", "\x00", "long" * 20])


def scored(
    transaction_id: str,
    outcome: Outcome = Outcome.APPROVE,
    model: str = "card",
    features: Sequence[float] = (1.0, 2.0, 3.0),
) -> Scored:
    """Return a decided transaction of 2 entities, 2 numerics, 2 categoricals and 3 features."""
    decision = Decision(0.25, 512, outcome, "card-1", "p1", False, 1.0, ("NEW_CARD",))
    if outcome is Outcome.UNSPECIFIED:
        decision = NO_DECISION
    return Scored(
        transaction_id,
        1_700_000_000_000_000,
        model,
        (7, -1),
        1_999,
        "EUR",
        1_999,
        (0.5, math.nan),
        ("web", ""),
        np.array(features, dtype="<f4").tobytes(),
        decision,
    )


def labels(batch_id: str, part: int = 0, source: str = "analyst", n: int = 3) -> LabelsSubmitted:
    """Return a part of a batch with `n` labels that walk through the values."""
    values = [LabelValue.FRAUD, LabelValue.LEGITIMATE, LabelValue.WITHDRAWN]
    rows = tuple(Label(f"{batch_id}-{i}", values[i % 3], 1_000 + i, "seen" * (i % 2)) for i in range(n))
    return LabelsSubmitted(batch_id, part, source, "ann", rows, f"digest-{batch_id}-{part}")


def outcomes(*transaction_ids: str) -> OutcomesReported:
    """Return reports that the payments were completed."""
    return OutcomesReported(tuple(OutcomeReport(t, PaymentOutcome.COMPLETED, 5) for t in transaction_ids))


def applied(model: str, version: str, ledger_seq: int = 1) -> Applied:
    """Return the entry for a version that took over."""
    return Applied(ledger_seq, model, version, "p1")


DECISIONS = st.builds(
    Decision,
    st.none() | st.floats(0, 1),
    st.none() | st.integers(0, 999),
    st.sampled_from(Outcome),
    TEXT,
    TEXT,
    st.booleans(),
    st.floats(0, 1),
    st.lists(st.sampled_from(["NEW_CARD", "UNSEEN_CATEGORY:mcc", "LATE_EVENT"]), max_size=3).map(tuple),
    TEXT,
    st.lists(st.builds(ShadowScore, TEXT, st.floats(0, 1), st.sampled_from(Outcome)), max_size=2).map(tuple),
)


SCORED = st.builds(
    Scored,
    st.uuids().map(str),
    INT64,
    WORDS,
    st.tuples(*[st.integers(-1, 2**31 - 1)] * 2),
    st.integers(0, 2**62),
    st.sampled_from(["EUR", "USD"]),
    st.integers(0, 2**31 - 1),
    st.tuples(*[st.floats()] * 2),
    st.tuples(*[WORDS] * 2),
    st.binary(min_size=12, max_size=12),
    DECISIONS,
    st.booleans(),
)
"""Any content that 2 entities, 2 numerics, 2 categoricals and 3 features allow, float32 bit by bit."""

LABELS = st.builds(
    LabelsSubmitted,
    st.uuids().map(str),
    st.integers(0, 2**31 - 1),
    WORDS,
    TEXT,
    st.lists(st.builds(Label, TEXT, st.sampled_from(LabelValue), INT64, TEXT), max_size=4).map(tuple),
    TEXT,
)
REPORTS = st.builds(OutcomeReport, TEXT, st.sampled_from(PaymentOutcome), INT64)
OUTCOMES = st.builds(OutcomesReported, st.lists(REPORTS, max_size=4).map(tuple))
APPLIED = st.builds(Applied, st.integers(0, 2**31), WORDS, TEXT, TEXT, TEXT, TEXT)
RETRACTED = st.builds(BatchRetracted, st.uuids().map(str), TEXT, TEXT)
LISTED = st.builds(
    EntityListed,
    st.sampled_from(["block", "allow", ""]),
    TEXT,
    st.integers(0, 2**31 - 1),
    INT64,
    TEXT,
    TEXT,
)
EVENTS: st.SearchStrategy[Event] = st.one_of(SCORED, LABELS, OUTCOMES, APPLIED, RETRACTED, LISTED)


def same(left: Event, right: Event) -> bool:
    """Compare two events field by field; NaN equals NaN whatever its payload."""
    return _comparable(left) == _comparable(right)


def same_entries(left: Sequence[Entry], right: Sequence[Entry]) -> bool:
    """Compare entries in order."""
    places = [(entry.position, entry.arrival_time_us) for entry in left]
    return places == [(entry.position, entry.arrival_time_us) for entry in right] and all(
        same(a.event, b.event) for a, b in zip(left, right, strict=True)
    )


def _comparable(event: Event) -> Event:
    if not isinstance(event, Scored):
        return event
    numerics = tuple(-12345.678 if math.isnan(number) else number for number in event.numerics)
    return dataclasses.replace(event, numerics=numerics)
