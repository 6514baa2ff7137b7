"""Realised quality: how good the scores that were given turned out to be.

    archived decisions, matured          (labels as known at the cut)
      → the day's budget is spent on all that was scored, seen or not
      → explored declines stand for those that were not, at 1 / propensity, unclipped
      → average precision and recall within the budget, 90 % intervals by card
      → the same per cohort of seven event days

Only what has matured is judged, so the figures are late by the maturity and
never flattered by labels that have not arrived.
"""

from dataclasses import dataclass
from typing import Self
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from fraud.clock import DAY_US
from fraud.evaluation.days import day_name, day_start_us, event_days
from fraud.evaluation.metrics import Bools, Days, Floats, alerts
from fraud.evaluation.resampling import NO_CARD, Interval, Sample
from fraud.evaluation.weighted import Weighted, seen_weights, weighted_quality
from fraud.records import Outcome
from fraud.settings import Settings

COHORT_DAYS = 7
ENTITY_PREFIX = "entity_"


@dataclass(frozen=True, slots=True)
class QualityRules:
    """What is judged. Times are µs; `window_us` reaches back from the last matured day."""

    zone: ZoneInfo
    cut_time_us: int
    maturity_us: int
    window_us: int
    alert_share: float
    rounds: int
    seed: int = 7

    @classmethod
    def of(cls, settings: Settings, cut_time_us: int) -> Self:
        """Take the rules from the configuration."""
        return cls(
            zone=settings.service.zone,
            cut_time_us=cut_time_us,
            maturity_us=settings.labels.maturity,
            window_us=settings.monitoring.quality_window,
            alert_share=settings.gate.alert_share,
            rounds=settings.gate.bootstrap_rounds,
        )


@dataclass(frozen=True, slots=True)
class Cohort:
    """Quality of up to seven event days; the days as ISO dates, both included."""

    first_day: str
    last_day: str
    rows: int
    frauds: int
    average_precision: Interval
    recall: Interval


@dataclass(frozen=True, slots=True)
class Quality:
    """Quality over the whole window; `cohorts` oldest first. NaN where there were no frauds.

    `unseen` counts matured rows of which nobody knows what they were (declines that
    were not explored among them), and `effective_frauds` how many equally weighted
    frauds would say as much (Kish).
    """

    rows: int
    frauds: int
    average_precision: Interval
    recall: Interval
    cohorts: tuple[Cohort, ...]
    unseen: int = 0
    effective_frauds: float = 0.0


def realised_quality(rows: pl.DataFrame, rules: QualityRules) -> Quality:
    """Judge the logged scores of one model's archived rows, in log order.

    Columns: event_time_us i64, entity_<name> integer (the first is the card),
    is_fraud bool (null: nobody knows) and label_known_us i64 (null: no label), score f64 (null
    without a champion: left out), outcome integer, explored bool, propensity
    f64, imported bool (left out: nobody scored them here). Rows that have not
    matured at the cut, or are older than the window, are left out too.
    """
    rows, days = _judged(rows, rules)
    known = (rows["label_known_us"] <= rules.cut_time_us).fill_null(False).to_numpy()
    card = next(name for name in rows.columns if name.startswith(ENTITY_PREFIX))
    seen = _seen(rows)
    explored, propensity = rows["explored"].to_numpy(), rows["propensity"].to_numpy()
    sample = Sample(
        is_fraud=rows["is_fraud"].fill_null(False).to_numpy() & known & seen,
        days=days,
        cards=rows[card].cast(pl.Int64).fill_null(NO_CARD).to_numpy(),
        weights=seen_weights(seen, np.where(explored, propensity, 1.0)),
    )
    scores = rows["score"].to_numpy()
    whole = _figures(sample, scores, rules)
    return Quality(
        rows=whole.rows,
        frauds=whole.frauds,
        average_precision=whole.average_precision,
        recall=whole.recall,
        cohorts=tuple(_cohorts(sample, scores, rules)),
        unseen=whole.unseen,
        effective_frauds=whole.effective_frauds,
    )


def _seen(rows: pl.DataFrame) -> Bools:
    """Mark the rows of which it is known what they were, bool[n]."""
    declined = (pl.col("outcome") == Outcome.DECLINE) & ~pl.col("explored")
    return rows.select(pl.col("is_fraud").is_not_null() & ~declined).to_series().to_numpy()


def _judged(rows: pl.DataFrame, rules: QualityRules) -> tuple[pl.DataFrame, Days]:
    """Keep what was scored here, has matured and is recent enough."""
    rows = rows.filter(pl.col("score").is_not_null() & ~pl.col("imported"))
    days = event_days(rows["event_time_us"].to_numpy(), rules.zone)
    calendar = np.unique(days)
    due = rules.cut_time_us - rules.maturity_us
    matured = [int(day) for day in calendar if day_start_us(int(day) + 1, rules.zone) <= due]
    oldest = matured[-1] - -(-rules.window_us // DAY_US) if matured else 0
    kept = np.isin(days, [day for day in matured if day > oldest])
    return rows.filter(pl.Series(kept, dtype=pl.Boolean)), days[kept]


def _cohorts(sample: Sample, scores: Floats, rules: QualityRules) -> list[Cohort]:
    """Cut the window into weeks, counted back from its last day."""
    if not len(sample.days):
        return []
    weeks = (sample.days.max() - sample.days) // COHORT_DAYS
    cohorts = []
    for week in np.unique(weeks)[::-1]:
        kept = weeks == week
        part = Sample(sample.is_fraud[kept], sample.days[kept], sample.cards[kept], sample.weights[kept])
        figures = _figures(part, scores[kept], rules)
        cohorts.append(
            Cohort(
                first_day=day_name(int(part.days.min())),
                last_day=day_name(int(part.days.max())),
                rows=figures.rows,
                frauds=figures.frauds,
                average_precision=figures.average_precision,
                recall=figures.recall,
            )
        )
    return cohorts


def _figures(sample: Sample, scores: Floats, rules: QualityRules) -> Weighted:
    alerted = alerts(scores, sample.days, rules.alert_share)
    return weighted_quality(sample, scores, alerted, rules.rounds, rules.seed)
