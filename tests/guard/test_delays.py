"""Label delays are measured by source, and the slowest one that matters sets the maturity."""

from dataclasses import replace

import polars as pl
import pytest

from benchmarks.guard_feed import chargebacks, desk
from fraud.clock import DAY_US
from fraud.guard.delays import LabelDelay, label_delays, maturity_us
from fraud.settings.learning import Labels, MeasuredMaturity
from tests.guard.worlds import DAYS, FIRST_DAY, honest, judged, made_payments

LAST = FIRST_DAY + DAYS - 1
SLOW = LabelDelay("chargeback", 500, 0.9, median_days=9, quantile_days=12)
QUICK = LabelDelay("analyst", 400, 0.6, median_days=1, quantile_days=2)
LABELS = Labels(maturity=30 * DAY_US, measured=MeasuredMaturity(least=5 * DAY_US))


def test_each_source_has_its_own_delay() -> None:
    payments = made_payments()
    quick, slow = label_delays(judged(payments, honest(payments), LAST), 0.95)
    assert (quick.source, slow.source) == ("analyst", "chargeback")
    assert quick.quantile_days <= 2
    assert (slow.median_days, slow.quantile_days) == (9, 9), "a week after the end of the day"
    assert 0.5 < quick.share < slow.share <= 1


def test_the_quantile_is_the_first_day_by_which_that_share_had_come() -> None:
    payments = made_payments()
    labels = chargebacks(payments)
    late = pl.col("transaction_id").hash(1) % 10 == 0
    spread = labels.with_columns(arrival_time_us=pl.col("arrival_time_us") + late.cast(pl.Int64) * 3 * DAY_US)
    data = judged(payments, spread.sort("arrival_time_us"), LAST)
    for quantile, days in ((0.6, 9), (0.95, 12)):
        (delay,) = label_delays(data, quantile)
        assert delay.quantile_days == days


def test_too_little_history_measures_nothing() -> None:
    payments = made_payments(days=10)
    assert label_delays(judged(payments, chargebacks(payments), FIRST_DAY + 9), 0.95) == ()
    few = made_payments(fraud_share=0.0005)
    assert label_delays(judged(few, desk(few, rows=1), LAST), 0.95) == ()


@pytest.mark.parametrize(
    ("delays", "days"),
    [
        ([SLOW, QUICK], 12),
        ([QUICK], 5),
        ([replace(SLOW, quantile_days=44)], 30),
        ([QUICK, replace(SLOW, share=0.05)], 5),
        ([], 30),
    ],
)
def test_the_slowest_source_that_matters_sets_the_maturity_within_bounds(
    delays: list[LabelDelay], days: int
) -> None:
    assert maturity_us(delays, LABELS) == days * DAY_US


def test_delays_change_nothing_unless_asked_for() -> None:
    assert maturity_us([SLOW], LABELS.model_copy(update={"measured": None})) == 30 * DAY_US
