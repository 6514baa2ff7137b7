"""Floods: a batch is held against its source's fortnight, and what nobody else says teaches no judge."""

from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.guard_feed import chargebacks
from fraud.clock import DAY_US, HOUR_US
from fraud.guard.data import GuardData
from fraud.guard.floods import FLOOD_DAYS, floods, told_by_floods
from fraud.labels.batches import IMPORTER
from tests.guard.worlds import DAYS, FIRST_DAY, RULES, honest, judged, made_payments

LAST = FIRST_DAY + DAYS - 1
LEAST = RULES.implausible_batch.labels_min
CHARGED = 10
"""Days after which the chargebacks of a day have come."""
Row = tuple[int, str, str, int]
"""Age, source, batch and frauds."""


def data_with(rows: list[Row], recent: int = 1, submitter: str = "bank") -> GuardData:
    """Data of which nothing is filled in but who gave how many frauds when."""
    columns = {
        "age": pl.Series([age for age, *_ in rows], dtype=pl.Int64),
        "source": pl.Series([source for _, source, _, _ in rows], dtype=pl.String),
        "submitter": pl.repeat(submitter, len(rows), eager=True, dtype=pl.String),
        "batch_id": pl.Series([batch for _, _, batch, _ in rows], dtype=pl.String),
        "frauds": pl.Series([frauds for *_, frauds in rows], dtype=pl.Int64),
    }
    payments = made_payments(days=1)
    empty = judged(payments, chargebacks(payments), FIRST_DAY)
    return replace(empty, recent=recent, positives=pl.DataFrame(columns))


def told(payments: pl.DataFrame, batch_id: str, source: str = "chargeback", hour: int = 5) -> pl.DataFrame:
    """Call payments fraud in one batch of the last day."""
    at = pl.lit(LAST * DAY_US + hour * HOUR_US)
    return payments.select(
        "transaction_id",
        arrival_time_us=at,
        label_time_us=at,
        value=pl.lit(1, pl.Int32),
        source=pl.lit(source),
        submitter=pl.lit("bank"),
        batch_id=pl.lit(batch_id),
    )


past = st.lists(st.tuples(st.integers(1, 30), st.sampled_from(["chargeback", "desk"]), st.integers(1, 40)))


@given(past, st.integers(1, 200))
def test_a_batch_is_a_flood_when_it_holds_more_than_its_source_in_a_fortnight(
    before: list[tuple[int, str, int]], frauds: int
) -> None:
    rows = [(age, source, f"{source}-{place}", each) for place, (age, source, each) in enumerate(before)]
    given_before = sum(each for age, source, each in before if source == "desk" and age <= FLOOD_DAYS)
    expected = ("new",) if frauds >= LEAST and frauds > given_before else ()
    assert floods(data_with([*rows, (0, "desk", "new", frauds)]), RULES) == expected
    assert floods(data_with([(0, "desk", "new", frauds), *reversed(rows)]), RULES) == expected


def test_two_floods_do_not_vouch_for_each_other_however_long_a_freeze_lasts() -> None:
    usual = [(age, "desk", f"desk-{age}", 10) for age in range(4, 18)]
    rows = [*usual, (3, "desk", "first", 200), (1, "desk", "second", 150)]
    assert floods(data_with(rows, recent=4), RULES) == ("first", "second")
    assert floods(data_with(rows, recent=2), RULES) == (), "one that was found fit is past"


def test_a_first_batch_is_a_flood_when_it_is_large_and_an_imported_one_never() -> None:
    assert floods(data_with([(0, "desk", "first", LEAST)]), RULES) == ("first",)
    assert floods(data_with([(0, "desk", "first", LEAST - 1)]), RULES) == ()
    assert floods(data_with([(0, "desk", "import-1", 500)], submitter=IMPORTER), RULES) == ()


def test_parts_of_a_batch_are_counted_together_and_older_parts_as_its_past() -> None:
    usual = [(age, "desk", "month", 10) for age in range(2, 16)]
    assert floods(data_with([*usual, (0, "desk", "month", 71), (1, "desk", "month", 70)], 2), RULES) == (
        "month",
    )
    assert floods(data_with([*usual, (0, "desk", "month", 70), (1, "desk", "month", 70)], 2), RULES) == ()


def test_honest_feeds_bring_no_flood() -> None:
    payments = made_payments()
    for day in range(LAST - 20, LAST + 1):
        data = judged(payments, honest(payments), day)
        assert floods(data, RULES) == ()
        assert told_by_floods(data, RULES).is_empty()


def test_old_labels_that_are_sent_again_make_no_flood_and_hide_none() -> None:
    payments = made_payments()
    labels = chargebacks(payments)
    known = payments.filter("is_fraud", pl.col("event_time_us") // DAY_US < LAST - CHARGED)
    again = judged(payments, pl.concat([labels, told(known, "again")]), LAST)
    assert floods(again, RULES) == ()
    false = payments.filter(~pl.col("is_fraud")).tail(900)
    both = judged(payments, pl.concat([labels, told(pl.concat([known, false]), "both")]), LAST)
    assert floods(both, RULES) == ("both",)
    assert set(told_by_floods(both, RULES)) == set(false["transaction_id"])


@pytest.mark.parametrize(
    ("source", "hour", "confirms"),
    [("chargeback", 4, True), ("chargeback", 6, False), ("customer", 4, True), ("customer", 6, True)],
    ids=["earlier batch", "later batch", "other source before", "other source after"],
)
def test_a_payment_of_a_flood_is_confirmed_by_others_or_by_what_was_said_before(
    source: str, hour: int, confirms: bool
) -> None:
    payments = made_payments()
    false = payments.filter(~pl.col("is_fraud")).tail(900)
    few = false.head(12)
    labels = pl.concat([chargebacks(payments), told(false, "flood"), told(few, "few", source, hour)])
    data = judged(payments, labels, LAST)
    assert floods(data, RULES) == ("flood",)
    alone = set(told_by_floods(data, RULES))
    assert alone == set(false["transaction_id"]) - (set(few["transaction_id"]) if confirms else set())


def test_two_sources_that_swell_in_one_wave_confirm_what_both_say() -> None:
    payments = made_payments()
    false = payments.filter(~pl.col("is_fraud")).tail(900)
    both = false.head(300)
    labels = pl.concat([chargebacks(payments), told(false, "flood"), told(both, "wave", "customer")])
    data = judged(payments, labels, LAST)
    assert floods(data, RULES) == ("flood", "wave")
    assert set(told_by_floods(data, RULES)) == set(false["transaction_id"]) - set(both["transaction_id"])
