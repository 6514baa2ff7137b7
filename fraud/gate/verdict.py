"""The gate: a case goes in, a verdict comes out, with a row for every bound.

    hard guards (self-test, size, scoring time, shift of outcomes and of
      the risk score, sentinels, those that plug in)       fail → REJECT
    too few matured frauds                                       → INCONCLUSIVE
    calibration, overall and in the top band; slices       fail → REJECT
    no champion      floors reached → PROMOTE, clearly missed → REJECT, else INCONCLUSIVE
    a champion       superiority → PROMOTE; else refresh → PROMOTE;
                     else demonstrably worse → REJECT;
                     else the champion is tainted and floors reached → PROMOTE;
                     else better on a confirmed attack → PROMOTE, where a person approves; else INCONCLUSIVE

A tainted champion serves only for want of a clean one, so what follows it has to do no harm, not to be
better.

Every check is made whatever the others say, so the report is always complete.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from fraud.errors import InvalidInput
from fraud.evaluation.resampling import Figures, bootstrap
from fraud.gate import checks
from fraud.gate.checks import Check, OutcomeCounts
from fraud.gate.eprocess import more_evidence_needed, required_e
from fraud.gate.evidence import Evidence
from fraud.gate.sentinels import SentinelCount, sentinel
from fraud.gate.volume import RiskCount, risk_now, risk_share, scoring_ratio
from fraud.gate.votes import Votes
from fraud.settings.learning import Gate

Answer = Literal["PROMOTE", "REJECT", "INCONCLUSIVE"]
Way = Literal["floors", "superiority", "refresh", "emergency", ""]


@dataclass(frozen=True, slots=True)
class Champion:
    """The champion a challenger is held against; age in µs.

    `traffic` is recent traffic by its own thresholds, `promised` the traffic it
    was promoted for (None: not known any more). `tainted`: it learned from data
    that is excluded, and serves until a clean version is promoted.
    """

    age_us: int
    traffic: OutcomeCounts
    promised: OutcomeCounts | None = None
    tainted: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """Everything the gate looks at. `champion` is None for a model's first version.

    `challengers` (K >= 1) are those judged together, `attempt` (j >= 1) counts
    attempts against the same champion; `bundle_bytes` are those that a scorer
    keeps; `sentinels` holds a count for each pattern of the model; `seed` is that
    of the bootstrap. `unadjusted` is what the champion's thresholds make of the
    challenger's scores, `risk` counts a row for each cut-off of the clients on
    traffic of the time the challenger was made, `risk_now` on that of now,
    `scoring_ratio` is the time to score a batch ÷ the champion's; None,
    () where nobody measured. `extra_checks` are further hard guards, `notes`
    further information, each under a name of its own.
    """

    evidence: Evidence
    champion: Champion | None
    challengers: int
    attempt: int
    bundle_bytes: int
    self_test_ok: bool
    self_test_text: str
    traffic: OutcomeCounts
    seed: int = 7
    sentinels: tuple[SentinelCount, ...] = ()
    unadjusted: OutcomeCounts | None = None
    risk: tuple[RiskCount, ...] = ()
    risk_now: tuple[RiskCount, ...] = ()
    scoring_ratio: float | None = None
    extra_checks: tuple[Check, ...] = ()
    notes: tuple[Check, ...] = ()

    def __post_init__(self) -> None:
        if self.challengers < 1 or self.attempt < 1:
            given = f"{self.challengers} and {self.attempt}"
            raise InvalidInput("challengers, attempt", f"are {given}", "count from 1")
        if self.champion is not None and self.evidence.champion_scores is None:
            raise InvalidInput("champion_score", "is null in every row", "score the evidence by the champion")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's answer, the way it was reached ("" unless promoted), and a row per check."""

    outcome: Answer
    way: Way
    checks: tuple[Check, ...]
    reason: str

    def check(self, name: str) -> Check:
        """Return one row by name; KeyError when there is none."""
        for row in self.checks:
            if row.name == name:
                return row
        raise KeyError(name)

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as JSON values."""
        return {**asdict(self), "checks": [asdict(row) for row in self.checks]}


def judge(case: Case, gate: Gate) -> Verdict:
    """Return the verdict on one challenger. Pure: the same case, the same verdict."""
    guards = _guards(case, gate)
    enough = checks.evidence_frauds(case.evidence, gate)
    fitness = _fitness(case, gate)
    sides, difference = _bootstrap(case, gate)
    rows = [*guards, enough, *fitness]
    ways = [] if case.champion is None else _ways(case, case.champion, gate)
    judged_alone = case.champion is None or case.champion.tainted
    floors = _floors(case.evidence.votes, sides, gate) if judged_alone else []
    rows += [*floors, *ways, *_information(case, gate, sides, difference)]

    failed = [row.reason for row in guards if row.passed is False]
    if failed:
        return Verdict("REJECT", "", tuple(rows), "; ".join(failed))
    if not enough.passed:
        return Verdict("INCONCLUSIVE", "", tuple(rows), enough.reason)
    unfit = [f"{row.name}: {row.reason}" for row in fitness if row.passed is False]
    if unfit:
        return Verdict("REJECT", "", tuple(rows), "; ".join(unfit))
    if case.champion is None:
        return _judge_first(floors, rows)
    return _judge_against(case, gate, {row.name: row for row in ways}, floors, rows)


def _guards(case: Case, gate: Gate) -> list[Check]:
    mine, theirs = case.traffic, None if case.champion is None else case.champion.traffic
    then = None if case.champion is None else case.champion.promised
    alerts = None if theirs is None else (theirs.alerts, theirs.rows)
    declines = None if theirs is None else (theirs.declines, theirs.rows)
    alerts_then = None if then is None else (then.alerts, then.rows)
    declines_then = None if then is None else (then.declines, then.rows)
    return [
        checks.self_test(case.self_test_ok, case.self_test_text),
        checks.bundle_bytes(case.bundle_bytes, gate),
        checks.alerts(mine, theirs, gate),
        checks.outcome_shift(
            "alert_shift", (mine.alerts, mine.rows), alerts, gate.alert_shift_max, alerts_then
        ),
        checks.outcome_shift(
            "decline_shift", (mine.declines, mine.rows), declines, gate.alert_shift_max, declines_then
        ),
        *_unadjusted(case, gate),
        *(risk_share(count, gate) for count in case.risk),
        scoring_ratio(case.scoring_ratio, gate),
        *(sentinel(count) for count in case.sentinels),
        *case.extra_checks,
    ]


def _unadjusted(case: Case, gate: Gate) -> list[Check]:
    """Outcomes if somebody kept the champion's thresholds; a bound only where one is set."""
    mine, champion = case.unadjusted, case.champion
    if mine is None or champion is None:
        return []
    theirs, most = champion.traffic, gate.unadjusted_shift_max
    counts = {
        "alert": (mine.alerts, theirs.alerts),
        "decline": (mine.declines, theirs.declines),
    }
    return [
        checks.outcome_shift(f"{noun}_shift_unadjusted", (count, mine.rows), (former, theirs.rows), most)
        for noun, (count, former) in counts.items()
    ]


def _fitness(case: Case, gate: Gate) -> list[Check]:
    """What must hold on the evidence whatever the ways say, once there is enough of it."""
    evidence = case.evidence
    rows = [checks.calibration(evidence, gate), checks.calibration_top(evidence, gate)]
    if case.champion is not None:
        tested = sum(part.tested for part in evidence.slices)
        rows += [checks.slice_recall(part, tested, gate) for part in evidence.slices]
    return rows


def _bootstrap(case: Case, gate: Gate) -> tuple[dict[str, Figures], Figures | None]:
    evidence = case.evidence
    sides = {"challenger": evidence.challenger_scores}
    if evidence.champion_scores is not None:
        sides["champion"] = evidence.champion_scores
    return bootstrap(evidence.sample, sides, evidence.alert_share, gate.bootstrap_rounds, case.seed)


def _information(
    case: Case, gate: Gate, sides: dict[str, Figures], difference: Figures | None
) -> list[Check]:
    rows = [row for side, given in sides.items() for row in checks.figures(side, given)]
    if difference is not None:
        rows += checks.figures("difference", difference)
    if case.champion is not None:
        rows.append(checks.win_share(case.evidence.votes))
    if case.champion is not None:
        rows += [risk_now(count, gate) for count in case.risk_now]
    return [*rows, checks.left_out(case.evidence), *case.notes]


def _floors(votes: Votes, sides: dict[str, Figures], gate: Gate) -> list[Check]:
    given = sides["challenger"]
    precision, recall = given.average_precision, given.recall
    return [
        checks.floor("floor_average_precision", "average precision", precision, gate.floor_average_precision),
        checks.floor("floor_recall", "recall within the alert budget", recall, gate.floor_recall),
        checks.floor_attacks(votes, gate),
    ]


def _ways(case: Case, champion: Champion, gate: Gate) -> list[Check]:
    votes, attacks = case.evidence.votes, case.evidence.attacks
    required = required_e(gate.e_value, case.challengers, case.attempt)
    return [
        checks.superiority(votes, required),
        checks.value_difference(votes),
        checks.champion_age(champion.age_us, gate),
        checks.refresh(votes, gate, required),
        checks.newest_attacks(votes, gate),
        checks.inferiority(votes, required),
        *(checks.attack(part, required * len(attacks)) for part in attacks),
    ]


def _judge_first(floors: list[Check], rows: list[Check]) -> Verdict:
    missed = [row for row in floors if not row.passed]
    reason = "; ".join(row.reason for row in missed or floors)
    if not missed:
        return Verdict("PROMOTE", "floors", tuple(rows), f"first version: {reason}")
    if any(row.name == "floor_attacks" for row in missed):
        return Verdict("INCONCLUSIVE", "", tuple(rows), reason)
    clearly = any(row.high is None or row.bound is None or row.high < row.bound for row in missed)
    if clearly:
        return Verdict("REJECT", "", tuple(rows), reason)
    return Verdict("INCONCLUSIVE", "", tuple(rows), f"{reason}, but the interval reaches it")


def _judge_against(
    case: Case, gate: Gate, way: dict[str, Check], floors: list[Check], rows: list[Check]
) -> Verdict:
    """Try the ways one after the other; `floors` are those of a tainted champion's successor, else none."""
    if way["superiority"].passed and way["value_difference"].passed:
        reason = f"superiority: {way['superiority'].reason}; {way['value_difference'].reason}"
        return Verdict("PROMOTE", "superiority", tuple(rows), reason)
    if all(way[name].passed for name in ("champion_age", "refresh", "newest_attacks")):
        reason = f"refresh: {way['refresh'].reason}; {way['champion_age'].reason}"
        return Verdict("PROMOTE", "refresh", tuple(rows), reason)
    if not way["inferiority"].passed:
        return Verdict("REJECT", "", tuple(rows), way["inferiority"].reason)
    missed = [row for row in floors if not row.passed]
    if floors and not missed:
        reason = "; ".join(row.reason for row in floors)
        return Verdict("PROMOTE", "floors", tuple(rows), f"in place of a tainted champion: {reason}")
    better = [way[part.name] for part in case.evidence.attacks if way[part.name].passed]
    if better:
        return _judge_emergency(better, gate, rows)
    reasons = [*(row.reason for row in missed), _undecided(case, gate, way)]
    return Verdict("INCONCLUSIVE", "", tuple(rows), "; ".join(reasons))


def _judge_emergency(better: list[Check], gate: Gate, rows: list[Check]) -> Verdict:
    """A confirmed attack: the gate says what the evidence is, a person decides."""
    reason = "; ".join(f"{row.name}: {row.reason}" for row in better)
    if gate.mode == "approval":
        return Verdict("PROMOTE", "emergency", tuple(rows), f"emergency: {reason}")
    told = f"emergency evidence reached, so a person may promote it (fraud promote --override); {reason}"
    return Verdict("INCONCLUSIVE", "", tuple(rows), told)


def _undecided(case: Case, gate: Gate, way: dict[str, Check]) -> str:
    """Say what is missing, and when to expect it."""
    votes, days = case.evidence.votes, case.evidence.day_count
    reason = way["superiority"].reason
    if way["superiority"].passed:
        reason += f"; but {way['value_difference'].reason}"
    else:
        required = required_e(gate.e_value, case.challengers, case.attempt)
        times = more_evidence_needed(votes.wins, votes.losses, math.log(required))
        if times is None:
            reason += ", and no difference that more days would show"
        else:
            reason += f"; at this pace expect it in {math.ceil((times - 1) * days)} days"
    if not way["champion_age"].passed:
        return f"{reason}; {way['champion_age'].reason}"
    missing = [way[name].reason for name in ("refresh", "newest_attacks") if not way[name].passed]
    return "; ".join([reason, *missing])
