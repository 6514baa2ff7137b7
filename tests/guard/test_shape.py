"""The shape of traffic: gaps, jumps, fields that go empty."""

import polars as pl
import pytest

from fraud.clock import DAY_US, HOUR_US
from fraud.guard.examine import examine
from fraud.guard.finding import Finding
from fraud.labels.exclusions import Exclusion, View
from tests.guard.worlds import DAYS, FIRST_DAY, RULES, SEEDS, checks, honest, judged, made_payments

LAST = FIRST_DAY + DAYS - 1
START_US = LAST * DAY_US


def found_in(
    payments: pl.DataFrame, check: str, *excluded: Exclusion | None, last: int = LAST, since: int = 1
) -> list[Finding]:
    view = View(tuple(it for it in excluded if it is not None))
    data = judged(payments, honest(payments), last, since=since, view=view)
    return [it for it in examine(data, RULES) if it.check == check]


def flooded(payments: pl.DataFrame, times: int, *days: int) -> pl.DataFrame:
    """So many times the payments of some days."""
    chosen = payments.filter((pl.col("event_time_us") // DAY_US).is_in(days))
    copies = [
        chosen.with_columns(transaction_id=pl.format("{}-{}", "transaction_id", pl.lit(i)))
        for i in range(times - 1)
    ]
    return pl.concat([payments, *copies]).sort("event_time_us")


def day_of(day: int) -> Exclusion:
    return Exclusion("transactions", from_us=day * DAY_US + 1, to_us=(day + 1) * DAY_US + 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_hours_without_traffic_are_a_gap(seed: int) -> None:
    payments = made_payments(seed)
    gone = pl.col("event_time_us").is_between(START_US + 8 * HOUR_US, START_US + 14 * HOUR_US, closed="right")
    (found,) = found_in(payments.filter(~gone), "traffic")
    assert (found.subject, found.action) == ("gap", "note")
    assert found.suspect is not None
    assert found.suspect.from_us == START_US + 8 * HOUR_US + 1
    assert found.suspect.to_us == START_US + 14 * HOUR_US + 1


@pytest.mark.parametrize("seed", SEEDS)
def test_four_times_the_traffic_is_a_jump(seed: int) -> None:
    jumped = flooded(made_payments(seed), 4, LAST)
    (found,) = found_in(jumped, "traffic")
    assert (found.subject, found.suspect) == ("jump", day_of(LAST))


def test_a_jump_that_is_excluded_is_neither_a_jump_nor_a_gap() -> None:
    jumped = flooded(made_payments(), 4, LAST - 1)
    (found,) = found_in(jumped, "traffic", last=LAST - 1)
    assert found_in(jumped, "traffic", found.suspect, last=LAST - 1) == []
    assert found_in(jumped, "traffic", found.suspect, since=2) == []
    assert [it.subject for it in found_in(jumped, "traffic", since=2)] == ["jump"]


def test_a_gap_that_is_excluded_is_not_found_again() -> None:
    payments = made_payments()
    start_us = START_US - DAY_US
    gone = pl.col("event_time_us").is_between(start_us + 8 * HOUR_US, start_us + 14 * HOUR_US, closed="right")
    (found,) = found_in(payments.filter(~gone), "traffic", last=LAST - 1)
    assert found_in(payments.filter(~gone), "traffic", found.suspect, since=2) == []
    later = pl.col("event_time_us") > START_US + 12 * HOUR_US
    (found,) = found_in(payments.filter(~gone & ~later), "traffic", found.suspect, since=2)
    assert found.suspect is not None
    assert found.suspect.from_us == START_US + 12 * HOUR_US + 1


def test_payments_of_one_merchant_that_are_excluded_are_no_gap_and_no_jump() -> None:
    payments = made_payments()
    today = pl.col("event_time_us") > START_US
    merchant = pl.when(today).then(pl.lit(7)).otherwise("entity_merchant").cast(pl.Int32)
    moved = payments.with_columns(entity_merchant=merchant)
    excluded = Exclusion("transactions", from_us=START_US, where=(("merchant", 7),))
    assert found_in(moved, "traffic", excluded) == []
    attack = flooded(payments, 5, LAST).with_columns(
        entity_merchant=pl.when(today & pl.col("transaction_id").str.contains(r"-\d+-\d+$"))
        .then(pl.lit(7))
        .otherwise("entity_merchant")
        .cast(pl.Int32)
    )
    assert [it.subject for it in found_in(attack, "traffic")] == ["jump"]
    assert found_in(attack, "traffic", excluded) == []


def test_days_that_are_excluded_judge_no_others() -> None:
    floods = [LAST - 7 * week for week in range(1, 6)]
    jumped = flooded(flooded(made_payments(), 20, *floods), 4, LAST)
    assert found_in(jumped, "traffic") == []
    (found,) = found_in(jumped, "traffic", *map(day_of, floods))
    assert found.subject == "jump"
    assert found.value == pytest.approx(4, rel=0.2)
    assert found_in(jumped, "traffic", *map(day_of, [*floods, LAST - 42])) == [], "two weeks are no usual"


def test_a_night_without_traffic_is_no_gap_where_nights_are_quiet() -> None:
    payments = made_payments()
    quiet = payments.filter((pl.col("event_time_us") // HOUR_US) % 24 >= 6)
    assert not found_in(quiet, "traffic")


@pytest.mark.parametrize("field", ["numeric_distance_km", "categorical_channel"])
def test_a_field_that_goes_empty_is_named(field: str) -> None:
    payments = made_payments()
    empty = (pl.col("event_time_us") >= START_US + 8 * HOUR_US) & (pl.col("position") % 2 == 0)
    broken = payments.with_columns(pl.when(~empty).then(field).alias(field))
    (found,) = found_in(broken, "missing_values")
    assert found.subject == field.partition("_")[2]
    assert found.suspect is not None
    assert found.suspect.from_us == START_US + 1


def test_without_history_traffic_may_do_what_it_likes() -> None:
    payments = made_payments(days=12)
    last = FIRST_DAY + 11
    gone = payments.filter(pl.col("event_time_us") < last * DAY_US + HOUR_US)
    data = judged(gone.with_columns(categorical_channel=pl.lit(None, pl.String)), honest(gone), last)
    assert not checks(examine(data, RULES))
