"""Events as bytes, and back: one protobuf message per kind.

    Scored            1   ScoredEvent
    LabelsSubmitted   2   LabelsEvent
    OutcomesReported  3   OutcomesEvent
    Applied           4   AppliedEvent
    BatchRetracted    5   RetractedEvent
    EntityListed      6   ListedEvent

The numbers stand in stored logs and never change. Protobuf does not leave this
file; numerics travel as float64, features as the float32 bytes they came as.

A body is written once. Erasing a person blanks words in it and fills up with
zeros: at its old length it takes the place of the old one, and nothing moves.
"""

import enum
import functools
import struct
from collections.abc import Callable, Collection, Sequence
from typing import Any

from google.protobuf.message import DecodeError

from fraud.errors import Damaged
from fraud.records import (
    Applied,
    BatchRetracted,
    Decision,
    EntityListed,
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
from fraud.v1 import events_pb2, labels_pb2, scoring_pb2


class Kind(enum.IntEnum):
    """Which event an entry holds."""

    SCORED = 1
    LABELS = 2
    OUTCOMES = 3
    APPLIED = 4
    RETRACTED = 5
    LISTED = 6


@functools.lru_cache(maxsize=64)
def _doubles(n: int) -> struct.Struct:
    return struct.Struct(f"<{n}d")


def encode(event: Event) -> tuple[int, bytes]:
    """Return the kind and the bytes of an event."""
    kind, write = _WRITERS[type(event)]
    return kind, write(event)


def decode(kind: int, body: bytes) -> Event:
    """Return the event that `encode` was given.

    Raises:
        Damaged: unknown kind, or bytes that are no such message.
    """
    read = _READERS.get(kind)
    if read is None:
        raise Damaged(f"an entry is of kind {kind}, which this release does not know; upgrade to read it")
    try:
        return read(body)
    except (DecodeError, ValueError, struct.error) as error:
        raise Damaged(f"an entry of kind {kind} cannot be read: {error}; restore it from a copy") from error


def blank(
    kind: int, body: bytes, categoricals: Sequence[int], transaction_ids: Collection[str]
) -> bytes | None:
    """Return the bytes of an event without what is personal in it, None where there is nothing.

    Of a Scored the fields at the indexes `categoricals` become "", of a LabelsSubmitted
    the comments on `transaction_ids`; an event of another kind has nothing. The
    result is as long as `body`, or a few bytes shorter, never longer.

    Raises:
        Damaged: bytes that are no such message.
    """
    try:
        if kind == Kind.SCORED:
            return _blank_scored(body, categoricals)
        if kind == Kind.LABELS:
            return _blank_labels(body, transaction_ids)
    except DecodeError as error:
        raise Damaged(f"an entry of kind {kind} cannot be read: {error}; restore it from a copy") from error
    return None


def _blank_scored(body: bytes, categoricals: Sequence[int]) -> bytes | None:
    message = events_pb2.ScoredEvent.FromString(body)
    given = [i for i in categoricals if i < len(message.categoricals) and message.categoricals[i]]
    if not given:
        return None
    for i in given:
        message.categoricals[i] = ""
    return _filled(message, len(body))


def _blank_labels(body: bytes, transaction_ids: Collection[str]) -> bytes | None:
    message = events_pb2.LabelsEvent.FromString(body)
    commented = [it for it in message.labels if it.comment and it.transaction_id in transaction_ids]
    if not commented:
        return None
    for label in commented:
        label.comment = ""
    return _filled(message, len(body))


def _filled(message: events_pb2.ScoredEvent | events_pb2.LabelsEvent, length: int) -> bytes:
    """Return the message with as many zeros in `slack` as `length` leaves room for."""
    message.slack = b""
    for zeros in range(length - message.ByteSize(), 0, -1):
        message.slack = bytes(zeros)
        if message.ByteSize() <= length:
            break
    else:
        message.slack = b""
    return message.SerializeToString()


def _write_scored(event: Scored) -> bytes:
    decision = event.decision
    numerics = event.numerics
    return events_pb2.ScoredEvent(
        transaction_id=event.transaction_id,
        event_time_us=event.event_time_us,
        model=event.model,
        surrogates=event.surrogates,
        amount_minor=event.amount_minor,
        currency=event.currency,
        amount_base_minor=event.amount_base_minor,
        numerics=_doubles(len(numerics)).pack(*numerics),
        categoricals=event.categoricals,
        features=event.features,
        score=decision.score,
        risk_score=decision.risk_score,
        outcome=int(decision.outcome),  # type: ignore[arg-type]
        version=decision.version,
        policy_version=decision.policy_version,
        explored=decision.explored,
        propensity=decision.propensity,
        limits=decision.limits,
        rule=decision.rule,
        shadows=[
            events_pb2.ShadowScore(version=it.version, score=it.score, outcome=int(it.outcome))  # type: ignore[arg-type]
            for it in decision.shadows
        ],
        imported=event.imported,
    ).SerializeToString()


def _read_scored(body: bytes) -> Scored:
    message = events_pb2.ScoredEvent.FromString(body)
    decision = Decision(
        message.score if message.HasField("score") else None,
        message.risk_score if message.HasField("risk_score") else None,
        Outcome(message.outcome),
        message.version,
        message.policy_version,
        message.explored,
        message.propensity,
        tuple(message.limits),
        message.rule,
        tuple([ShadowScore(it.version, it.score, Outcome(it.outcome)) for it in message.shadows]),
    )
    numerics = message.numerics
    return Scored(
        message.transaction_id,
        message.event_time_us,
        message.model,
        tuple(message.surrogates),
        message.amount_minor,
        message.currency,
        message.amount_base_minor,
        _doubles(len(numerics) // 8).unpack(numerics),
        tuple(message.categoricals),
        message.features,
        decision,
        message.imported,
    )


def _write_labels(event: LabelsSubmitted) -> bytes:
    labels = [
        labels_pb2.Label(
            transaction_id=label.transaction_id,
            value=int(label.value),  # type: ignore[arg-type]
            label_time_us=label.label_time_us,
            comment=label.comment,
        )
        for label in event.labels
    ]
    return events_pb2.LabelsEvent(
        batch_id=event.batch_id,
        part=event.part,
        source=event.source,
        submitter=event.submitter,
        labels=labels,
        digest=event.digest,
    ).SerializeToString()


def _read_labels(body: bytes) -> LabelsSubmitted:
    message = events_pb2.LabelsEvent.FromString(body)
    labels = tuple(
        Label(label.transaction_id, LabelValue(label.value), label.label_time_us, label.comment)
        for label in message.labels
    )
    return LabelsSubmitted(
        message.batch_id, message.part, message.source, message.submitter, labels, message.digest
    )


def _write_outcomes(event: OutcomesReported) -> bytes:
    reports = [
        scoring_pb2.OutcomeReport(
            transaction_id=report.transaction_id,
            outcome=int(report.outcome),  # type: ignore[arg-type]
            outcome_time_us=report.outcome_time_us,
        )
        for report in event.reports
    ]
    return events_pb2.OutcomesEvent(reports=reports).SerializeToString()


def _read_outcomes(body: bytes) -> OutcomesReported:
    message = events_pb2.OutcomesEvent.FromString(body)
    return OutcomesReported(
        tuple(
            OutcomeReport(report.transaction_id, PaymentOutcome(report.outcome), report.outcome_time_us)
            for report in message.reports
        )
    )


def _write_applied(event: Applied) -> bytes:
    return events_pb2.AppliedEvent(
        ledger_seq=event.ledger_seq,
        model=event.model,
        version=event.version,
        policy_version=event.policy_version,
        label_view=event.label_view,
        refused=event.refused,
    ).SerializeToString()


def _read_applied(body: bytes) -> Applied:
    message = events_pb2.AppliedEvent.FromString(body)
    return Applied(
        message.ledger_seq,
        message.model,
        message.version,
        message.policy_version,
        message.label_view,
        message.refused,
    )


def _write_retracted(event: BatchRetracted) -> bytes:
    return events_pb2.RetractedEvent(
        batch_id=event.batch_id, submitter=event.submitter, reason=event.reason
    ).SerializeToString()


def _read_retracted(body: bytes) -> BatchRetracted:
    message = events_pb2.RetractedEvent.FromString(body)
    return BatchRetracted(message.batch_id, message.submitter, message.reason)


def _write_listed(event: EntityListed) -> bytes:
    return events_pb2.ListedEvent(
        list_name=event.list_name,
        entity=event.entity,
        surrogate=event.surrogate,
        until_us=event.until_us,
        actor=event.actor,
        reason=event.reason,
    ).SerializeToString()


def _read_listed(body: bytes) -> EntityListed:
    message = events_pb2.ListedEvent.FromString(body)
    return EntityListed(
        message.list_name,
        message.entity,
        message.surrogate,
        message.until_us,
        message.actor,
        message.reason,
    )


_WRITERS: dict[type, tuple[int, Callable[[Any], bytes]]] = {
    Scored: (int(Kind.SCORED), _write_scored),
    LabelsSubmitted: (int(Kind.LABELS), _write_labels),
    OutcomesReported: (int(Kind.OUTCOMES), _write_outcomes),
    Applied: (int(Kind.APPLIED), _write_applied),
    BatchRetracted: (int(Kind.RETRACTED), _write_retracted),
    EntityListed: (int(Kind.LISTED), _write_listed),
}

_READERS: dict[int, Callable[[bytes], Event]] = {
    Kind.SCORED: _read_scored,
    Kind.LABELS: _read_labels,
    Kind.OUTCOMES: _read_outcomes,
    Kind.APPLIED: _read_applied,
    Kind.RETRACTED: _read_retracted,
    Kind.LISTED: _read_listed,
}
