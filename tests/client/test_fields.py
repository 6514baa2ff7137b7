"""What a caller gets wrong is named with what is wanted, before anything is sent."""

from dataclasses import asdict, replace
from typing import Any, cast

import pytest

from fraud.client import Client, to_message
from fraud.errors import InvalidInput
from fraud.records import Label, LabelValue, OutcomeReport, PaymentOutcome

NOBODY = "127.0.0.1:9"
GOOD: dict[str, Any] = {
    "transaction_id": "t1",
    "event_time_us": 1_767_225_600_000_000,
    "model": "card",
    "entities": {"card": "c"},
    "amount_minor": 1_250,
    "currency": "EUR",
    "numerics": {"distance": 1},
    "categoricals": {"channel": "web"},
}
LABEL = Label("t1", LabelValue.FRAUD, 1_767_225_600_000_000)
REPORT = OutcomeReport("t1", PaymentOutcome.COMPLETED, 1_767_225_600_000_000)

WRONG: list[tuple[str, object, str]] = [
    ("amount_minor", "12", r"amount_minor: '12' is of type str; give a whole number of 64 bits \(int\)"),
    ("amount_minor", 12.5, "amount_minor: 12.5 is of type float; give a whole number"),
    ("amount_minor", True, "amount_minor: True is of type bool; give a whole number"),
    ("event_time_us", 2**64, "event_time_us: 18446744073709551616 is of type int; give a whole number of 64"),
    ("currency", 978, r"currency: 978 is of type int; give text \(str\)"),
    ("currency", "\ud800", "currency: .* give text that is Unicode"),
    ("entities", {"card": 4111111111111111}, r"entities.card: is of type int; give text \(str\)"),
    ("entities", {"card": None}, "entities.card: is None; give text"),
    ("entities", {7: "c"}, "entities: has a name that is of type int; give a mapping of names to text"),
    ("entities", "c", "entities: is of type str; give a mapping of names to text"),
    ("numerics", {"distance": "near"}, r"numerics.distance: is of type str; give a number \(float\)"),
    ("numerics", {"distance": 10**400}, "numerics.distance: is of type int; give a number"),
    ("amount", 12, "amount: is no field of Transaction; did you mean 'amount_minor'"),
    ("colour", "red", "colour: is no field of Transaction; fields: transaction_id, event_time_us, model"),
]


@pytest.mark.parametrize(("name", "value", "says"), WRONG)
def test_a_wrong_field_of_a_payment_is_named_with_what_is_wanted(name: str, value: object, says: str) -> None:
    with Client(NOBODY) as client, pytest.raises(InvalidInput, match=says):
        client.score({**GOOD, name: value})


def test_in_a_batch_its_place_is_named_too() -> None:
    says = r"transactions\[1\]\.amount_minor: '12' is of type str"
    with Client(NOBODY) as client, pytest.raises(InvalidInput, match=says):
        client.score_batch([GOOD, {**GOOD, "amount_minor": "12"}])


def test_what_is_no_payment_at_all_is_said_to_be_none() -> None:
    with pytest.raises(InvalidInput, match="Transaction: is of type list; give a Transaction or a mapping"):
        to_message(cast("dict[str, Any]", [GOOD]))


def test_what_fits_is_taken_as_it_is() -> None:
    message = to_message(GOOD)
    assert to_message(message) is message
    assert (message.amount_minor, message.numerics["distance"]) == (1_250, 1.0)


@pytest.mark.parametrize(
    ("label", "says"),
    [
        (
            replace(LABEL, label_time_us=cast("int", "now")),
            r"labels\[1\]\.label_time_us: 'now' is of type str",
        ),
        (
            replace(LABEL, value=cast("LabelValue", "MAYBE")),
            r"labels\[1\]\.value: .*; give one of: .*FRAUD, LEGIT",
        ),
        (replace(LABEL, transaction_id=cast("str", 7)), r"labels\[1\]\.transaction_id: 7 is of type int"),
    ],
)
def test_a_wrong_field_of_a_label_is_named_with_its_place(label: Label, says: str) -> None:
    with Client(NOBODY) as client, pytest.raises(InvalidInput, match=says):
        client.submit_labels("b", 0, "analyst", "ann", [LABEL, label])


def test_a_wrong_field_of_a_batch_of_labels_is_named() -> None:
    with Client(NOBODY) as client, pytest.raises(InvalidInput, match="part: '0' is of type str"):
        client.submit_labels("b", cast("int", "0"), "analyst", "ann", [LABEL])


def test_a_wrong_field_of_a_report_is_named_with_its_place() -> None:
    late = replace(REPORT, outcome_time_us=cast("int", 1.5))
    with Client(NOBODY) as client, pytest.raises(InvalidInput, match=r"reports\[0\]\.outcome_time_us: 1\.5"):
        client.report_outcomes([late])


def test_a_mapping_where_a_report_or_a_label_is_wanted_is_refused_with_the_type() -> None:
    report, label = cast("OutcomeReport", asdict(REPORT)), cast("Label", asdict(LABEL))
    with Client(NOBODY) as client:
        says = r"reports\[1\]: is of type dict; give a fraud\.records\.OutcomeReport"
        with pytest.raises(InvalidInput, match=says):
            client.report_outcomes([REPORT, report])
        says = r"labels\[0\]: is of type dict; give a fraud\.records\.Label"
        with pytest.raises(InvalidInput, match=says):
            client.submit_labels("b", 0, "analyst", "ann", [label])


@pytest.mark.parametrize("value", ["APROVE", "approve", "UNSPECIFIED", "", 1])
def test_an_answer_for_failures_that_is_none_is_refused_when_the_client_is_made(value: Any) -> None:
    says = "on_failure: .* is no outcome; give one of: APPROVE, CHALLENGE, REVIEW, DECLINE, or None"
    with pytest.raises(InvalidInput, match=says):
        Client(NOBODY, on_failure=value)


def test_an_outcome_that_there_is_not_is_refused_by_name() -> None:
    with Client(NOBODY) as client, pytest.raises(InvalidInput, match="outcomes: 'DENY' is no outcome"):
        client.list_decisions([cast("Any", "DENY")])
