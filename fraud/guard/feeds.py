"""Feeds that went silent, and feeds that swelled: what came against what the delay curve promises.

    F(a)  share of a matured day's frauds that had arrived by age a
    E(t)  Σ over event days of transactions · [F(age at the end of t) − F(age at its start)]
    λ     frauds per transaction, from the arrivals before the days that are judged
    the last k days: Σ came against λ · Σ E, dispersion from blocks of k days before them
    event days whose labels became complete since the last judgement: the same, by event day

The curve's shape comes from matured days, its height from what arrived lately,
so a slow change of fraud moves the expectation along. What an exclusion hides
did come: it cannot make a feed silent, and its days judge no others.

Fraud may also stop at once: a new champion stops an attack, and the attackers leave. So
where the champion of the time scored the payments, a feed is silent only if it is also
short of what those scores expect to come back of the payments let through: of the part
of it that the feed gave of all frauds so far. A feed that broke stays short of both;
scores know nothing of a break.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fraud.clock import DAY_US
from fraud.evaluation.counts import Floats, dispersion, fewer, more
from fraud.guard.data import Feed, GuardData, Ints
from fraud.guard.finding import Finding, effect_of
from fraud.labels.exclusions import Exclusion
from fraud.settings.guard import Guard, Outcomes, Silence

WINDOWS = (1, 2, 3, 7, 14)
"""Days that may have been silent; a weekly feed shows in the longer ones."""
BLOCKS_MIN = 4
"""Blocks of the past that a dispersion needs."""
CURVE_MIN = 30
"""Matured facts that a delay curve needs."""
COMPLETE = 0.95
"""An event day is judged by itself once this share of its labels must have come."""
TOUCHED = 0.2
"""Event days that lack this share of their labels are suspect."""
DOUBT = 0.01
"""Chance that what came is luck, by the scores; `guard.p_value` is asked of the feed's own past."""
CREDIT_DAYS = 7
"""A backlog of so many days may come at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Facts by age in days, and what each age is worth; `base` tells which ages may judge others."""

    came: Ints
    worth: Floats
    base: NDArray[np.bool_]

    def rate(self, first: int) -> float:
        """Return facts per worth over the base from an age on."""
        base = self.base[first:]
        worth = float(self.worth[first:][base].sum())
        return float(self.came[first:][base].sum()) / worth if worth > 0 else 0.0

    def alpha(self, first: int, days: int) -> float | None:
        """Return the dispersion of blocks of `days` from an age on; None for too few of them."""
        blocks = [slice(age, age + days) for age in range(first, len(self.base) - days + 1, days)]
        whole = [block for block in blocks if self.base[block].all()]
        if len(whole) < BLOCKS_MIN:
            return None
        rate = self.rate(first)
        return dispersion(
            [float(self.came[block].sum()) for block in whole],
            [rate * float(self.worth[block].sum()) for block in whole],
        )

    def history(self, first: int) -> int:
        """Return how many days of base there are from an age on."""
        return int(self.base[first:].sum())


@dataclass(frozen=True, slots=True, eq=False)
class Promise:
    """A feed's delay curve F, float64[A + 1], and its facts by day of arrival and of event."""

    curve: Floats
    arrivals: Series
    events: Series
    foreseen: tuple[Floats, Floats] | None = None
    """Facts that the scores expect by age of arrival and of event, float64[H] each; NaN: they say nothing."""

    @classmethod
    def of(cls, data: GuardData, feed: Feed, rules: Guard) -> Self | None:
        """Return what a feed promises, or None while there is too little history."""
        matured = data.matured
        if data.seen < matured + rules.history_min // DAY_US:
            return None
        delays = delay_counts(data, feed)
        if delays.sum() < CURVE_MIN:
            return None
        shares = delays / delays.sum()
        traffic = data.traffic.astype(np.float64)
        due, by_age = _spread(traffic, shares)
        hidden = feed.came != feed.visible
        first = int(np.flatnonzero(feed.came.any(axis=0))[-1])
        # Before its first facts a feed was no feed; older days lack the payments before them.
        inside = np.arange(data.days) < min(data.days - matured, first + 1)
        scored = feed is not data.outcomes and len(data.foreseen) > 0
        return cls(
            np.cumsum(shares),
            Series(feed.came.sum(axis=0), due, inside & (due > 0) & ~hidden.any(axis=0)),
            Series(feed.came.sum(axis=1), by_age, inside & (by_age > 0) & ~hidden.any(axis=1)),
            _spread(_part(data, feed, first) * data.foreseen, shares) if scored else None,
        )

    def is_missed(self, series: Series, span: slice, short: float) -> bool:
        """Tell whether the scores, too, expected more facts than came; True where they say nothing."""
        if self.foreseen is None:
            return True
        expected = float(self.foreseen[0 if series is self.arrivals else 1][span].sum())
        came = float(series.came[span].sum())
        return math.isnan(expected) or (came <= short * expected and fewer(came, expected, 0.0) <= DOUBT)

    def by(self, age: int) -> float:
        """Return the share of an event day's facts that have arrived by an age."""
        return 0.0 if age < 0 else float(self.curve[min(age, len(self.curve) - 1)])

    def fell_due(self, age: int, days: int) -> float:
        """Return the share of an event day's facts that fell due in the last days."""
        return self.by(age) - self.by(age - days)


def _spread(counts: Floats, shares: Floats) -> tuple[Floats, Floats]:
    """Return how many of each day's `counts` have arrived, by age of arrival and of event, float64[H] each.

    `shares` of a day's arrive after 0, 1, 2, … days.
    """
    days = len(counts)
    arrivals = np.convolve(counts[::-1], shares)[:days][::-1]
    return arrivals, counts * np.concatenate([np.cumsum(shares), np.ones(days)])[:days]


def _part(data: GuardData, feed: Feed, first: int) -> float:
    """Return the part of all sources' frauds that a feed gives, 0..1, from the facts of matured days.

    Only days since its first facts, which came at age `first`, count where these are enough.
    """
    for days in (first + 1, data.seen):
        own, every = (float(delay_counts(data, it, days).sum()) for it in (feed, data.feeds[0]))
        if own >= CURVE_MIN:
            break
    return own / every


def delay_counts(data: GuardData, feed: Feed, days: int | None = None) -> Floats:
    """Return the facts of matured days, of the last `days` where given, by delay, float64[matured + 1]."""
    matured = data.matured
    delays = np.zeros(matured + 1)
    for age in range(matured, data.seen if days is None else min(days, data.seen)):
        # Arrived at age t of an event at age e: e − t days later.
        delays += feed.visible[age, age - matured : age + 1][::-1]
    return delays


def silent(data: GuardData, rules: Guard) -> Iterator[Finding]:
    """Find sources whose fraud labels fell short."""
    for feed in data.feeds:
        yield from _short(data, feed, rules, rules.silence, "silence")


def unreported(data: GuardData, rules: Guard) -> Iterator[Finding]:
    """Find payment outcomes that fell short, where any were reported before."""
    if data.outcomes is not None:
        yield from _short(data, data.outcomes, rules, rules.outcomes, "outcomes")


def _short(
    data: GuardData, feed: Feed, rules: Guard, check: Silence | Outcomes, name: str
) -> Iterator[Finding]:
    promise = Promise.of(data, feed, rules)
    if promise is None or check.action == "off":
        return
    complete = int(np.searchsorted(promise.curve, COMPLETE))
    due = range(complete, complete + data.recent)
    spans = [(promise.arrivals, 0, days, days) for days in WINDOWS]
    spans += [
        (promise.events, age, days, max(due) + 1) for days in WINDOWS for age in due if age + days - 1 in due
    ]
    for series, first, days, base in spans:
        found = _shortfall(series, first, days, base, rules, check)
        if found is None or not promise.is_missed(series, slice(first, first + days), check.short):
            continue
        came, expected = found
        what = "payment outcomes" if name == "outcomes" else f"fraud labels of {feed.source or 'all sources'}"
        if series is promise.arrivals:
            ages = [age for age in range(len(promise.curve)) if promise.fell_due(age, days) >= TOUCHED]
            text = f"{came:,.0f} {what} in the last {days} d, {expected:,.0f} expected from their delay curve"
        else:
            ages = list(range(first, first + days))
            text = (
                f"{came:,.0f} {what} about payments of {days} d, the last {first} d ago; "
                f"{expected:,.0f} expected by now"
            )
        ratio = came / expected
        yield Finding(
            name, feed.source or "all", ratio, check.short, text, effect_of(check.action), _days(data, ages)
        )
        return


def _shortfall(
    series: Series, first: int, days: int, base: int, rules: Guard, check: Silence | Outcomes
) -> tuple[float, float] | None:
    """Return what came and what was expected when the first is too little."""
    alpha = series.alpha(base, days)
    if alpha is None or series.history(base) < rules.history_min // DAY_US:
        return None
    span = slice(first, first + days)
    came, expected = float(series.came[span].sum()), series.rate(base) * float(series.worth[span].sum())
    short = expected >= check.expected_min and came <= check.short * expected
    return (came, expected) if short and fewer(came, expected, alpha) <= rules.p_value else None


def _days(data: GuardData, ages: Sequence[int]) -> Exclusion | None:
    """Return the transactions of some days, None for none."""
    if not ages:
        return None
    return Exclusion("transactions", from_us=data.start_us(max(ages)), to_us=data.end_us(min(ages)))


def swollen(data: GuardData, rules: Guard) -> Iterator[Finding]:
    """Find the day with far more fraud labels than the counts before allow."""
    check = rules.fraud_rate
    if not data.feeds or check.action == "off":
        return
    promise = Promise.of(data, data.feeds[0], rules)
    if promise is None:
        return
    visible = data.feeds[0].visible.sum(axis=0)
    series, base = replace(promise.arrivals, came=visible), data.recent
    alpha = series.alpha(base, 1)
    if alpha is None or series.history(base) < rules.history_min // DAY_US:
        return
    usual = series.rate(base) * series.worth
    found = []
    for age in range(data.recent):
        came = float(series.came[age])
        before = slice(age + 1, age + 1 + CREDIT_DAYS)
        backlog = max(0.0, float((usual[before] - series.came[before]).sum()))
        expected = usual[age] + backlog
        if came < check.frauds_min or came < check.jump * expected:
            continue
        if more(came, expected, alpha) <= rules.p_value:
            found.append((came / max(expected, 1.0), age, came, expected))
    if found:
        ratio, age, came, expected = max(found)
        text = f"{came:,.0f} fraud labels came {age} to {age + 1} d ago, {expected:,.0f} expected"
        suspect = Exclusion("labels", from_us=data.start_us(age), to_us=data.end_us(age))
        yield Finding("fraud_rate", "all", ratio, check.jump, text, effect_of(check.action), suspect)
