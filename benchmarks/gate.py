"""The gate against seeded worlds: who is promoted, how soon, and what other gates would have done.

    world ─ gather ─▶ votes ─ look after every closed day ─▶ first look that would promote
      ─ gather as of that day ─ judge ─▶ verdict

Evidence and verdicts are those of `fraud.gate`, as the retrainer calls it; only the
traffic and the scores are made up. Votes once given never change, so the looks share
one gathering, except where labels arrive late. Beside it, on the same worlds, three
gates in common use:

    point estimate    average precision of the last week is higher        looked at every week
    bootstrap bound   its paired bootstrap of the last week excludes 0    looked at every week
    sign test         frauds that one side alone caught, p ≤ 5 %          looked at every day

`--quick` takes a tenth of the worlds.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from scipy.stats import binom

from benchmarks.gate_worlds import World
from benchmarks.report import Bar, Report, finish, parser
from fraud.clock import DAY_US
from fraud.evaluation.metrics import alerts
from fraud.evaluation.resampling import Sample, bootstrap
from fraud.gate import checks
from fraud.gate.checks import OutcomeCounts
from fraud.gate.eprocess import required_e
from fraud.gate.evidence import Evidence, gather
from fraud.gate.slices import SliceRules
from fraud.gate.verdict import Case, Champion, judge
from fraud.gate.votes import Votes
from fraud.settings.learning import Gate

# Scores of the worlds rank and are not calibrated; resamples only fill the report.
GATE = Gate(bootstrap_rounds=20, calibration_ratio_max=100.0)
SLICES = SliceRules(amounts=(10_000, 25_000))
YOUNG_US, OLD_US = 5 * DAY_US, 40 * DAY_US
TRAFFIC = OutcomeCounts(10_000, 300, 0)
WEEK = 7
P_VALUE = 0.05
EQUAL_MAX, WORSE_MAX = 0.05, 0.01
ATTEMPT_DAYS, HALF_YEAR = 13, 182
"""A week held back, and as many days as the gate lets a challenger wait by default."""
EQUAL = World(days=42, rows_a_day=200, fraud_share=0.03, alert_share=0.04)
ALIKE = replace(EQUAL, days=140, shared=0.97)
"""Models as alike as those of one recipe a month apart: few frauds tell them apart."""
DECLINED = replace(
    EQUAL, days=84, rows_a_day=400, fraud_share=0.06, alert_share=0.05, declined=True, explored_share=0.05
)
LOOKED_EVERY = 3
"""Days between looks where every look gathers anew."""


@dataclass(frozen=True, slots=True)
class Promotion:
    """When a gate first promoted: after how many days and frauds."""

    day: int
    frauds: int


@dataclass(frozen=True, slots=True)
class Run:
    """A kind of world, how many of them, and the most that may be promoted (None: no bar)."""

    name: str
    world: World
    worlds: int
    bar: float | None
    age_us: int = YOUNG_US
    first: Callable[[World, int], Promotion | None] | None = None
    others: bool = True


def main() -> int:
    """Run every kind of world, report, judge the bars."""
    given = parser(__doc__.partition("\n")[0]).parse_args()
    report = Report("gate: share of challengers promoted, looking after every closed day")
    for run in runs():
        worlds = max(4, run.worlds // 10) if given.quick else run.worlds
        play(run, worlds, report)
    report.notes += [
        f"the gate at E ≥ {required_e(GATE.e_value, 1, 1):g} (one challenger, first attempt)",
        "the other gates on at most 100 worlds a row",
        "frauds: median of those matured when the challenger was promoted",
        "an equal challenger past the champion's age is meant to be promoted, by refresh: no bar",
    ]
    return finish(report, given)


def runs() -> list[Run]:
    """Return what is played."""
    return [
        Run("equal", EQUAL, 400, EQUAL_MAX),
        Run("worse (noise 1.1)", _noisy(1.1), 400, WORSE_MAX),
        Run(
            "worse (noise 1.1), champion old",
            replace(ALIKE, challenger_noise=1.1),
            100,
            WORSE_MAX,
            OLD_US,
            others=False,
        ),
        Run("worse (noise 1.3)", _noisy(1.3), 200, WORSE_MAX),
        Run("better (noise 0.8)", _noisy(0.8), 100, None),
        Run("better (noise 0.6)", _noisy(0.6), 100, None),
        Run("better (noise 0.4)", _noisy(0.4), 100, None),
        Run("equal, champion old", ALIKE, 40, None, OLD_US, others=False),
        Run("equal, rings", replace(EQUAL, fraud_share=0.015, rings_a_day=0.3), 300, EQUAL_MAX),
        Run(
            "equal, challenger's alerts labelled sooner",
            replace(EQUAL, soon="challenger"),
            80,
            EQUAL_MAX,
            first=looked_again,
        ),
        Run(
            "equal, champion's alerts labelled sooner",
            replace(EQUAL, soon="champion"),
            80,
            EQUAL_MAX,
            first=looked_again,
        ),
        Run("equal, alerts declined, 5 % explored", DECLINED, 200, EQUAL_MAX),
        Run("better (noise 0.5), the same", replace(DECLINED, challenger_noise=0.5), 50, None),
        Run(
            "equal, an attempt a day for half a year",
            replace(EQUAL, days=HALF_YEAR + ATTEMPT_DAYS, rows_a_day=60, fraud_share=0.1, alert_share=0.1),
            60,
            EQUAL_MAX,
            first=attempted_daily,
            others=False,
        ),
    ]


def _noisy(noise: float) -> World:
    return replace(EQUAL, challenger_noise=noise)


def play(run: Run, worlds: int, report: Report) -> None:
    """Play one kind of world by the gate and by the others."""
    first = run.first or looked_daily
    found = [first(replace(run.world, seed=seed), run.age_us) for seed in range(worlds)]
    share = _row(report, run.name, "this gate", found)
    if run.bar is not None:
        report.bars.append(Bar(f"{run.name}: promoted", share, run.bar, at_least=False))
    if not run.others:
        return
    rivals = [others(replace(run.world, seed=seed)) for seed in range(min(100, worlds))]
    for name in rivals[0]:
        _row(report, run.name, name, [rival[name] for rival in rivals])


def _row(report: Report, world: str, gate: str, found: list[Promotion | None]) -> float:
    promoted = [each for each in found if each is not None]
    share = len(promoted) / len(found)
    early = sum(each.day < WEEK for each in promoted) / len(found)
    report.rows.append(
        {
            "world": world,
            "gate": gate,
            "worlds": len(found),
            "promoted %": round(100 * share, 1),
            "within a week %": round(100 * early, 1),
            "frauds": int(np.median([each.frauds for each in promoted])) if promoted else None,
        }
    )
    return share


def looked_daily(world: World, age_us: int) -> Promotion | None:
    """Look after every closed day; labels are known by then."""
    frame = world.frame()
    whole = gather(frame, world.rules())
    for day in np.unique(whole.votes.days).tolist():
        if may_pass(whole.votes.until(day), age_us):
            evidence = gather(frame, replace(world.rules(day), slices=SLICES))
            if promoted(evidence, age_us):
                return Promotion(day, evidence.frauds)
    return None


def looked_again(world: World, age_us: int) -> Promotion | None:
    """Gather anew at every look: the labels of a day go on arriving after it has closed."""
    frame = world.frame()
    for day in range(LOOKED_EVERY - 1, world.days, LOOKED_EVERY):
        evidence = gather(frame, replace(world.rules(day), slices=SLICES))
        if may_pass(evidence.votes, age_us) and promoted(evidence, age_us):
            return Promotion(day, evidence.frauds)
    return None


def attempted_daily(world: World, age_us: int) -> Promotion | None:
    """Freeze another equal challenger every day; each is judged on a week, and on the days it may wait."""
    frame = world.frame()
    rng = np.random.default_rng([world.seed, 1])
    day = frame["event_time_us"].to_numpy() // DAY_US
    base = world.noiseless(frame["is_fraud"].to_numpy())
    family = rng.normal(size=len(frame))
    for attempt in range(1, HALF_YEAR + 1):
        start = attempt - 1
        here = (day >= start) & (day < start + ATTEMPT_DAYS)
        noise = np.sqrt(0.5) * (family[here] + rng.normal(size=int(here.sum())))
        scores = 1 / (1 + np.exp(-(base[here] + world.champion_noise * noise)))
        part = frame.filter(pl.Series(here)).with_columns(challenger_score=pl.Series(scores))
        votes = gather(part, world.rules(start + ATTEMPT_DAYS - 1)).votes
        for last in range(start + WEEK - 1, start + ATTEMPT_DAYS):
            if may_pass(votes.until(last), age_us, attempt):
                evidence = gather(part, world.rules(last))
                if promoted(evidence, age_us, attempt):
                    return Promotion(last, evidence.frauds)
    return None


def may_pass(votes: Votes, age_us: int, attempt: int = 1) -> bool:
    """Tell by the gate's own checks whether a way to promote is open, before the rest is judged."""
    required = required_e(GATE.e_value, 1, attempt)
    if checks.superiority(votes, required).passed and checks.value_difference(votes).passed:
        return True
    old = bool(checks.champion_age(age_us, GATE).passed)
    return old and bool(checks.refresh(votes, GATE, required).passed)


def promoted(evidence: Evidence, age_us: int, attempt: int = 1) -> bool:
    """Ask the gate."""
    case = Case(
        evidence=evidence,
        champion=Champion(age_us, TRAFFIC),
        challengers=1,
        attempt=attempt,
        bundle_bytes=100_000,
        self_test_ok=True,
        self_test_text="",
        traffic=TRAFFIC,
    )
    return judge(case, GATE).outcome == "PROMOTE"


def others(world: World) -> dict[str, Promotion | None]:
    """Return when gates in common use would have promoted.

    They take what is labelled, without declines that nobody explored, and labels as
    they arrive: where a side's alerts are labelled sooner, a week is judged at its end.
    """
    frame = world.frame().filter(pl.col("label_known_us").is_not_null() | (pl.col("outcome") != 4))
    day = (frame["event_time_us"].to_numpy() // DAY_US).astype(np.int32)
    sides = {name: frame[f"{name}_score"].to_numpy() for name in ("challenger", "champion")}
    known_day = frame["label_known_us"].fill_null(0).to_numpy() // DAY_US
    truth = frame["is_fraud"].to_numpy()
    found: dict[str, Promotion | None] = {"point estimate": None, "bootstrap bound": None, "sign test": None}
    for last in range(WEEK - 1, world.days, WEEK):
        week = (day > last - WEEK) & (day <= last)
        is_fraud = truth[week] & (known_day[week] <= last)
        sample = Sample(is_fraud, day[week], np.arange(len(is_fraud)), np.ones(len(is_fraud)))
        scores = {name: values[week] for name, values in sides.items()}
        _, difference = bootstrap(sample, scores, world.alert_share, 60, world.seed)
        assert difference is not None, "two sides differ"
        frauds = int(truth[week].sum())
        if difference.average_precision.value > 0:
            found["point estimate"] = found["point estimate"] or Promotion(last, frauds)
        if difference.average_precision.low > 0:
            found["bootstrap bound"] = found["bootstrap bound"] or Promotion(last, frauds)
    caught = {name: alerts(values, day, world.alert_share) for name, values in sides.items()}
    found["sign test"] = _sign_test(day, known_day, truth, caught["challenger"], caught["champion"])
    return found


def _sign_test(
    day: np.ndarray, known_day: np.ndarray, truth: np.ndarray, mine: np.ndarray, theirs: np.ndarray
) -> Promotion | None:
    for last in range(int(day.max()) + 1):
        seen = truth & (day <= last) & (known_day <= last)
        wins, losses = int(np.sum(mine[seen] & ~theirs[seen])), int(np.sum(theirs[seen] & ~mine[seen]))
        if wins + losses >= 10 and binom.sf(wins - 1, wins + losses, 0.5) <= P_VALUE:
            return Promotion(last, int(seen.sum()))
    return None


if __name__ == "__main__":
    raise SystemExit(main())
