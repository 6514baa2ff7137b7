"""A verdict for every path, each with its reasons, and the report as JSON."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from fraud.clock import DAY_US
from fraud.errors import InvalidInput
from fraud.gate import checks
from fraud.gate.checks import Check, OutcomeCounts
from fraud.gate.evidence import Evidence, gather
from fraud.gate.verdict import Case, Champion, Verdict, judge
from fraud.records import Outcome
from fraud.settings.learning import Gate
from tests.gate.worlds import World, rules

GATE = Gate(bootstrap_rounds=20, calibration_ratio_max=50.0)
EVEN = World(seed=3, days=20)
FRESH, OLD = 5 * DAY_US, 40 * DAY_US
USUAL = OutcomeCounts(rows=10_000, alerts=100, declines=20)


def evidence_of(world: World, **scores: pl.Expr) -> Evidence:
    return gather(world.frame().with_columns(**scores), rules())


def case(evidence: Evidence, age_us: int | None = FRESH, **changes: object) -> Case:
    given: dict[str, object] = {
        "evidence": evidence,
        "champion": None if age_us is None else Champion(age_us, USUAL),
        "challengers": 1,
        "attempt": 1,
        "bundle_bytes": 100_000,
        "self_test_ok": True,
        "self_test_text": "64 rows, bit for bit",
        "traffic": USUAL,
    }
    return Case(**{**given, **changes})  # type: ignore[arg-type]


SAME = evidence_of(EVEN, challenger_score=pl.col("champion_score"))
BETTER = evidence_of(replace(EVEN, challenger_noise=0.5))
WORSE = evidence_of(replace(EVEN, champion_noise=0.5))
FIRST = evidence_of(EVEN, champion_score=pl.lit(None, pl.Float64))


def test_a_better_challenger_is_promoted_by_superiority() -> None:
    verdict = judge(case(BETTER), GATE)
    assert (verdict.outcome, verdict.way) == ("PROMOTE", "superiority")
    assert verdict.check("superiority").passed
    assert "E " in verdict.reason


def test_superiority_in_count_does_not_promote_when_it_loses_value() -> None:
    votes = BETTER.votes
    lost = np.where(votes.champion & ~votes.challenger, -10_000_000, votes.gained_minor)
    verdict = judge(case(replace(BETTER, votes=replace(votes, gained_minor=lost))), GATE)
    assert (verdict.outcome, verdict.way) == ("INCONCLUSIVE", "")
    assert verdict.check("superiority").passed
    assert verdict.check("value_difference").passed is False
    assert "less fraud value" in verdict.reason


def test_an_equal_challenger_refreshes_a_champion_past_its_age() -> None:
    verdict = judge(case(SAME, OLD), GATE)
    assert (verdict.outcome, verdict.way) == ("PROMOTE", "refresh")


def test_an_equal_challenger_waits_while_the_champion_is_young() -> None:
    verdict = judge(case(SAME, FRESH), GATE)
    assert verdict.outcome == "INCONCLUSIVE"
    assert verdict.check("refresh").passed
    assert "not due before 28" in verdict.reason


def test_an_equal_challenger_that_misses_the_newest_attacks_does_not_refresh() -> None:
    challenger = SAME.votes.challenger.copy()
    challenger[np.flatnonzero(challenger)[-1]] = False
    one_less = case(replace(SAME, votes=replace(SAME.votes, challenger=challenger)), OLD)
    strict = GATE.model_copy(update={"refresh_margin": 0.2})
    verdict = judge(one_less, strict)
    assert verdict.outcome == "INCONCLUSIVE"
    assert verdict.check("newest_attacks").passed is False
    lenient = judge(one_less, strict.model_copy(update={"newest_lost_max": 1}))
    assert (lenient.outcome, lenient.way) == ("PROMOTE", "refresh")


def test_the_newest_attacks_are_asked_for_after_a_quiet_spell_too() -> None:
    """Evidence has 20 days here; attacks were first seen on its first six."""
    seen = SAME.votes.until(5)
    missed = replace(seen, challenger=seen.days < 4, champion=np.ones(len(seen), np.bool_))
    found = checks.newest_attacks(missed, GATE)
    newest = int(np.sum(seen.days >= 4))
    assert (found.passed, found.value) == (False, -newest)
    assert checks.newest_attacks(SAME.votes.until(-1), GATE).passed, "no attack, no veto"


def test_a_demonstrably_worse_challenger_is_rejected() -> None:
    verdict = judge(case(WORSE, OLD), GATE)
    assert verdict.outcome == "REJECT"
    assert "demonstrably worse" in verdict.reason


def test_too_few_frauds_say_how_many_are_missing_and_when_to_expect_them() -> None:
    evidence = evidence_of(replace(EVEN, days=3))
    verdict = judge(case(evidence, OLD), GATE)
    missing = 50 - evidence.frauds
    days = -(-missing * 3 // evidence.frauds)
    assert verdict.outcome == "INCONCLUSIVE"
    assert f"{missing} frauds are missing" in verdict.reason
    assert f"expect them in {days} days" in verdict.reason


def test_frauds_that_no_label_can_reach_are_called_censored() -> None:
    evidence = evidence_of(replace(EVEN, days=4, decline_share=0.04))
    left_out = replace(evidence.left_out, frauds_expected=60.0)
    verdict = judge(case(replace(evidence, left_out=left_out), OLD), GATE)
    assert verdict.outcome == "INCONCLUSIVE"
    assert "censored" in verdict.reason
    assert "raise exploration" in verdict.reason


def test_no_evidence_at_all_is_inconclusive() -> None:
    empty = gather(EVEN.frame().clear(), rules())
    verdict = judge(case(empty), GATE)
    assert verdict.outcome == "INCONCLUSIVE"
    assert "no rate to expect them by" in verdict.reason


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"self_test_ok": False, "self_test_text": "row 3 differs"}, "self_test"),
        ({"bundle_bytes": GATE.bundle_bytes_max + 1}, "bundle_bytes"),
        ({"traffic": replace(USUAL, alerts=2_501)}, "alerts"),
        ({"traffic": replace(USUAL, alerts=400)}, "alert_shift"),
        ({"traffic": replace(USUAL, alerts=20)}, "alert_shift"),
        ({"traffic": replace(USUAL, declines=100)}, "decline_shift"),
    ],
)
@pytest.mark.parametrize("evidence", [BETTER, evidence_of(replace(EVEN, days=1))])
def test_a_failing_guard_rejects_whatever_the_evidence(
    changes: dict[str, Any], name: str, evidence: Evidence
) -> None:
    verdict = judge(case(evidence, **changes), GATE)
    assert (verdict.outcome, verdict.way) == ("REJECT", "")
    assert verdict.check(name).passed is False
    assert verdict.check(name).reason in verdict.reason


def test_bounds_themselves_still_pass() -> None:
    at_most: dict[str, Any] = {"bundle_bytes": GATE.bundle_bytes_max, "traffic": replace(USUAL, alerts=300)}
    assert judge(case(BETTER, **at_most), GATE).outcome == "PROMOTE"
    just_old = judge(case(SAME, GATE.champion_age), GATE)
    assert just_old.way == "refresh"


def test_scores_that_expect_far_too_many_frauds_are_rejected() -> None:
    strict = GATE.model_copy(update={"calibration_ratio_max": 2.0})
    frauds = BETTER.frauds / len(BETTER.challenger_scores)
    told = replace(BETTER, challenger_scores=np.full_like(BETTER.challenger_scores, 3 * frauds))
    verdict = judge(case(told), strict)
    assert verdict.outcome == "REJECT"
    assert "frauds, " in verdict.check("calibration").reason
    fair = replace(BETTER, challenger_scores=np.full_like(BETTER.challenger_scores, 2.05 * frauds))
    assert judge(case(fair), strict).check("calibration").passed, "its interval still reaches the bound"


def test_a_ring_that_nobody_foresaw_is_one_surprise_to_the_calibration() -> None:
    strict = GATE.model_copy(update={"calibration_ratio_max": 2.0})
    frauds = BETTER.frauds / len(BETTER.challenger_scores)
    told = replace(BETTER, challenger_scores=np.full_like(BETTER.challenger_scores, frauds / 3))
    assert not judge(case(told), strict).check("calibration").passed
    in_ring = told.sample.is_fraud & (np.cumsum(told.sample.is_fraud) > 0.3 * told.frauds)
    ring = replace(told, clusters=np.where(in_ring, 10**6, told.clusters))
    found = judge(case(ring), strict).check("calibration")
    assert found.passed
    assert f"{len(np.unique(ring.clusters)) - 1} attacks" in found.reason


def test_a_first_version_is_promoted_over_the_floors() -> None:
    verdict = judge(case(FIRST, None), GATE)
    assert (verdict.outcome, verdict.way) == ("PROMOTE", "floors")
    assert verdict.check("floor_recall").passed
    assert verdict.check("alert_shift").passed is None


def test_a_first_version_that_alerts_on_much_of_traffic_is_rejected() -> None:
    most = int(GATE.alerts_max * USUAL.rows)
    assert judge(case(FIRST, None, traffic=replace(USUAL, alerts=most)), GATE).outcome == "PROMOTE"
    verdict = judge(case(FIRST, None, traffic=replace(USUAL, alerts=most + 1)), GATE)
    assert (verdict.outcome, verdict.check("alerts").passed) == ("REJECT", False)
    assert "25.01% alerts" in verdict.reason


def test_jumps_that_each_are_allowed_do_not_add_up() -> None:
    """Each champion alerts on more than twice as much as the last one, until it is a quarter of traffic."""
    counts, champion = [], USUAL
    for _ in range(6):
        louder = replace(champion, alerts=champion.alerts * 5 // 2)
        verdict = judge(case(BETTER, traffic=louder, champion=Champion(age_us=FRESH, traffic=champion)), GATE)
        assert verdict.check("alert_shift").passed
        if verdict.outcome != "PROMOTE":
            break
        champion = louder
        counts.append(louder.alerts)
    assert verdict.check("alerts").passed is False
    assert counts == [250, 625, 1_562]


def test_in_a_flood_a_version_that_alerts_on_less_than_the_champion_passes() -> None:
    flooded = replace(USUAL, alerts=4_000)
    calmer = case(BETTER, traffic=replace(USUAL, alerts=3_900), champion=Champion(FRESH, flooded))
    assert judge(calmer, GATE).outcome == "PROMOTE"
    louder = case(BETTER, traffic=replace(USUAL, alerts=4_001), champion=Champion(FRESH, flooded))
    verdict = judge(louder, GATE)
    assert (verdict.outcome, verdict.check("alerts").passed) == ("REJECT", False)


def test_a_first_version_is_not_promoted_on_one_attack_however_many_frauds_it_has() -> None:
    frame = EVEN.frame().with_columns(champion_score=pl.lit(None, pl.Float64))
    one_ring = frame.with_columns(entity_device=pl.when("is_fraud").then(7).otherwise("entity_device"))
    verdict = judge(case(gather(one_ring, rules()), None), GATE)
    assert verdict.check("evidence_frauds").passed
    assert verdict.check("floor_recall").passed
    assert verdict.outcome == "INCONCLUSIVE"
    assert "1 attacks in the evidence, 5 are needed" in verdict.reason


def test_a_first_version_clearly_below_a_floor_is_rejected() -> None:
    high = GATE.model_copy(update={"floor_average_precision": 0.99})
    verdict = judge(case(FIRST, None), high)
    assert verdict.outcome == "REJECT"
    assert "below the floor of 0.990" in verdict.reason


def test_a_first_version_just_below_a_floor_waits_for_more_evidence() -> None:
    value = judge(case(FIRST, None), GATE).check("floor_recall").value
    assert value is not None
    near = GATE.model_copy(update={"floor_recall": value + 0.001})
    assert judge(case(FIRST, None), near).outcome == "INCONCLUSIVE"


def test_a_first_version_with_too_few_frauds_waits() -> None:
    evidence = evidence_of(replace(EVEN, days=2), champion_score=pl.lit(None, pl.Float64))
    assert judge(case(evidence, None), GATE).outcome == "INCONCLUSIVE"


def test_the_successor_of_a_tainted_champion_has_to_do_no_harm_not_to_be_better() -> None:
    tainted = Champion(FRESH, USUAL, tainted=True)
    assert judge(case(SAME), GATE).outcome == "INCONCLUSIVE"
    verdict = judge(case(SAME, champion=tainted), GATE)
    assert (verdict.outcome, verdict.way) == ("PROMOTE", "floors")
    assert verdict.reason.startswith("in place of a tainted champion: average precision")
    assert judge(case(BETTER, champion=tainted), GATE).way == "superiority"
    assert judge(case(WORSE, champion=tainted), GATE).outcome == "REJECT"
    assert judge(case(SAME, champion=tainted, traffic=replace(USUAL, alerts=400)), GATE).outcome == "REJECT"


def test_the_successor_of_a_tainted_champion_that_misses_a_floor_waits_and_is_told() -> None:
    high = GATE.model_copy(update={"floor_average_precision": 0.99})
    verdict = judge(case(SAME, champion=Champion(FRESH, USUAL, tainted=True)), high)
    assert (verdict.outcome, verdict.way) == ("INCONCLUSIVE", "")
    assert "below the floor of 0.990" in verdict.reason
    assert "at this pace" in verdict.reason or "no difference" in verdict.reason


def test_more_challengers_and_attempts_raise_the_bound() -> None:
    bound = judge(case(BETTER, challengers=3, attempt=4), GATE).check("superiority").bound
    assert bound == 20 * 3 * 4 * 5


def test_an_undecided_challenger_is_told_when_to_expect_a_decision() -> None:
    votes = replace(
        BETTER.votes,
        days=np.arange(9, dtype=np.int32),
        challenger=np.arange(9) < 7,
        champion=np.arange(9) >= 7,
        amount_minor=np.full(9, 100),
        gained_minor=np.repeat([100, -100], [7, 2]),
    )
    verdict = judge(case(replace(BETTER, votes=votes)), GATE)
    assert verdict.outcome == "INCONCLUSIVE"
    assert "at this pace expect it in" in verdict.reason


@pytest.mark.parametrize("evidence", [SAME, BETTER, WORSE, FIRST, gather(EVEN.frame().clear(), rules())])
def test_a_verdict_survives_json_exactly(evidence: Evidence) -> None:
    verdict = judge(case(evidence, None if evidence is FIRST else OLD), GATE)
    told = verdict.to_dict()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert list(told) == ["outcome", "way", "checks", "reason"]
    assert [Check(**row) for row in told["checks"]] == list(verdict.checks)


def test_every_check_says_why_and_has_a_name_of_its_own() -> None:
    for given, age in ((BETTER, OLD), (FIRST, None)):
        rows = judge(case(given, age), GATE).checks
        assert len({row.name for row in rows}) == len(rows)
        assert all(row.reason for row in rows)
        assert all(row.bound is not None for row in rows if row.passed is not None)
    assert {"average_precision_difference", "recall_challenger", "win_share"} <= {
        row.name for row in judge(case(BETTER), GATE).checks
    }


def test_the_same_case_gives_the_same_verdict() -> None:
    assert judge(case(BETTER), GATE) == judge(case(BETTER), GATE)


def test_a_case_that_cannot_be_is_refused() -> None:
    with pytest.raises(InvalidInput, match="count from 1"):
        case(SAME, attempt=0)
    with pytest.raises(InvalidInput, match="champion_score"):
        case(FIRST, OLD)


def test_outcomes_are_counted_as_alerts_and_declines() -> None:
    outcomes = np.array([Outcome.APPROVE, Outcome.REVIEW, Outcome.DECLINE, Outcome.CHALLENGE])
    assert OutcomeCounts.of(outcomes) == OutcomeCounts(rows=4, alerts=3, declines=1)


def test_a_missing_check_is_a_key_error() -> None:
    verdict = Verdict("REJECT", "", (Check("a", 1.0, None, None, None, True, "why"),), "why")
    assert verdict.check("a").value == 1.0
    with pytest.raises(KeyError):
        verdict.check("b")


def test_a_champion_blinded_by_an_attack_is_no_measure_of_how_much_to_alert() -> None:
    blinded = replace(USUAL, alerts=10)
    recovered = case(SAME, traffic=USUAL, champion=Champion(age_us=FRESH, traffic=blinded))
    assert judge(recovered, GATE).check("alert_shift").passed is False
    promised = case(SAME, traffic=USUAL, champion=Champion(age_us=FRESH, traffic=blinded, promised=USUAL))
    row = judge(promised, GATE).check("alert_shift")
    assert row.passed is True
    assert "promoted with" in row.reason
    flood = case(
        SAME,
        traffic=replace(USUAL, alerts=USUAL.rows),
        champion=Champion(age_us=FRESH, traffic=blinded, promised=USUAL),
    )
    assert judge(flood, GATE).check("alert_shift").passed is False
