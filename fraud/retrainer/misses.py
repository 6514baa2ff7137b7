"""Confirmed misses: frauds that the champion had approved, as votes of attacks, against quiet weeks.

    frauds confirmed by trusted labels, each at the day its first label came
      ─ approved by the model, no rule, no exploration
      ─ linked by card, and by a merchant or device out of line (`fraud.gate.clusters`): one vote a cluster
      ─ one submitter bounded ─► votes of the last 1, 2, 3, 7 days
      against the same spans of the quiet weeks before (`fraud.evaluation.quiet`)

A champion that has served for R days can only have misses that became known within R days, so the past is
cut the same way. What a cluster does after its first day adds nothing, today as then.

Moved by whoever gets frauds confirmed: a thousand false disputes of one card or at one merchant of his own
are one vote; submitters who together gave few of the misses before add at most as many as all others give;
strangers count as one submitter. What remains: many cards, disputed at many merchants, through a feed that
always gave most of the misses. That looks like an attack, costs as much, and gains a retrain that guard and
gate judge.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.clock import DAY_US
from fraud.evaluation.quiet import WEEK, forecast
from fraud.gate.clusters import numbered, units
from fraud.records import MISSING_SURROGATE, Outcome
from fraud.retrainer.thinning import one_in
from fraud.retrainer.trusting import STRANGER_CARDS, Trust, confirmed
from fraud.settings.triggers import MissBurst
from fraud.training.history import History

SPANS: Final = (1, 2, 3, 7)
TRAFFIC_ROWS: Final = 200_000
"""Payments that tell which merchants are out of line; of more, an even part."""
_ENTITY = "entity_"
_CLUSTERS: Final = 2**40
"""Numbers of clusters begin behind all surrogates."""


@dataclass(frozen=True, slots=True)
class Reign:
    """Whose misses are counted: the champion, since when it serves and since when they are new, µs UTC."""

    version: str
    since_us: int
    new_from_us: int


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """Confirmed misses among other payments: columns of length n.

    `surrogates` int64[n, E] with -1 where missing, the card first; `days` int32[n], for a miss the day its
    label came, else that of the payment, `last_day` for the day that ends now; `fresh` bool[n] marks
    misses of the champion that count now; `submitters` str[n], "" for what is no miss. `givers` are the
    cards with a confirmed fraud of the weeks before by submitter, whether it was missed or not.
    """

    surrogates: NDArray[np.int64]
    is_miss: NDArray[np.bool_]
    days: NDArray[np.int32]
    fresh: NDArray[np.bool_]
    submitters: NDArray[np.str_]
    last_day: int
    givers: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Burst:
    """Votes of the last `days` that count, out of `given`; how many were expected, and by which chance."""

    days: int
    votes: int
    given: int
    expected: float
    chance: float
    alarming: bool

    @property
    def reason(self) -> str:
        """The burst in words."""
        return (
            f"{self.votes} separate misses were confirmed in {self.days} d, {self.expected:.1f} expected "
            f"from quiet weeks (chance {self.chance:.1g})"
        )


def judge_misses(facts: Facts, rules: MissBurst, submitter_share_max: float) -> Burst | None:
    """Return the span that is least like quiet weeks; None while there are too few weeks."""
    surrogates = facts.surrogates if rules.one_vote == "cluster" else facts.surrogates[:, :1]
    found = units(surrogates, facts.is_miss, facts.days)
    first_of = [int(unit.rows[0]) for unit in found]
    # The judged days are no part of the weeks that judge them, whatever the span.
    oldest = facts.last_day - WEEK * (rules.weeks + 1) + 1
    daily = np.zeros(WEEK * rules.weeks, np.int64)
    for unit in found:
        if oldest <= unit.day <= facts.last_day - WEEK:
            daily[facts.last_day - WEEK - unit.day] += 1
    lived = _days_lived(facts)
    bursts = []
    for days in SPANS:
        promised = forecast(daily[:lived], days)
        if promised is None:
            continue
        now = Counter(
            str(facts.submitters[row])
            for unit, row in zip(found, first_of, strict=True)
            if unit.day > facts.last_day - days and facts.fresh[unit.rows].any()
        )
        votes = bounded(now, facts.givers, submitter_share_max)
        chance = promised.chance(votes)
        enough = votes >= max(rules.least, rules.jump * promised.expected)
        alarming = enough and chance <= rules.p_value / len(SPANS)
        bursts.append(Burst(days, votes, now.total(), promised.expected, chance, alarming))
    return min(bursts, key=lambda it: (not it.alarming, it.chance), default=None)


def _days_lived(facts: Facts) -> int:
    """Return for how many days before the judged week misses could be told: since the first one."""
    past = facts.days <= facts.last_day - WEEK
    told = facts.days[past & facts.is_miss] if (past & facts.is_miss).any() else facts.days[past]
    return int(facts.last_day - WEEK - told.min()) + 1 if len(told) else 0


def bounded(now: Mapping[str, int], past: Mapping[str, int], share_max: float) -> int:
    """Return how many votes count when those who together gave few before may not give more than a share.

    `past` are the frauds that each gave before. Together below `share_max` of them are each one alone who is,
    and as many as fit of those with the most votes for what they gave. Whoever gave that share by himself is
    none of them: the feed is his.

    >>> bounded({"bank": 10, "jane": 90}, {"bank": 50, "jane": 10}, 0.5)
    20
    >>> bounded({"bank": 1, "jane": 40, "somebody": 40}, {"bank": 100, "jane": 6}, 0.5)
    2
    """
    total = sum(past.values())
    votes: Counter[str] = Counter()
    for name, given in now.items():
        votes[name if past.get(name, 0) >= STRANGER_CARDS else ""] += given
    gave = {name: past[name] if name else 0 for name in votes}
    minor = [name for name in votes if not total or gave[name] / total < share_max]
    loudest = sorted(minor, key=lambda it: (gave[it] / max(votes[it], 1), it))
    everybody = votes.total()
    counted = everybody
    for group in (below_share([(it, gave[it]) for it in loudest], total, share_max), *([it] for it in minor)):
        theirs = sum(votes[name] for name in group)
        others = everybody - theirs
        counted = min(counted, others + int(share_max / (1 - share_max) * others + 1e-9))
    return counted


def below_share(gave: Iterable[tuple[str, int]], total: int, share_max: float) -> list[str]:
    """Return as many of some submitters, in order, as together gave less than a share of the past.

    >>> below_share([("jane", 30), ("joe", 30), ("eve", 10)], 100, 0.5)
    ['jane', 'eve']
    """
    chosen: list[str] = []
    theirs = 0
    for name, past in gave:
        if not total or (theirs + past) / total < share_max:
            chosen.append(name)
            theirs += past
    return chosen


def misses_of(history: History, model: str, reign: Reign, trust: Trust, rules: MissBurst) -> Facts:
    """Read the confirmed misses of a model and a part of its traffic, as known at the history's cut."""
    settings, now_us = history.settings, history.cut.time_us
    span_us = (rules.weeks + 1) * WEEK * DAY_US
    reach_us = min(now_us - reign.since_us, 2 * settings.labels.maturity)
    entities = [f"{_ENTITY}{name}" for name in settings.schema_.entity_names]
    since = pl.col("event_time_us") > now_us - span_us - reach_us
    own = history.transactions(model, with_features=False).filter(
        since & ~pl.col("imported") & (pl.col("version") != "")
    )
    approved = (pl.col("outcome") == int(Outcome.APPROVE)) & ~pl.col("explored") & pl.col("rule").is_null()
    known = pl.col("known_us")
    frauds = own.join(confirmed(history, trust), on="transaction_id").filter(known > now_us - span_us)
    misses = (
        frauds.filter(approved & (known - pl.col("event_time_us") <= reach_us))
        .select("transaction_id", "position", "event_time_us", "version", "known_us", "submitter", *entities)
        .with_columns(
            time_us=known,
            fresh=(pl.col("version") == reign.version) & (known > reign.new_from_us),
            is_miss=pl.lit(value=True),
        )
    )
    rows = own.select(pl.len()).collect().item()
    others = (
        own.filter(one_in(-(-rows // TRAFFIC_ROWS)))
        .with_columns(
            time_us=pl.col("event_time_us"),
            fresh=pl.lit(value=False),
            is_miss=pl.lit(value=False),
            submitter=pl.lit(""),
        )
        .join(misses.select("transaction_id"), on="transaction_id", how="anti")
    )
    columns = ["position", "time_us", "fresh", "is_miss", "submitter", *entities]
    both = pl.concat([misses.select(columns), others.select(columns)]).collect()
    before = frauds.filter(known <= now_us - WEEK * DAY_US).group_by("submitter")
    givers = before.agg(cards=pl.col(entities[0]).n_unique()).collect()
    return _facts(both, entities, now_us, dict(givers.iter_rows()))


def _facts(rows: pl.DataFrame, entities: Sequence[str], now_us: int, givers: Mapping[str, int]) -> Facts:
    rows = rows.sort("position")
    last_day = now_us // DAY_US
    ages = (now_us - rows["time_us"].to_numpy()) // DAY_US
    surrogates = rows.select(pl.col(name).cast(pl.Int64).fill_null(MISSING_SURROGATE) for name in entities)
    return Facts(
        surrogates.to_numpy().reshape(len(rows), len(entities)),
        rows["is_miss"].to_numpy(),
        (last_day - np.maximum(ages, 0)).astype(np.int32),
        rows["fresh"].to_numpy(),
        rows["submitter"].to_numpy().astype(np.str_),
        last_day,
        givers,
    )


def by_cluster(rows: pl.DataFrame) -> pl.DataFrame:
    """Number the card of each fraud by its cluster instead, so that frauds of one attack are drawn together.

    Columns entity_<name> (the first is the card) and is_fraud bool; others are kept.
    """
    entities = [name for name in rows.columns if name.startswith(_ENTITY)]
    surrogates = rows.select(pl.col(name).cast(pl.Int64).fill_null(MISSING_SURROGATE) for name in entities)
    is_fraud = rows["is_fraud"].fill_null(value=False).to_numpy()
    cards = surrogates[entities[0]].to_numpy().copy()
    matrix = surrogates.to_numpy().reshape(len(rows), len(entities))
    clusters = numbered(matrix, is_fraud)
    cards[is_fraud] = _CLUSTERS + clusters[is_fraud]
    return rows.with_columns(pl.Series(entities[0], cards, dtype=pl.Int64))
