"""From wire to records and back, once, at the edge; and the gRPC status of every error."""

import enum
from collections.abc import Sequence
from typing import TypeVar, cast

import grpc

from fraud import errors
from fraud.records import (
    MISSING_SURROGATE,
    Decision,
    Entry,
    Label,
    LabelValue,
    OutcomeReport,
    PaymentOutcome,
    Scored,
)
from fraud.serving.card_numbers import without_card_numbers
from fraud.serving.known_labels import KnownLabel
from fraud.v1 import labels_pb2, scoring_pb2

Number = TypeVar("Number", bound=enum.IntEnum)

STATUS: dict[type[errors.FraudError], grpc.StatusCode] = {
    errors.FraudError: grpc.StatusCode.INTERNAL,
    errors.ConfigError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    errors.LimitExceeded: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.Conflict: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotAllowedNow: grpc.StatusCode.FAILED_PRECONDITION,
    errors.DataFolderLocked: grpc.StatusCode.FAILED_PRECONDITION,
    errors.StaleHead: grpc.StatusCode.ABORTED,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.RateLimited: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.TooLate: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.LogUnwritable: grpc.StatusCode.UNAVAILABLE,
    errors.Damaged: grpc.StatusCode.DATA_LOSS,
    errors.OtherFormat: grpc.StatusCode.FAILED_PRECONDITION,
}
"""Complete by test: every class of `fraud.errors` stands here."""


def status_of(error: errors.FraudError) -> grpc.StatusCode:
    """Return the gRPC status that carries an error."""
    return STATUS[type(error)]


def answer_of(error: errors.FraudError) -> str:
    """Return what the caller is told: the message, shortened, but for card numbers in clear.

    Nobody repeats these.
    """
    text = errors.shortened(str(error))
    return without_card_numbers(text) if isinstance(error, errors.InvalidInput) else text


def row_error(error: errors.FraudError) -> scoring_pb2.RowError:
    """Return the answer of one row of a batch that could not be scored."""
    field = error.field if isinstance(error, errors.InvalidInput) else ""
    return scoring_pb2.RowError(code=status_of(error).name, field=field, message=answer_of(error))


def known(kind: type[Number], number: int) -> Number:
    """Return what a number of the wire stands for; UNSPECIFIED where it stands for nothing we know.

    The wire's enums are open: a caller may send any number.
    """
    return kind(number) if number in kind.__members__.values() else kind(0)


def label_from_wire(label: labels_pb2.Label) -> Label:
    """Return the record of a label as it was sent; checks come later, by row."""
    return Label(label.transaction_id, known(LabelValue, label.value), label.label_time_us, label.comment)


def report_from_wire(report: scoring_pb2.OutcomeReport) -> OutcomeReport:
    """Return the record of an outcome report as it was sent."""
    outcome = known(PaymentOutcome, report.outcome)
    return OutcomeReport(report.transaction_id, outcome, report.outcome_time_us)


def decision_to_wire(
    scored: Scored, arrival_time_us: int, reasons: tuple[scoring_pb2.Reason, ...] = ()
) -> scoring_pb2.Decision:
    """Return the wire form of a logged decision."""
    decision: Decision = scored.decision
    return scoring_pb2.Decision(
        transaction_id=scored.transaction_id,
        score=decision.score,
        risk_score=decision.risk_score,
        outcome=cast("scoring_pb2.Outcome.ValueType", decision.outcome.value),
        reasons=reasons,
        version=decision.version,
        policy_version=decision.policy_version,
        explored=decision.explored,
        propensity=decision.propensity,
        limits=decision.limits,
        model=scored.model,
        event_time_us=scored.event_time_us,
        arrival_time_us=arrival_time_us,
        amount_minor=scored.amount_minor,
        currency=scored.currency,
        rule=decision.rule,
    )


def entry_to_wire(entry: Entry, reasons: tuple[scoring_pb2.Reason, ...] = ()) -> scoring_pb2.Decision:
    """Return the wire form of a log entry that holds a decision."""
    assert isinstance(entry.event, Scored)
    return decision_to_wire(entry.event, entry.arrival_time_us, reasons)


def entities_to_wire(scored: Scored, names: Sequence[str]) -> list[scoring_pb2.KeptEntity]:
    """Return whose payment it was, as it is kept; `names` are those of the schema, in order."""
    pairs = zip(names, scored.surrogates, strict=False)
    return [
        scoring_pb2.KeptEntity(entity=name, surrogate=surrogate)
        for name, surrogate in pairs
        if surrogate != MISSING_SURROGATE
    ]


def label_to_wire(known_label: KnownLabel) -> scoring_pb2.KnownLabel:
    """Return the wire form of a label that is known of a payment."""
    return scoring_pb2.KnownLabel(
        value=known_label.label.value.name,
        label_time_us=known_label.label.label_time_us,
        arrival_time_us=known_label.arrival_time_us,
        source=known_label.source,
        submitter=known_label.submitter,
        batch_id=known_label.batch_id,
        retracted=known_label.retracted,
    )
