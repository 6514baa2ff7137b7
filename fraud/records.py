"""The facts that the parts exchange. Frozen; none of them does anything.

Times are microseconds since 1970-01-01 UTC, amounts are minor units. Rows of
fields stand in the schema's order, so a record needs no names: `surrogates[i]`
belongs to the i-th entity, `numerics[i]` to the i-th numeric field.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

Value = TypeVar("Value")

MISSING_SURROGATE = -1
"""Stands where a transaction does not name an entity."""
FEATURE_BYTES = 4
"""What one feature of a logged row takes: a float32, little-endian."""


class Outcome(enum.IntEnum):
    """What the payment system is told to do; numbers as on the wire."""

    UNSPECIFIED = 0
    APPROVE = 1
    CHALLENGE = 2
    REVIEW = 3
    DECLINE = 4


class PaymentOutcome(enum.IntEnum):
    """What became of the payment; numbers as on the wire."""

    UNSPECIFIED = 0
    COMPLETED = 1
    ISSUER_DECLINED = 2
    CHALLENGE_PASSED = 3
    CHALLENGE_FAILED = 4
    CHALLENGE_ABANDONED = 5
    REFUNDED = 6


class LabelValue(enum.IntEnum):
    """A verdict on a transaction; numbers as on the wire."""

    UNSPECIFIED = 0
    FRAUD = 1
    LEGITIMATE = 2
    WITHDRAWN = 3


@dataclass(frozen=True, slots=True)
class Transaction:
    """A payment as it came in, checked against the schema.

    `entities` holds tokens in schema order, None where not given; `numerics`
    NaN and `categoricals` "" where not given.
    """

    transaction_id: str
    event_time_us: int
    model: str
    entities: tuple[str | None, ...]
    amount_minor: int
    currency: str
    amount_base_minor: int
    numerics: tuple[float, ...]
    categoricals: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShadowScore:
    """What a version that decides nothing made of a row: its score, and the outcome it would have given."""

    version: str
    score: float
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer about one transaction. `score` and `risk_score` are None without a champion.

    `rule` names the rule or list that decided in the model's place ("": none did),
    `shadows` holds a score for each version in shadow.
    """

    score: float | None
    risk_score: int | None
    outcome: Outcome
    version: str
    policy_version: str
    explored: bool
    propensity: float
    limits: tuple[str, ...]
    rule: str = ""
    shadows: tuple[ShadowScore, ...] = ()


NO_DECISION = Decision(None, None, Outcome.UNSPECIFIED, "", "", False, 1.0, ())
"""What an imported transaction carries: it was not decided here."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A transaction in the log: surrogates for tokens, features as of then, the decision.

    `features` has `FEATURE_BYTES` for each feature of the service.
    """

    transaction_id: str
    event_time_us: int
    model: str
    surrogates: tuple[int, ...]
    amount_minor: int
    currency: str
    amount_base_minor: int
    numerics: tuple[float, ...]
    categoricals: tuple[str, ...]
    features: bytes
    decision: Decision
    imported: bool = False


@dataclass(frozen=True, slots=True)
class Label:
    """One verdict on one transaction."""

    transaction_id: str
    value: LabelValue
    label_time_us: int
    comment: str = ""


@dataclass(frozen=True, slots=True)
class LabelsSubmitted:
    """A part of a label batch, as it was taken. `digest` is SHA-256 in hex."""

    batch_id: str
    part: int
    source: str
    submitter: str
    labels: tuple[Label, ...]
    digest: str


@dataclass(frozen=True, slots=True)
class OutcomeReport:
    """What became of one payment, and when."""

    transaction_id: str
    outcome: PaymentOutcome
    outcome_time_us: int


@dataclass(frozen=True, slots=True)
class OutcomesReported:
    """Reports that came in together."""

    reports: tuple[OutcomeReport, ...]


@dataclass(frozen=True, slots=True)
class BatchRetracted:
    """A label batch was taken back, with all its parts: its labels count no more, from here on."""

    batch_id: str
    submitter: str
    reason: str


@dataclass(frozen=True, slots=True)
class Applied:
    """The scorer has put ledger entry `ledger_seq` into effect; `version` serves from here on.

    `label_view` spells the exclusions in force from here on (`fraud.labels.exclusions.View`);
    where nothing but these changed, `model` and `version` are "". `refused` says
    why the entry's version was not taken ("" when it was).
    """

    ledger_seq: int
    model: str
    version: str
    policy_version: str
    label_view: str = "all"
    refused: str = ""


@dataclass(frozen=True, slots=True)
class EntityListed:
    """An entity was put on a list, until a moment ("block" or "allow"), or taken off all ("").

    `entity` is the name of an entity of the schema, `surrogate` the one meant; `until_us` 0: without end.
    """

    list_name: str
    entity: str
    surrogate: int
    until_us: int
    actor: str
    reason: str


Event = Scored | LabelsSubmitted | OutcomesReported | Applied | BatchRetracted | EntityListed


@dataclass(frozen=True, slots=True)
class Entry:
    """An event with its place in the log. Positions start at 1, without gaps.

    `arrival_time_us` never decreases with `position`, so "known at T" is a prefix.
    """

    position: int
    arrival_time_us: int
    event: Event


@dataclass(frozen=True, slots=True)
class Heading:
    """What rows of the log hold by place alone: names, in order; `features` with what each of them means.

    It holds from a position of the log to that of the next heading.
    """

    numerics: tuple[str, ...]
    categoricals: tuple[str, ...]
    features: tuple[tuple[str, str], ...]


Headings = Sequence[tuple[int, Heading]]
"""Headings with the position that each holds from, rising."""
NO_END = 2**63 - 2
"""A position that no log reaches; the one behind it is an int64 still."""


def spans_of(headings: Headings) -> list[tuple[int, int, Heading]]:
    """Return each heading with the first and the last position it holds at, `NO_END` for the last one."""
    ends = [*(since - 1 for since, _ in headings[1:]), NO_END]
    return [(since, end, heading) for (since, heading), end in zip(headings, ends, strict=False)]


def as_long(logged_values: tuple[Value, ...], length: int, absent: Value) -> tuple[Value, ...]:
    """Return the values of logged fields for a schema of `length` of them: fields come and go at the end.

    >>> as_long(("web",), 2, "")
    ('web', '')
    """
    lacking = length - len(logged_values)
    return (*logged_values, *[absent] * lacking) if lacking > 0 else logged_values[:length]
