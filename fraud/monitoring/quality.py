"""Realised quality: how good scores turned out to be, side by side, over spans and by the week.

    archived payments, matured               (labels as known at the cut)
      − those that a rule or a list decided: counted apart
      → the day's budget is spent on all that was scored, seen or not
      → explored declines stand for those that were not, at 1 / propensity, unclipped
      → figures of each subject and span, 90 % intervals by card
      → the same by calendar week, as known now and as known when the week had matured

Subjects are what was answered at the time, the champion of now, the first
champion, and shadows; each is judged only where it had learned nothing from.
Only what has matured is judged, so figures are late by the maturity and never
flattered by labels that have not arrived.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Self
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.clock import DAY_US
from fraud.evaluation.days import day_start_us, event_days
from fraud.evaluation.metrics import Bools, Days, Floats, alerts
from fraud.evaluation.ratios import Spread, spread_of
from fraud.evaluation.resampling import NO_CARD, Interval, Sample
from fraud.evaluation.weighted import effective_sample_size, seen_weights
from fraud.monitoring.names import CHAMPION, DECISIONS, FIRST
from fraud.records import Outcome
from fraud.settings import Settings

ENTITY_PREFIX = "entity_"
SCORE_PREFIX = "score_"
"""A subject's scores stand in the column of this and its name; those of the decisions in `score`."""

FIGURES: Final = (
    *("precision", "recall", "value_detection", "false_positive_ratio"),
    *("calibration_ratio", "value_fraud_ratio", "average_precision"),
)
ANSWERED: Final = ("answered_recall", "answered_precision")
"""What the decisions have beside `FIGURES`: by the answers that were given, whatever the budget."""
COMPARED: Final = ("recall", "average_precision", "value_detection")
"""Figures whose gain and decay are shown."""

_MONDAY = 3
"""Days from a Monday to 1970-01-01."""


@dataclass(frozen=True, slots=True)
class QualityRules:
    """What is judged. Times are µs; windows are days that end with the last matured one."""

    zone: ZoneInfo
    cut_time_us: int
    maturity_us: int
    windows: tuple[int, ...]
    cohorts: int
    alert_share: float
    rounds: int
    seed: int = 7

    @classmethod
    def of(cls, settings: Settings, cut_time_us: int) -> Self:
        """Take the rules from the configuration."""
        monitoring = settings.monitoring
        return cls(
            zone=settings.service.zone,
            cut_time_us=cut_time_us,
            maturity_us=settings.labels.maturity,
            windows=tuple(window // DAY_US for window in monitoring.quality_windows),
            cohorts=monitoring.cohorts,
            alert_share=settings.gate.alert_share,
            rounds=monitoring.bootstrap_rounds,
        )

    @property
    def last_day(self) -> int:
        """The last day whose payments have all matured, days since 1970-01-01."""
        due = np.array([self.cut_time_us - self.maturity_us])
        return int(event_days(due, self.zone)[0]) - 1

    def weeks(self) -> list[int]:
        """Return the first days of the weeks that have matured, the newest first; Monday to Sunday."""
        newest = (self.last_day + 1 + _MONDAY) // 7 * 7 - _MONDAY - 7
        return [newest - 7 * i for i in range(self.cohorts)]

    def matured_us(self, week: int) -> int:
        """Return the moment from which a week that begins with a day is judged, µs UTC."""
        return day_start_us(week + 7, self.zone) + self.maturity_us

    @property
    def since_us(self) -> int:
        """The first moment that any window or week looks at, µs UTC."""
        first = min(self.last_day + 1 - max(self.windows), *self.weeks())
        return day_start_us(first, self.zone)


@dataclass(frozen=True, slots=True)
class Figures:
    """One subject over one span. Every name of `FIGURES` has an interval; NaN where not defined.

    Those of the decisions have the names of `ANSWERED` as well.

    `unseen` counts matured rows of which nobody knows what they were (declines that were not
    explored among them); `effective_frauds` says how many equally weighted ones would say as much.
    """

    rows: int
    labels: int
    frauds: int
    unseen: int
    effective_frauds: float
    intervals: Mapping[str, Interval]


@dataclass(frozen=True, slots=True)
class Cohort:
    """What was decided in one calendar week that begins with `week`, days since 1970-01-01."""

    week: int
    rows: int
    frauds: int
    recall: Interval
    average_precision: Interval


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Matured payments in log order: columns of length n; amounts in minor units.

    `weights` are those of `seen_weights`, `alerted` tells what was not simply approved
    at the time (explored declines among it), `passed` what was let through, `executed`
    what was not declined. `scores` holds a column a subject,
    NaN where it is not judged.
    """

    sample: Sample
    amounts: Floats
    labelled: Bools
    alerted: Bools
    passed: Bools
    executed: Bools
    scores: Mapping[str, Floats]
    rule_days: Days

    def within(self, kept: NDArray[np.bool_]) -> Self:
        """Return some of the rows."""
        whole = self.sample
        sample = Sample(whole.is_fraud[kept], whole.days[kept], whole.cards[kept], whole.weights[kept])
        return type(self)(
            sample,
            self.amounts[kept],
            self.labelled[kept],
            self.alerted[kept],
            self.passed[kept],
            self.executed[kept],
            {name: scores[kept] for name, scores in self.scores.items()},
            self.rule_days,
        )

    def window(self, days: int, rules: QualityRules) -> Self:
        """Return the rows of the last matured days."""
        return self.within(self.sample.days > rules.last_day - days)


def judged_rows(rows: pl.DataFrame, rules: QualityRules) -> Judged:
    """Take a model's archived rows, in log order.

    Columns: event_time_us i64, entity_<name> integer (the first is the card), is_fraud bool (null:
    nobody knows), label_known_us and label_position i64 (null: no label), amount_base_minor i64,
    score f64 (null without a champion), outcome integer, explored bool, propensity f64, rule str
    (null: the model decided), imported bool (left out: nobody scored them here), and a score_<subject>
    f64 of each further subject. Rows that have not matured at the cut are left out.
    """
    days = event_days(rows["event_time_us"].to_numpy(), rules.zone)
    matured = pl.Series(days <= rules.last_day, dtype=pl.Boolean)
    rows = rows.with_columns(pl.Series("day", days, dtype=pl.Int32)).filter(matured & ~rows["imported"])
    by_rule = rows.filter(pl.col("rule").is_not_null())
    rows = rows.filter(pl.col("rule").is_null())
    known = (rows["label_known_us"] <= rules.cut_time_us).fill_null(False).to_numpy()
    explored = rows["explored"].to_numpy()
    declined = (rows["outcome"] == int(Outcome.DECLINE)).to_numpy() & ~explored
    seen = rows["is_fraud"].is_not_null().to_numpy() & ~declined
    card = next(name for name in rows.columns if name.startswith(ENTITY_PREFIX))
    sample = Sample(
        is_fraud=rows["is_fraud"].fill_null(False).to_numpy() & known & seen,
        days=rows["day"].to_numpy(),
        cards=rows[card].cast(pl.Int64).fill_null(NO_CARD).to_numpy(),
        weights=seen_weights(seen, np.where(explored, rows["propensity"].to_numpy(), 1.0)),
    )
    subjects = {
        name.removeprefix(SCORE_PREFIX): name for name in rows.columns if name.startswith(SCORE_PREFIX)
    }
    approved = (rows["outcome"] == int(Outcome.APPROVE)).to_numpy()
    return Judged(
        sample,
        rows["amount_base_minor"].cast(pl.Float64).to_numpy(),
        rows["label_position"].is_not_null().to_numpy(),
        ~approved | explored,
        approved | explored,
        ~declined,
        {
            subject: rows[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
            for subject, name in {DECISIONS: "score", **subjects}.items()
        },
        by_rule["day"].to_numpy(),
    )


def figures(rows: Judged, subject: str, rules: QualityRules) -> Figures:
    """Return the figures of a subject over the rows for which it has a score."""
    part = rows.within(~np.isnan(rows.scores[subject]))
    known = part.sample.weights > 0
    weights = part.sample.weights[part.sample.is_fraud]
    spread = _spread(part, subject, rules)
    return Figures(
        rows=int(known.sum()),
        labels=int((part.labelled & known).sum()),
        frauds=len(weights),
        unseen=int(np.sum(~known)),
        effective_frauds=effective_sample_size(weights),
        intervals=dict(zip(_names(subject), spread.intervals(), strict=True)),
    )


def gains(rows: Judged, rules: QualityRules) -> dict[str, Interval]:
    """Return the champion's figures − the first one's, paired, where both are judged; {} where none."""
    if not {CHAMPION, FIRST} <= rows.scores.keys():
        return {}
    part = rows.within(~np.isnan(rows.scores[CHAMPION]) & ~np.isnan(rows.scores[FIRST]))
    gained = _spread(part, CHAMPION, rules).minus(_spread(part, FIRST, rules)).intervals()
    return {name: it for name, it in zip(FIGURES, gained, strict=True) if name in COMPARED}


def decay(promised: Interval, realised: Interval) -> Interval:
    """Return promised − realised; the interval takes both for independent (Newcombe 1998, MOVER)."""
    lost = promised.value - realised.value
    low = np.hypot(promised.value - promised.low, realised.high - realised.value)
    high = np.hypot(promised.high - promised.value, realised.value - realised.low)
    return Interval(lost, lost - float(low), lost + float(high))


def cohort(rows: Judged, week: int, rules: QualityRules) -> Cohort:
    """Return what the decisions of one calendar week turned out to be."""
    days = rows.sample.days
    found = figures(rows.within((days >= week) & (days < week + 7)), DECISIONS, rules)
    return Cohort(
        week, found.rows, found.frauds, found.intervals["recall"], found.intervals["average_precision"]
    )


def cohorts(rows: Judged, rules: QualityRules) -> Iterator[Cohort]:
    """Yield the matured weeks, the newest first; weeks before the first row are left out."""
    if len(rows.sample.days):
        first = int(rows.sample.days.min())
        yield from (cohort(rows, week, rules) for week in rules.weeks() if week + 7 > first)


def _names(subject: str) -> tuple[str, ...]:
    """Return the figures of a subject in the order of its spread; average precision is the last."""
    return (*FIGURES[:-1], *ANSWERED, FIGURES[-1]) if subject == DECISIONS else FIGURES


def _spread(part: Judged, subject: str, rules: QualityRules) -> Spread:
    """Judge a subject on rows that it has scored; figures in the order of `_names`."""
    scores, sample = part.scores[subject], part.sample
    alerted = alerts(scores, sample.days, rules.alert_share)
    known = sample.weights > 0
    rows = part.within(known)
    alerted, scores, sample = alerted[known], scores[known], rows.sample
    weight, fraud, amount = sample.weights, sample.is_fraud, rows.amounts
    caught, money = weight * (fraud & alerted), weight * amount
    if subject == DECISIONS:
        # What was answered is counted as it is: an explored decline stands for itself.
        through, whole = amount * (fraud & rows.passed), amount * rows.executed
    else:
        through, whole = money * (fraud & ~alerted), money
    ratios = [
        (caught, weight * alerted),
        (caught, weight * fraud),
        (caught * amount, money * fraud),
        (weight * (alerted & ~fraud), caught),
        (weight * scores, weight * fraud),
        (through, whole),
    ]
    if subject == DECISIONS:
        answered = weight * (fraud & rows.alerted)
        ratios += [(answered, weight * fraud), (answered, weight * rows.alerted)]
    parts, wholes = (np.stack([ratio[side] for ratio in ratios], axis=1) for side in (0, 1))
    return spread_of(sample, parts, wholes, scores, rules.rounds, rules.seed)
