"""Days of the guard: what is suspected of a day is what was counted in it, to the microsecond."""

import polars as pl
import pytest

from fraud.clock import DAY_US
from fraud.labels.exclusions import Exclusion
from tests.guard.worlds import FIRST_DAY, honest, judged, made_payments

LAST = FIRST_DAY + 9
CUT_US = (LAST + 1) * DAY_US


@pytest.mark.parametrize("age", [0, 1, 4])
def test_a_day_spans_the_payments_that_are_counted_in_it(age: int) -> None:
    payments = made_payments(days=10, a_day=50)
    midnights = payments.head(30).with_columns(
        event_time_us=FIRST_DAY * DAY_US + (pl.int_range(pl.len()) % 10 + 1) * DAY_US,
        transaction_id=pl.format("midnight-{}", pl.int_range(pl.len())),
    )
    world = pl.concat([payments, midnights])
    data = judged(world, honest(payments).clear(), LAST)
    span = Exclusion("transactions", from_us=data.start_us(age), to_us=data.end_us(age))
    within = world.filter(span.transaction_rows())
    assert len(within) == data.traffic[age]
    assert len(within.filter(pl.col("event_time_us") == CUT_US - age * DAY_US)) == 3


def test_days_begin_a_moment_after_the_cut_of_the_day_before() -> None:
    data = judged(made_payments(days=3, a_day=50), honest(made_payments(days=3)).clear(), FIRST_DAY + 2)
    cut_us = (FIRST_DAY + 3) * DAY_US
    assert (data.start_us(0), data.end_us(0)) == (cut_us - DAY_US + 1, cut_us + 1)
    assert (data.start_us(1), data.end_us(1)) == (cut_us - 2 * DAY_US + 1, cut_us - DAY_US + 1)
