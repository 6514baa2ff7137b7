"""What a verdict rests on: matured rows that neither side was trained on.

    matured rows with both sides' scores
      → days of the service's time zone that are completely matured at the cut
      → rows that a rule or list decided left out
      → censored rows left out, mirrored for both sides (`fraud.gate.censoring`)
      → the same alert budget for both sides, every day
      → one vote per attack and first day (`fraud.gate.clusters`), of all rows and of each slice

A row counts as fraud when its fraud label was known at the cut. Everything is
a function of its arguments, so when labels are retracted the evidence is
simply built again.
"""

from dataclasses import dataclass, replace
from typing import Self
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.errors import InvalidInput
from fraud.evaluation.days import day_start_us, event_days
from fraud.evaluation.metrics import Bools, Days, Floats, alerts
from fraud.evaluation.resampling import Sample
from fraud.gate.attacks import AttackRule, attacks_of
from fraud.gate.censoring import (
    HELD,
    LABEL_COINS,
    decided_by_rule,
    exploration_rates,
    heads,
    held_as,
    mirrored,
    mirrored_below,
    told_rates,
    toss,
)
from fraud.gate.clusters import numbered, units
from fraud.gate.slices import NO_SLICES, Slice, SliceRules, slices_of
from fraud.gate.votes import Ballot, Votes
from fraud.records import MISSING_SURROGATE, Outcome
from fraud.settings import Settings
from fraud.settings.schema import AMOUNT_MINOR_BOUND

ENTITY_PREFIX = "entity_"


@dataclass(frozen=True, slots=True)
class EvidenceRules:
    """How rows become evidence. Times are µs; `cut_time_us` is what "known" refers to.

    Events before `since_us` are left out: the challenger's own training cut, so
    that it was frozen before anything that judges it.
    """

    zone: ZoneInfo
    cut_time_us: int
    maturity_us: int
    alert_share: float
    since_us: int = 0
    exploration_amount_max_minor: int = AMOUNT_MINOR_BOUND
    slices: SliceRules = NO_SLICES
    attacks: tuple[AttackRule, ...] = ()

    @classmethod
    def of(
        cls,
        settings: Settings,
        model: str,
        *,
        cut_time_us: int,
        since_us: int,
        attacks: tuple[AttackRule, ...] = (),
    ) -> Self:
        """Take the rules of a model from the configuration."""
        most = settings.models[model].policy.exploration.amount_max_minor
        return cls(
            zone=settings.service.zone,
            cut_time_us=cut_time_us,
            maturity_us=settings.labels.maturity,
            alert_share=settings.gate.alert_share,
            since_us=since_us,
            exploration_amount_max_minor=AMOUNT_MINOR_BOUND if most is None else most,
            slices=SliceRules.of(settings),
            attacks=attacks,
        )


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Rows that are no evidence, and why.

    `ruled` were decided by a rule or a list, where neither side decides;
    `censored` are declines without exploration, and what was challenged or sent
    to review and has no label; `mirrored` are those left out so that both sides
    are censored alike; `frauds_expected` is how many frauds the
    challenger's scores see in the last two.
    """

    early: int = 0
    not_matured: int = 0
    censored: int = 0
    mirrored: int = 0
    ruled: int = 0
    frauds_expected: float = 0.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """Judged rows in log order, the alerts of each side, and the votes.

    `champion_scores` is None for a model's first version; then nothing votes
    for a champion. `clusters` int[n] numbers the attack of each fraud, −1 for
    honest rows. `attacks` are the confirmed ones, with their own units.
    """

    sample: Sample
    challenger_scores: Floats
    champion_scores: Floats | None
    challenger_alerts: Bools
    champion_alerts: Bools
    clusters: NDArray[np.intp]
    votes: Votes
    left_out: LeftOut
    alert_share: float
    slices: tuple[Slice, ...] = ()
    attacks: tuple[Slice, ...] = ()

    @property
    def frauds(self) -> int:
        """Matured frauds, each transaction counted."""
        return int(self.sample.is_fraud.sum())

    @property
    def day_count(self) -> int:
        """Days that carry evidence."""
        return len(np.unique(self.sample.days))


def gather(rows: pl.DataFrame, rules: EvidenceRules) -> Evidence:
    """Build the evidence from matured rows in log order.

    Columns: transaction_id str, event_time_us i64, entity_<name> integer (null
    or −1: not given; the first is the card), amount_base_minor i64, is_fraud
    bool (null: nobody can tell), label_known_us i64 (null: no label), outcome integer (`Outcome`),
    explored bool, propensity f64, imported bool, rule str (null, or no such
    column: the model decided), failed_challenge bool (or no such column: none is
    reported), challenger_score f64, champion_score f64 (all
    null: there is no champion). Unexplored declines belong among the rows, and
    what was challenged or sent to review and has no label, with scores: they
    are counted, and tell how both sides are censored.

    Raises:
        InvalidInput: a score is missing or not finite, or the champion scored
            some of the rows only.
    """
    times = rows["event_time_us"].to_numpy()
    days = event_days(times, rules.zone)
    late_enough = times >= rules.since_us
    due = late_enough & _closed(days, rules)
    ruled = decided_by_rule(rows)
    mine = due & ~ruled
    judged = _Rows.of(rows.filter(pl.Series(mine)), days[mine])
    evident, left_out = _uncensored(judged, rules)
    counted = replace(
        left_out,
        early=int(np.sum(~late_enough)),
        not_matured=int(np.sum(late_enough & ~due)),
        ruled=int(np.sum(due & ruled)),
    )
    return _judge_sides(judged.where(evident), rules, counted)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows with their days and each side's scores, filtered together."""

    frame: pl.DataFrame
    days: Days
    challenger: Floats
    champion: Floats | None

    @classmethod
    def of(cls, frame: pl.DataFrame, days: Days) -> Self:
        champion = frame["champion_score"]
        alone = not frame.is_empty() and champion.null_count() == len(frame)
        return cls(frame, days, _scores(frame["challenger_score"]), None if alone else _scores(champion))

    def where(self, kept: Bools) -> Self:
        champion = None if self.champion is None else self.champion[kept]
        return replace(
            self,
            frame=self.frame.filter(pl.Series(kept)),
            days=self.days[kept],
            challenger=self.challenger[kept],
            champion=champion,
        )


def _scores(column: pl.Series) -> Floats:
    scores = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    wrong = int(np.sum(~np.isfinite(scores)))
    if wrong:
        problem = f"{wrong} of {len(scores)} rows have no finite score"
        raise InvalidInput(column.name, problem, "score every row that is to be evidence")
    return scores


def _closed(days: Days, rules: EvidenceRules) -> Bools:
    """A day is closed when its last moment has matured at the cut."""
    calendar, day = np.unique(days, return_inverse=True)
    ends = np.array([day_start_us(int(value) + 1, rules.zone) for value in calendar], dtype=np.int64)
    return np.asarray(ends + rules.maturity_us <= rules.cut_time_us)[day]


def _uncensored(rows: _Rows, rules: EvidenceRules) -> tuple[Bools, LeftOut]:
    """Say which rows are evidence, bool[n], and account for the others."""
    frame = rows.frame
    explored = frame["explored"].to_numpy()
    imported = frame["imported"].to_numpy()
    tails = (frame["outcome"] == Outcome.DECLINE).to_numpy() & ~explored & ~imported
    unknown = frame["is_fraud"].is_null().to_numpy()
    untold = _marked(frame, HELD) & unknown
    sides = [rows.challenger] if rows.champion is None else [rows.challenger, rows.champion]
    would_decline = mirrored(tails | explored, imported, rows.days, sides)
    asked = np.flatnonzero(would_decline & ~tails & ~explored)
    amounts, most = frame["amount_base_minor"].to_numpy(), rules.exploration_amount_max_minor
    propensities = frame["propensity"].to_numpy()
    met = np.where(explored, propensities, 1 - propensities)
    rates = exploration_rates(tails | explored, met, amounts <= most, imported, rows.days, sides)
    shown = heads(frame["transaction_id"].gather(asked).to_list(), amounts[asked], rates[asked], most)
    evident = ~tails & ~untold
    evident[asked[~shown]] = False
    above, is_fraud, failed = tails | explored, _known_frauds(frame, rules), _failed(frame)
    for outcome, which in LABEL_COINS.items():
        held = _marked(frame, held_as(outcome))
        would_hold = mirrored_below(held, above, imported, rows.days, sides)
        asked = np.flatnonzero(would_hold & ~held & evident)
        rates = told_rates(held, ~unknown, is_fraud, failed, rows.days, sides)
        shown = toss(frame["transaction_id"].gather(asked).to_list(), rates[asked], which)
        evident[asked[~shown]] = False
        above = above | held
    censored, out = int(np.sum(tails | untold)), int(np.sum(~evident))
    expected = float(rows.challenger[~evident].sum())
    return evident, LeftOut(censored=censored, mirrored=out - censored, frauds_expected=expected)


def _marked(frame: pl.DataFrame, which: pl.Expr) -> Bools:
    marked: Bools = frame.select(which).to_series().to_numpy()
    return marked


def _failed(frame: pl.DataFrame) -> Bools:
    if "failed_challenge" not in frame.columns:
        return np.zeros(len(frame), dtype=np.bool_)
    failed: Bools = frame["failed_challenge"].to_numpy()
    return failed


def _known_frauds(frame: pl.DataFrame, rules: EvidenceRules) -> Bools:
    known = (frame["label_known_us"] <= rules.cut_time_us).fill_null(False).to_numpy()
    is_fraud: Bools = frame["is_fraud"].fill_null(False).to_numpy() & known
    return is_fraud


def _judge_sides(rows: _Rows, rules: EvidenceRules, left_out: LeftOut) -> Evidence:
    """Spend both budgets and let the units vote."""
    frame, days = rows.frame, rows.days
    is_fraud = _known_frauds(frame, rules)
    amounts = frame["amount_base_minor"].to_numpy()
    surrogates = _surrogates(frame)
    challenger = alerts(rows.challenger, days, rules.alert_share)
    champion = np.zeros(len(days), dtype=np.bool_)
    if rows.champion is not None:
        champion = alerts(rows.champion, days, rules.alert_share)
    ballot = Ballot.of(units(surrogates, is_fraud, days), challenger, champion, amounts)
    return Evidence(
        sample=Sample(is_fraud, days, surrogates[:, 0], np.ones(len(days))),
        challenger_scores=rows.challenger,
        champion_scores=rows.champion,
        challenger_alerts=challenger,
        champion_alerts=champion,
        clusters=numbered(surrogates, is_fraud),
        votes=ballot.votes(),
        left_out=left_out,
        alert_share=rules.alert_share,
        slices=slices_of(frame, ballot, rules.slices),
        attacks=attacks_of(frame, is_fraud, days, surrogates[:, 0], (challenger, champion), rules.attacks),
    )


def _surrogates(rows: pl.DataFrame) -> NDArray[np.int64]:
    """Return int64[n, E], the card first, −1 where not given."""
    names = [name for name in rows.columns if name.startswith(ENTITY_PREFIX)]
    columns = [rows[name].cast(pl.Int64).fill_null(MISSING_SURROGATE).to_numpy() for name in names]
    return np.stack(columns, axis=1)
