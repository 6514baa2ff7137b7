"""From when on a payment without a verdict teaches as legitimate, and how many frauds it takes in.

    event ──── silence ────▶ teaches as legitimate ──── first fraud label ────▶ teaches as fraud
                             └───────── learned wrongly ─────────┘

With `training.fresh` that is sooner than `labels.maturity`, so a service whose labels are slower
learns its newest frauds as honest first.
"""

from dataclasses import dataclass
from typing import Final

import polars as pl

from fraud.clock import DAY_US
from fraud.labels.maturity import judged
from fraud.records import LabelValue
from fraud.settings import Settings
from fraud.training.history import History

SPAN_US: Final = 28 * DAY_US
"""Of events: the newest matured ones tell how labels come now, and their rows are read in a moment."""


@dataclass(frozen=True, slots=True)
class Lateness:
    """Frauds that silence alone would have taught as legitimate, and those that it did: labelled later."""

    frauds: int
    late: int


def silence_us(settings: Settings) -> int | None:
    """Return how old a payment without a verdict teaches; None where all wait until they have matured."""
    fresh = settings.training.fresh
    return None if fresh is None else min(fresh.silence, settings.labels.maturity)


def lateness(history: History, model: str, silence_us: int) -> Lateness:
    """Count the frauds of a model's newest `SPAN_US` of matured events by when they were first called so.

    Younger events would show quick labels alone. What was not completed is left out: its silence never
    teaches.
    """
    cut, labels = history.cut, history.settings.labels
    until_us = cut.time_us - labels.maturity
    is_fraud = pl.col("value") == int(LabelValue.FRAUD)
    since_us = until_us - SPAN_US
    called = history.labels().filter(is_fraud & (pl.col("arrival_time_us") >= since_us))
    first = called.group_by("transaction_id").agg(known_us=pl.col("arrival_time_us").min()).collect().lazy()
    stands = history.standing(first.select("transaction_id")).filter(is_fraud).select("transaction_id")
    ids = stands.collect()["transaction_id"]
    named = pl.col("transaction_id").is_in(ids.implode())
    inside = pl.col("event_time_us").is_between(since_us, until_us, closed="left")
    reports = history.source.outcomes(cut.position).filter(named & (pl.col("arrival_time_us") <= cut.time_us))
    rows = judged(
        history.transactions(model, inside & named, with_features=False),
        history.labels().head(0),  # as if nobody had said a word
        reports,
        labels,
        cut.time_us,
        silence_us=silence_us,
    )
    delay_us = pl.col("known_us") - pl.col("event_time_us")
    taught = rows.filter(pl.col("is_fraud").is_not_null()).join(first, on="transaction_id")
    found = taught.select(frauds=pl.len(), late=(delay_us > silence_us).sum()).collect()
    return Lateness(*(int(each) for each in found.row(0)))
