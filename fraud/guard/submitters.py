"""Submitters who stand out: much of what they say is of a kind that little of others' is.

    rows and hits of each submitter of a source in the last days, by share, least first
      ─▶ each against those before it that were not found, and against its own past

So two who were bought do not excuse each other, and one who was always so is not found today. Sources
differ by what they see: analysts are sent to what scores high, chargebacks are what scored low.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from fraud.evaluation.counts import correlation, larger_share, past_share
from fraud.guard.data import GuardData
from fraud.labels.exclusions import Exclusion

PAST_LABELS_MIN = 100
"""Labels that a usual share needs."""
GIVER = ("source", "submitter")


@dataclass(frozen=True, slots=True)
class StandOut:
    """A submitter of a source: hits of rows, what is usual, and the age in days of the oldest hit."""

    source: str
    submitter: str
    rows: int
    hits: int
    usual: float
    oldest: int

    @property
    def risen(self) -> float:
        """Return by how much the share of hits is above the usual one."""
        return self.hits / self.rows - self.usual


def stand_out(
    counts: pl.DataFrame,
    span: int,
    rows_min: int,
    rise: float,
    p_value: float,
    *,
    first_time: float,
) -> Iterator[StandOut]:
    """Find submitters whose share of hits in the last days is by `rise` above what is usual, beyond chance.

    Args:
        counts: source, submitter, age, rows, hits; one row a submitter and day.
        span: days that are judged together.
        rows_min: fewer are not judged.
        rise: of the share.
        p_value: chance of a false alarm.
        first_time: share of hits that is granted where there is nobody to compare with; 1: not judged.
    """
    for (source,), given in counts.sort(*GIVER, "age").group_by("source", maintain_order=True):
        is_recent, is_hit = pl.col("age") < span, pl.col("hits") > 0
        judged = given.filter(is_recent).group_by("submitter")
        by_share = judged.agg(pl.col("rows", "hits").sum(), oldest=pl.col("age").filter(is_hit).max())
        trusted = given.clear()
        for submitter, rows, hits, oldest in by_share.sort(
            pl.col("hits") / pl.col("rows"), "submitter"
        ).rows():
            own = given.filter(submitter=submitter)
            usual, rho = _usual(pl.concat([trusted, own.filter(~is_recent)]), first_time)
            stands_out = rows >= rows_min and hits / rows - usual >= rise
            if stands_out and larger_share(hits, rows, usual, _spread(rho, own.filter(is_recent))) <= p_value:
                yield StandOut(str(source), submitter, rows, hits, usual, oldest)
            else:
                trusted = pl.concat([trusted, own])


def suspect_of(found: StandOut, data: GuardData) -> Exclusion:
    """Return the labels of a submitter from the oldest hit on, those to come among them."""
    from_us = data.start_us(found.oldest)
    return Exclusion("labels", source=found.source, submitter=found.submitter, from_us=from_us)


def _usual(past: pl.DataFrame, first_time: float) -> tuple[float, float]:
    """Return the share of hits and its correlation by day."""
    hits, rows = past["hits"].to_numpy(), past["rows"].to_numpy()
    if rows.sum() < PAST_LABELS_MIN:
        return first_time, 0.0
    share = past_share(float(hits.sum()), float(rows.sum()))
    return share, correlation(hits, rows, share)


def _spread(rho: float, judged: pl.DataFrame) -> float:
    """Return the correlation of rows that are not of one day: as if all had it, to the same design effect.

    Kish, Survey Sampling (1965), 8.2: 1 + (m − 1) ρ, m the mean size of a day as its rows see it.
    """
    rows = judged["rows"].to_numpy().astype(np.float64)
    total = float(rows.sum())
    return rho * (float(np.square(rows).sum()) / total - 1) / (total - 1) if total > 1 else 0.0
