"""The shape of traffic: hours that are missing, days that are too many, fields that went empty."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.clock import DAY_US, HOUR_US
from fraud.evaluation.counts import correlation, dispersion, fewer, larger_share, more, past_share
from fraud.guard.data import Floats, GuardData, Ints
from fraud.guard.finding import Finding, effect_of
from fraud.labels.exclusions import Exclusion
from fraud.settings.guard import Guard

WEEK_HOURS = 168
WEEKS_MIN = 3
"""Whole weeks before the judged days, so that an hour of the week has a usual traffic."""


@dataclass(frozen=True, slots=True, eq=False)
class _Hours:
    """Transactions of the judged hours by age, and of such hours in past weeks; 0 where nobody can tell.

    `observed` and `expected` are float64[h]; `past` and its `means` float64[weeks, 168].
    """

    observed: Floats
    expected: Floats
    past: Floats
    means: Floats

    @classmethod
    def of(cls, counts: Ints, covered: NDArray[np.bool_], judged: int, weeks: int) -> Self:
        """Hold the newest `judged` hours beside the weeks before; covered ones stay out on either side."""
        stop = judged + weeks * WEEK_HOURS
        left_out = covered[judged:stop].reshape(weeks, WEEK_HOURS)
        enough = (~left_out).sum(axis=0) >= WEEKS_MIN
        past = counts[judged:stop].reshape(weeks, WEEK_HOURS).astype(np.float64)
        past[left_out] = np.nan
        past[:, ~enough] = 0.0
        # The hour of age h lies in the week's place (h − judged) mod 168 of the past weeks.
        place = (np.arange(judged) - judged) % WEEK_HOURS
        told = ~covered[:judged] & enough[place]
        return cls(
            np.where(told, counts[:judged], 0.0),
            np.where(told, np.nanmedian(past, axis=0)[place], 0.0),
            np.nan_to_num(past),
            np.where(np.isnan(past), 0.0, np.nanmean(past, axis=0)),
        )

    def alpha(self, hours: int) -> float:
        """Return the dispersion of so many hours together, which divide a week."""
        return dispersion(*(it.reshape(-1, hours).sum(axis=1) for it in (self.past, self.means)))


def uneven(data: GuardData, rules: Guard) -> Iterator[Finding]:
    """Find the longest gap of hours and the largest jump of a day against the same hours of past weeks.

    What an exclusion hides did come and is no gap, and what it hides of a flood makes no jump.
    """
    check = rules.traffic
    judged = data.recent * 24
    weeks = (data.seen * 24 - judged) // WEEK_HOURS
    if check.action == "off" or weeks < WEEKS_MIN or data.seen < rules.history_min // DAY_US:
        return
    came = _Hours.of(data.hours.came, data.hours.covered, judged, weeks)
    gap = _gap(came.observed, came.expected, check.gap)
    if gap is not None:
        first, stop = gap
        observed, promised = (float(it[first:stop].sum()) for it in (came.observed, came.expected))
        if promised >= check.expected_min and fewer(observed, promised, came.alpha(1)) <= rules.p_value:
            text = f"{observed:,.0f} transactions in {stop - first} h, {promised:,.0f} expected in such hours"
            yield _traffic(data, rules, "gap", observed / promised, check.gap, text, (first, stop))
    left = _Hours.of(data.hours.visible, data.hours.covered, judged, weeks)
    days = [
        (float(left.observed[h : h + 24].sum()), float(left.expected[h : h + 24].sum()), h)
        for h in range(0, judged, 24)
    ]
    observed, promised, first = max(days, key=lambda day: day[0] / max(day[1], 1.0))
    jumped = promised >= check.expected_min and observed >= check.jump * promised
    if jumped and more(observed, promised, left.alpha(24)) <= rules.p_value:
        text = f"{observed:,.0f} transactions in a day, {promised:,.0f} expected on such a day"
        yield _traffic(data, rules, "jump", observed / promised, check.jump, text, (first, first + 24))


def _gap(observed: np.ndarray, expected: np.ndarray, share: float) -> tuple[int, int] | None:
    """Return the run of hours with too little traffic that lacks most, as ages [first, stop)."""
    low = (observed <= share * expected) & (expected > 0)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], low, [False]]).astype(np.int8)))
    runs = [(int(first), int(stop)) for first, stop in edges.reshape(-1, 2)]
    return max(runs, key=lambda run: float(expected[run[0] : run[1]].sum()), default=None)


def _traffic(
    data: GuardData, rules: Guard, what: str, value: float, bound: float, text: str, hours: tuple[int, int]
) -> Finding:
    """Suspect the payments of hours of age [first, stop); like a day, an hour holds its last moment."""
    first, stop = hours
    suspect = Exclusion(
        "transactions",
        from_us=data.cut_time_us - stop * HOUR_US + 1,
        to_us=data.cut_time_us - first * HOUR_US + 1,
    )
    return Finding("traffic", what, value, bound, text, effect_of(rules.traffic.action), suspect)


def emptied(data: GuardData, rules: Guard) -> Iterator[Finding]:
    """Find fields that are missing more often than before, each on its worst day."""
    check = rules.missing_values
    if check.action == "off" or data.seen < data.recent + rules.history_min // DAY_US:
        return
    for (field,), held in data.missing.sort("field", "age").group_by("field", maintain_order=True):
        past = held.filter(pl.col("age") >= data.recent)
        share = past_share(float(past["missing"].sum()), float(past["rows"].sum()))
        rho = correlation(past["missing"].to_numpy(), past["rows"].to_numpy(), share)
        worst = None
        for row in held.filter(pl.col("age") < data.recent, pl.col("rows") >= check.rows_min).iter_rows(
            named=True
        ):
            risen = row["missing"] / row["rows"] - share
            unlikely = larger_share(row["missing"], row["rows"], share, rho) <= rules.p_value
            if risen >= check.rise and unlikely and (worst is None or risen > worst[0]):
                worst = (risen, row)
        if worst is None:
            continue
        risen, row = worst
        text = (
            f"{field} is missing in {row['missing'] / row['rows']:.0%} of a day's {row['rows']:,} "
            f"transactions, in {share:.1%} before"
        )
        age = row["age"]
        suspect = Exclusion("transactions", from_us=data.start_us(age), to_us=data.end_us(age))
        yield Finding("missing_values", str(field), risen, check.rise, text, effect_of(check.action), suspect)
