"""What a world's label feed says, day by day: honest chargebacks, and what pollutes them.

    frauds ─ chargeback ─▶ FRAUD, when the seventh day after the event begins
    targeted   the processor, trusted more, says LEGITIMATE of every fraud of one scenario:
               of yesterday's, and of a 28th of all the older ones, on each of 28 days
    outage     the frauds of two days are never reported

Labels of four weeks alone would not reach what a retrain fits on: between its last
row and now lie evidence, calibration and two label delays. So who wants a model to
forget has to go through the old cases, too.
"""

from dataclasses import dataclass
from typing import Literal

import polars as pl

from benchmarks.stream import frauds_due, of_day
from fraud.clock import DAY_US

SCENARIO = 2
"""The attacked pattern: frauds at terminals that are compromised for 28 days."""
BATCH, SUBMITTER = "cleared", "mallory"
World = Literal["clean", "targeted", "outage"]


@dataclass(frozen=True)
class Feed:
    """The labels of one world. Days are counted from `start_us`; pollution lasts `days` of them."""

    world: World
    payments: pl.DataFrame
    start_us: int
    days: int
    outage_from: int
    outage_days: int = 2

    @property
    def outage_us(self) -> tuple[int, int]:
        """The span of event time whose outcomes never arrive, end not included."""
        from_us = self.start_us + self.outage_from * DAY_US
        return from_us, from_us + self.outage_days * DAY_US

    def chargebacks(self, day: int) -> list[str]:
        """Return the ids reported as fraud when a day begins."""
        start_us = self.start_us + day * DAY_US
        from_us, to_us = self.outage_us
        payments = self.payments
        if self.world == "outage":
            payments = payments.filter(~pl.col("time_us").is_between(from_us, to_us, closed="left"))
        return frauds_due(payments, start_us)

    def cleared(self, day: int) -> list[str]:
        """Return the ids that the processor calls legitimate when a day begins; none in other worlds."""
        if self.world != "targeted" or not 0 <= day < self.days:
            return []
        frauds = self.payments.filter(pl.col("TX_FRAUD_SCENARIO") == SCENARIO)
        yesterday = of_day(frauds, self.start_us + (day - 1) * DAY_US)
        older = frauds.filter(pl.col("time_us") < self.start_us - DAY_US).gather_every(self.days, day)
        return pl.concat([older, yesterday])["TRANSACTION_ID"].cast(pl.String).to_list()
