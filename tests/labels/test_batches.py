from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud.clock import EARLIEST_US, LATEST_US
from fraud.labels.batches import check_labels, digest_of
from fraud.records import Label, LabelValue

LABELS = st.lists(
    st.builds(
        Label,
        st.text("ab1:", max_size=3),
        st.sampled_from(LabelValue),
        st.integers(EARLIEST_US - 2, EARLIEST_US + 3),
        st.text("a1:", max_size=3),
    ),
    max_size=5,
)
BATCHES = st.tuples(st.text("a:1", max_size=2), st.text("a:1", max_size=2), LABELS)

GOOD = Label("t1", LabelValue.FRAUD, EARLIEST_US)


@given(BATCHES, BATCHES)
def test_two_batches_have_one_digest_only_when_they_are_the_same(
    one: tuple[str, str, list[Label]], other: tuple[str, str, list[Label]]
) -> None:
    assert (digest_of(*one) == digest_of(*other)) == (one == other)


@given(LABELS)
def test_every_row_is_either_accepted_or_refused_by_place_and_field(labels: list[Label]) -> None:
    accepted, refused = check_labels(labels, latest_us=EARLIEST_US + 2)
    assert len(accepted) + len(refused) == len(labels)
    gone = {row.index for row in refused}
    assert accepted == [label for place, label in enumerate(labels) if place not in gone]
    for label in accepted:
        assert label.transaction_id
        assert label.value is not LabelValue.UNSPECIFIED
        assert EARLIEST_US <= label.label_time_us <= EARLIEST_US + 2


def test_a_refusal_names_the_field_and_what_to_do() -> None:
    rows = [
        replace(GOOD, transaction_id=""),
        replace(GOOD, transaction_id="x" * 129),
        replace(GOOD, value=LabelValue.UNSPECIFIED),
        replace(GOOD, label_time_us=EARLIEST_US - 1),
        replace(GOOD, label_time_us=EARLIEST_US + 11),
        replace(GOOD, comment="x" * 1_001),
        GOOD,
    ]
    accepted, refused = check_labels(rows, latest_us=EARLIEST_US + 10)
    assert accepted == [GOOD]
    fields = ["transaction_id", "transaction_id", "value", "label_time_us", "label_time_us", "comment"]
    assert [row.field for row in refused] == fields
    assert all("send" in row.reason for row in refused)


def test_one_transaction_may_come_twice_in_a_batch() -> None:
    twice = [GOOD, replace(GOOD, value=LabelValue.LEGITIMATE)]
    assert check_labels(twice, latest_us=EARLIEST_US + 10) == (twice, [])


@pytest.mark.parametrize(
    ("time_us", "says"),
    [
        (0, "0 is before 2000; send microseconds since 1970 UTC"),
        (
            1_700_000_000,
            "1700000000 is before 2000; send microseconds since 1970 UTC: this looks like seconds",
        ),
        (1_700_000_000_000, "is before 2000; send microseconds since 1970 UTC: this looks like milliseconds"),
        (
            1_700_000_000 * 10**9,
            "too far in the future; send microseconds since 1970 UTC: this looks like nano",
        ),
    ],
)
def test_a_time_in_another_unit_is_refused_and_the_unit_named(time_us: int, says: str) -> None:
    accepted, (refused,) = check_labels([replace(GOOD, label_time_us=time_us)], LATEST_US)
    assert accepted == []
    assert refused.field == "label_time_us"
    assert says in refused.reason


def test_a_time_to_come_is_refused_with_what_to_do_when_it_has_come() -> None:
    _, (refused,) = check_labels([replace(GOOD, label_time_us=EARLIEST_US + 3_600_000_000)], EARLIEST_US)
    remedy = "send it after its time, under another batch id: the same id counts once"
    assert refused.reason == f"lies 3600 s too far in the future; {remedy}"
