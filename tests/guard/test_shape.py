"""The shape of traffic: gaps, jumps, fields that go empty."""

import polars as pl
import pytest

from fraud.clock import DAY_US, HOUR_US
from fraud.guard.examine import examine
from fraud.guard.finding import Finding
from tests.guard.worlds import DAYS, FIRST_DAY, RULES, SEEDS, checks, honest, judged, made_payments

LAST = FIRST_DAY + DAYS - 1
START_US = LAST * DAY_US


def found_in(payments: pl.DataFrame, check: str, last: int = LAST) -> list[Finding]:
    data = judged(payments, honest(payments), last)
    return [it for it in examine(data, RULES) if it.check == check]


@pytest.mark.parametrize("seed", SEEDS)
def test_hours_without_traffic_are_a_gap(seed: int) -> None:
    payments = made_payments(seed)
    gone = pl.col("event_time_us").is_between(START_US + 8 * HOUR_US, START_US + 14 * HOUR_US, closed="left")
    (found,) = found_in(payments.filter(~gone), "traffic")
    assert (found.subject, found.action) == ("gap", "note")
    assert found.suspect is not None
    assert found.suspect.from_us == START_US + 8 * HOUR_US
    assert found.suspect.to_us == START_US + 14 * HOUR_US


@pytest.mark.parametrize("seed", SEEDS)
def test_four_times_the_traffic_is_a_jump(seed: int) -> None:
    payments = made_payments(seed)
    today = payments.filter(pl.col("event_time_us") >= START_US)
    copies = [
        today.with_columns(transaction_id=pl.format("{}-{}", "transaction_id", pl.lit(i))) for i in range(3)
    ]
    jumped = pl.concat([payments, *copies]).sort("event_time_us")
    assert [it.subject for it in found_in(jumped, "traffic")] == ["jump"]


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
    assert found.suspect.from_us == START_US


def test_without_history_traffic_may_do_what_it_likes() -> None:
    payments = made_payments(days=12)
    last = FIRST_DAY + 11
    gone = payments.filter(pl.col("event_time_us") < last * DAY_US + HOUR_US)
    data = judged(gone.with_columns(categorical_channel=pl.lit(None, pl.String)), honest(gone), last)
    assert not checks(examine(data, RULES))
