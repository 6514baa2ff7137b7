"""Submitters who stand out: much of what they say is of a kind that little of others' is.

    rows and hits of each submitter of a source in the last days, by share, least first
      ─▶ each against those before it that were not found, and against its own past

So two who were bought do not excuse each other, and one who was always so is not found. Sources
differ by what they see: analysts are sent to what scores high, chargebacks are what scored low.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from fraud.evaluation.counts import correlation, larger_share, past_share
from fraud.guard.data import GuardData
from fraud.labels.exclusions import Exclusion

PAST_LABELS_MIN = 50
"""Labels that a usual share needs."""
PEERS_MIN = 3
"""Others of a source that tell how far submitters differ."""
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


@dataclass(frozen=True, slots=True)
class _Usual:
    """A share of hits: correlated by day, and, between those who share it, by submitter."""

    share: float
    by_day: float = 0.0
    by_submitter: float = 0.0


def stand_out(
    counts: pl.DataFrame, span: int, rows_min: int, rise: float, p_value: float, unknown: float
) -> Iterator[StandOut]:
    """Find submitters whose share of hits in the last days is by `rise` above what is usual, beyond chance.

    Usual is the larger of what it was of the same submitter before and of the others of the source.
    Only who has hits that are news is found.

    Args:
        counts: source, submitter, age, rows, hits, fresh (hits that are news); one row a submitter and day.
        span: days that are judged together.
        rows_min: fewer are not judged.
        rise: of the share.
        p_value: chance of a false alarm.
        unknown: share that is usual where neither is known; with 1 nobody is found there.
    """
    for _, given in counts.sort(*GIVER, "age").group_by("source", maintain_order=True):
        is_recent, is_hit = pl.col("age") < span, pl.col("hits") > 0
        by_share = (
            given.filter(is_recent)
            .group_by(GIVER)
            .agg(pl.col("rows", "hits", "fresh").sum(), oldest=pl.col("age").filter(is_hit).max())
            .sort(pl.col("hits") / pl.col("rows"), "submitter")
        )
        trusted = given.clear()
        for source, submitter, rows, hits, fresh, oldest in by_share.iter_rows():
            own = given.filter(submitter=submitter)
            usual = _usual(own.filter(~is_recent), trusted) or _Usual(unknown)
            stands_out = rows >= rows_min and hits / rows - usual.share >= rise
            if not stands_out or _chance(hits, own.filter(is_recent), usual) > p_value:
                trusted = pl.concat([trusted, own])
            elif fresh:
                yield StandOut(source, submitter, rows, hits, usual.share, oldest)


def suspect_of(found: StandOut, data: GuardData) -> Exclusion:
    """Return the labels of a submitter from the oldest hit on; of those to come a person decides."""
    from_us, to_us = data.start_us(found.oldest), data.end_us(0)
    return Exclusion("labels", source=found.source, submitter=found.submitter, from_us=from_us, to_us=to_us)


def _usual(own_past: pl.DataFrame, others: pl.DataFrame) -> _Usual | None:
    """Return the larger of two shares, of those that enough labels tell."""
    own, theirs = _share(own_past), _share(others)
    if theirs is not None and own is None:
        between = others.group_by("submitter").agg(pl.col("rows", "hits").sum()).sort("submitter")
        if len(between) >= PEERS_MIN:
            rho = correlation(between["hits"].to_numpy(), between["rows"].to_numpy(), theirs.share)
            return _Usual(theirs.share, theirs.by_day, rho)
    return max((it for it in (own, theirs) if it is not None), key=lambda it: it.share, default=None)


def _share(past: pl.DataFrame) -> _Usual | None:
    hits, rows = past["hits"].to_numpy(), past["rows"].to_numpy()
    if rows.sum() < PAST_LABELS_MIN:
        return None
    share = past_share(float(hits.sum()), float(rows.sum()))
    return _Usual(share, correlation(hits, rows, share))


def _chance(hits: int, judged: pl.DataFrame, usual: _Usual) -> float:
    """Return the chance of so many hits in these days.

    Rows of several days are less alike than those of one: as if all had the correlation that comes to
    the same design effect, 1 + (m − 1) ρ with m the mean size of a day as its rows see it (Kish,
    Survey Sampling, 1965, 8.2). A submitter's own level is in all of its days.
    """
    rows = judged["rows"].to_numpy().astype(np.float64)
    total = float(rows.sum())
    spread = (float(np.square(rows).sum()) / total - 1) / (total - 1) if total > 1 else 0.0
    return larger_share(hits, total, usual.share, max(usual.by_day * spread, usual.by_submitter))
