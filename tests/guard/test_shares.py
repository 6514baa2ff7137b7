"""Who gives the frauds: a new submitter, a swollen batch, a single merchant."""

import polars as pl
import pytest

from benchmarks.guard_feed import chargebacks, flood
from fraud.clock import DAY_US
from fraud.guard.examine import examine
from fraud.labels.batches import IMPORTER
from fraud.labels.exclusions import Exclusion
from tests.guard.worlds import DAYS, FIRST_DAY, RULES, SEEDS, checks, honest, judged, made_payments

LAST = FIRST_DAY + DAYS - 1


@pytest.mark.parametrize("seed", SEEDS)
def test_a_submitter_that_floods_is_named(seed: int) -> None:
    payments = made_payments(seed)
    labels = flood("chargeback", "mallory", 60, into_batch=False)(payments, honest(payments), LAST)
    found = [it for it in examine(judged(payments, labels, LAST), RULES) if it.check == "submitter_share"]
    assert [it.subject for it in found] == ["mallory"]
    assert found[0].suspect == Exclusion(
        "labels", submitter="mallory", from_us=LAST * DAY_US, to_us=(LAST + 1) * DAY_US
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_a_source_that_floods_is_named(seed: int) -> None:
    payments = made_payments(seed)
    labels = flood("customer", "app", 80, into_batch=False)(payments, honest(payments), LAST)
    found = [it for it in examine(judged(payments, labels, LAST), RULES) if it.check == "source_share"]
    assert [it.subject for it in found] == ["customer"]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_batch_far_above_its_source_is_named(seed: int) -> None:
    payments = made_payments(seed)
    labels = flood("chargeback", "bank", 200, into_batch=True)(payments, honest(payments), LAST)
    found = [it for it in examine(judged(payments, labels, LAST), RULES) if it.check == "batch_size"]
    assert [it.subject for it in found] == [f"chargeback-{LAST}"]
    assert found[0].suspect == Exclusion("labels", batch_id=f"chargeback-{LAST}")


def test_a_source_whose_companion_falls_silent_is_not_blamed() -> None:
    payments = made_payments()
    labels = honest(payments)
    gone = (pl.col("source") == "analyst") & (pl.col("arrival_time_us") >= LAST * DAY_US)
    found = checks(examine(judged(payments, labels.filter(~gone), LAST), RULES))
    assert "silence" in found
    assert not found & {"source_share", "submitter_share"}


def test_submitters_who_take_turns_are_no_finding() -> None:
    payments = made_payments()
    day = pl.col("arrival_time_us") // DAY_US
    turns = pl.when(day % 2 == 0).then(pl.lit("ann")).otherwise(pl.lit("bob"))
    labels = chargebacks(payments).with_columns(submitter=turns)
    for last in (LAST - 1, LAST):
        assert not checks(examine(judged(payments, labels, last), RULES))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_merchant_that_gives_much_of_the_frauds_is_noted(seed: int) -> None:
    payments = made_payments(seed)
    breached = pl.col("is_fraud") & (pl.col("event_time_us") // DAY_US >= LAST - 10)
    merchant = pl.when(breached & (pl.col("position") % 2 == 0)).then(pl.lit(7)).otherwise("entity_merchant")
    moved = payments.with_columns(entity_merchant=merchant.cast(pl.Int32))
    data = judged(moved, honest(moved), LAST - 3, since=7)
    found = [it for it in examine(data, RULES) if it.check == "entity_share"]
    assert [it.subject for it in found] == ["merchant 7"]
    assert found[0].action == "note"
    assert found[0].suspect is not None
    assert found[0].suspect.where == (("merchant", 7),)


def test_the_first_live_submitter_after_an_imported_history_is_not_new() -> None:
    payments = made_payments()
    imported = pl.col("arrival_time_us") < LAST * DAY_US
    submitter = pl.when(imported).then(pl.lit(IMPORTER)).otherwise(pl.lit("bank"))
    labels = chargebacks(payments).with_columns(submitter=submitter)
    assert not checks(examine(judged(payments, labels, LAST), RULES))
