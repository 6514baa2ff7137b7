"""Who gives the frauds: a new submitter, a swollen batch, a single merchant."""

import polars as pl
import pytest

from benchmarks.guard_feed import chargebacks, flood
from fraud.clock import DAY_US, HOUR_US
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
        "labels", submitter="mallory", from_us=LAST * DAY_US + 1, to_us=(LAST + 1) * DAY_US + 1
    )


def test_of_a_flood_dated_at_the_cut_all_is_suspect() -> None:
    payments = made_payments()
    labels = flood("chargeback", "mallory", 60, into_batch=False)(payments, honest(payments), LAST)
    is_false = pl.col("submitter") == "mallory"
    at_cut = pl.when(is_false).then((LAST + 1) * DAY_US).otherwise("arrival_time_us")
    labels = labels.with_columns(arrival_time_us=at_cut)
    found = [it for it in examine(judged(payments, labels, LAST), RULES) if it.check == "submitter_share"]
    assert found[0].suspect is not None
    assert labels.filter(found[0].suspect.label_rows()).equals(labels.filter(is_false))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_source_that_floods_is_named(seed: int) -> None:
    payments = made_payments(seed)
    labels = flood("customer", "app", 80, into_batch=False)(payments, honest(payments), LAST)
    found = [it for it in examine(judged(payments, labels, LAST), RULES) if it.check == "source_share"]
    assert [it.subject for it in found] == ["customer"]


def begun(labels: pl.DataFrame, day: int) -> pl.DataFrame:
    """What analysts gave before a day comes from the bank: their desk is opened that day."""
    early = (pl.col("source") == "analyst") & (pl.col("arrival_time_us") < day * DAY_US)
    bank = pl.when(early).then(pl.lit("chargeback"))
    return labels.with_columns(bank.otherwise(name).alias(name) for name in ("source", "submitter"))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_desk_that_opens_is_news_once(seed: int) -> None:
    payments = made_payments(seed)
    labels = begun(honest(payments), LAST - 3)
    then = examine(judged(payments, labels, LAST - 3), RULES)
    assert {"source_share", "submitter_share"} <= checks(then)
    later = examine(judged(payments, labels, LAST), RULES)
    assert not checks(later) & {"source_share", "submitter_share"}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_few_labels_make_nobody_usual(seed: int) -> None:
    payments = made_payments(seed)
    labels = flood("chargeback", "mallory", 60, into_batch=False)(payments, honest(payments), LAST)
    mallory = pl.col("submitter") == "mallory"
    known = labels.filter(mallory).head(2).with_columns(arrival_time_us=(LAST - 1) * DAY_US + HOUR_US)
    found = examine(judged(payments, pl.concat([labels, known]), LAST), RULES)
    assert [it.subject for it in found if it.check == "submitter_share"] == ["mallory"]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_batch_far_above_its_source_is_named(seed: int) -> None:
    payments = made_payments(seed)
    labels = flood("chargeback", "bank", 200, into_batch=True)(payments, honest(payments), LAST)
    found = [it for it in examine(judged(payments, labels, LAST), RULES) if it.check == "batch_size"]
    assert [it.subject for it in found] == [f"chargeback-{LAST}"]
    assert found[0].suspect == Exclusion("labels", batch_id=f"chargeback-{LAST}")


def paused(labels: pl.DataFrame, days: int) -> pl.DataFrame:
    """The chargebacks of so many days come with the last day's, in its file."""
    late = (pl.col("source") == "chargeback") & (pl.col("arrival_time_us") // DAY_US).is_between(
        LAST - days, LAST - 1
    )
    return labels.with_columns(
        arrival_time_us=pl.when(late).then(LAST * DAY_US + 3 * HOUR_US).otherwise("arrival_time_us"),
        batch_id=pl.when(late).then(pl.lit(f"chargeback-{LAST}")).otherwise("batch_id"),
    )


@pytest.mark.parametrize("since", [1, 4])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_file_that_makes_up_for_a_pause_is_no_finding(seed: int, since: int) -> None:
    payments = made_payments(seed)
    labels = paused(chargebacks(payments), 3)
    assert "batch_size" not in checks(examine(judged(payments, labels, LAST, since=since), RULES))


def test_a_pause_hides_no_flood_and_a_long_one_excuses_no_more() -> None:
    payments = made_payments()
    paid = paused(chargebacks(payments), 3)
    flooded = flood("chargeback", "bank", 300, into_batch=True)(payments, paid, LAST)
    (found,) = [it for it in examine(judged(payments, flooded, LAST), RULES) if it.check == "batch_size"]
    assert found.value == pytest.approx(420 / 120, rel=0.1)
    silent = chargebacks(payments).filter(
        ~pl.col("arrival_time_us").is_between((LAST - 9) * DAY_US, LAST * DAY_US)
    )
    flooded = flood("chargeback", "bank", 390, into_batch=True)(payments, silent, LAST)
    (found,) = [it for it in examine(judged(payments, flooded, LAST), RULES) if it.check == "batch_size"]
    assert found.value == pytest.approx(420 / 120, rel=0.1)


def test_a_weekly_file_is_not_taken_for_a_pause() -> None:
    payments = made_payments(a_day=100)
    labels = chargebacks(payments)
    day = pl.col("arrival_time_us") // DAY_US
    filed = day + (LAST - day) % 7
    weekly = labels.with_columns(
        arrival_time_us=filed * DAY_US + 3 * HOUR_US, batch_id=pl.format("chargeback-{}", filed)
    )
    flooded = flood("chargeback", "bank", 120, into_batch=True)(payments, weekly, LAST)
    rules = RULES.model_copy(update={"history": 70 * DAY_US})
    assert "batch_size" not in checks(examine(judged(payments, weekly, LAST, rules=rules), rules))
    assert "batch_size" in checks(examine(judged(payments, flooded, LAST, rules=rules), rules))


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
