"""Pollution that is small each day: four weeks together against the weeks before them."""

from dataclasses import dataclass

import polars as pl

from fraud.clock import DAY_US
from fraud.evaluation.counts import correlation, larger_share, past_share
from fraud.settings.guard import Guard

SLOW_DAYS = 28
SLOW_RISE = 3.0
"""A share that slowly becomes so many times what it was is a drip."""


@dataclass(frozen=True, slots=True)
class Drip:
    """Hits of rows in the last weeks, and the share that was usual."""

    hits: int
    rows: int
    usual: float

    @property
    def share(self) -> float:
        """Return the share of hits."""
        return self.hits / self.rows


def slow(days: pl.DataFrame, hits: str, rows: str, hits_min: int, rules: Guard) -> Drip | None:
    """Compare the last weeks with those before them; `days` has age, hits and rows, by age.

    None where they are alike, where either is too little, and where the last weeks have no rows.
    """
    past, now = days.filter(pl.col("age") >= SLOW_DAYS), days.filter(pl.col("age") < SLOW_DAYS)
    if len(past) < rules.history_min // DAY_US:
        return None
    usual = past_share(float(past[hits].sum()), float(past[rows].sum()))
    rho = correlation(past[hits].to_numpy(), past[rows].to_numpy(), usual)
    drip = Drip(int(now[hits].sum()), int(now[rows].sum()), usual)
    if not drip.rows or drip.hits < hits_min or drip.share < SLOW_RISE * usual:
        return None
    return drip if larger_share(drip.hits, drip.rows, usual, rho) <= rules.p_value else None
