"""Clients' cut-offs keep their meaning, unchanged thresholds are foreseen, scoring stays fast."""

from dataclasses import replace

import numpy as np
import pytest

from fraud.errors import InvalidInput
from fraud.gate.checks import Check, OutcomeCounts, calibration_top
from fraud.gate.verdict import Champion, judge
from fraud.gate.volume import RiskCount, risk_share, scoring_ratio
from fraud.settings.learning import Gate
from tests.gate.test_verdict import BETTER, FIRST, FRESH, GATE, SAME, USUAL, case

ROWS = 100_000


def test_the_share_at_a_cutoff_may_move_by_a_tenth_of_the_champions_and_no_more() -> None:
    for share, passed in ((0.012, True), (0.0132, True), (0.0145, False), (0.0075, False)):
        mine, theirs = int(share * ROWS), 1_200
        row = risk_share(RiskCount(990, ROWS, mine, theirs, differing=abs(mine - theirs)), Gate())
        assert row.passed is passed, share


def test_a_scale_that_is_true_is_no_jump_though_the_champions_has_aged() -> None:
    row = risk_share(RiskCount(990, ROWS, 1_000, 1_900, differing=900), Gate())
    assert row.passed
    assert "promised by the scale" in row.reason


def test_a_jump_that_chance_explains_is_none() -> None:
    many = RiskCount(990, ROWS, 1_500, 1_300, differing=200)
    assert risk_share(many, Gate()).passed is False
    assert risk_share(replace(many, differing=2_600), Gate()).passed, "they alert on different rows"


def test_too_few_rows_and_a_first_version_are_only_reported() -> None:
    few = risk_share(RiskCount(990, 10_000, 400, 100, differing=300), Gate())
    assert few.passed is None
    assert "100 rows expected, too few to judge" in few.reason
    first = risk_share(RiskCount(990, ROWS, 4_000, None), Gate())
    assert first.passed is None
    assert risk_share(RiskCount(990, 0, 0, 0), Gate()).passed is None


def test_rows_that_share_a_score_cannot_be_divided_and_are_told() -> None:
    short = RiskCount(900, ROWS, 7_000, 10_000, differing=3_000, tied=4_000)
    row = risk_share(short, Gate())
    assert row.passed is None
    assert "4000 rows share the score" in row.reason
    assert risk_share(replace(short, tied=1_000), Gate()).passed is False, "they explain too little"
    assert risk_share(replace(short, challenger=13_000), Gate()).passed is False, "a flood is none of it"


def test_counts_that_cannot_be_are_refused() -> None:
    with pytest.raises(InvalidInput, match="risk: counts"):
        RiskCount(990, 10, 11, 0)


def test_a_moved_risk_score_rejects_and_says_why() -> None:
    moved = RiskCount(900, ROWS, 15_000, 10_000, differing=5_000)
    verdict = judge(case(BETTER, risk=(moved,)), GATE)
    assert verdict.outcome == "REJECT"
    assert "clients' cut-offs would not mean the same" in verdict.reason


def test_what_clients_will_see_now_is_told_and_decides_nothing() -> None:
    moved = RiskCount(900, ROWS, 15_000, 10_000, differing=5_000)
    verdict = judge(case(BETTER, risk_now=(moved,)), GATE)
    assert verdict.outcome == "PROMOTE"
    row = verdict.check("risk_900_now")
    assert row.value == pytest.approx(0.5)
    assert (row.passed, row.reason[:4]) == (None, "now ")


def test_unchanged_thresholds_are_reported_and_bound_only_on_request() -> None:
    flood = replace(USUAL, alerts=900)
    told = judge(case(BETTER, unadjusted=flood), GATE)
    assert told.outcome == "PROMOTE"
    assert told.check("alert_shift_unadjusted").passed is None
    assert "9.0" in told.check("alert_shift_unadjusted").reason
    bound = GATE.model_copy(update={"unadjusted_shift_max": 3.0})
    assert judge(case(BETTER, unadjusted=flood), bound).outcome == "REJECT"
    assert judge(case(BETTER, unadjusted=replace(USUAL, declines=30)), bound).outcome == "PROMOTE"
    assert judge(case(FIRST, None, unadjusted=None), bound).outcome == "PROMOTE"


def test_scoring_time_is_a_ratio_with_a_bound() -> None:
    assert scoring_ratio(3.0, Gate()).passed
    assert scoring_ratio(3.01, Gate()).passed is False
    assert scoring_ratio(None, Gate()).passed is None
    assert judge(case(BETTER, scoring_ratio=9.0), GATE).outcome == "REJECT"


def test_a_further_guard_plugs_in() -> None:
    passed = Check("evasion", 0.1, 0.2, None, None, True, "10 % of attacks under the budget get through")
    assert judge(case(BETTER, extra_checks=(passed,)), GATE).check("evasion") == passed
    failed = replace(passed, passed=False, reason="half of the attacks get through")
    verdict = judge(case(BETTER, extra_checks=(failed,)), GATE)
    assert (verdict.outcome, verdict.reason) == ("REJECT", "half of the attacks get through")


def test_scores_that_promise_too_much_at_the_top_alone_are_rejected() -> None:
    strict = GATE.model_copy(update={"calibration_ratio_max": 1.5})
    frauds = SAME.frauds / len(SAME.challenger_scores)
    precision = SAME.sample.is_fraud[SAME.challenger_alerts].mean()
    fair = np.where(SAME.challenger_alerts, precision, 0.7 * frauds)
    assert judge(case(replace(SAME, challenger_scores=fair)), strict).check("calibration_top").passed
    sure = np.where(SAME.challenger_alerts, 1.9 * precision, 0.0)
    verdict = judge(case(replace(SAME, challenger_scores=sure)), strict)
    assert verdict.check("calibration").passed
    assert verdict.check("calibration_top").passed is False
    assert verdict.outcome == "REJECT"
    assert verdict.reason.startswith("calibration_top: among ")


def test_the_top_band_of_no_evidence_says_nothing() -> None:
    quiet = replace(BETTER, challenger_alerts=np.zeros_like(BETTER.challenger_alerts))
    row = calibration_top(quiet, Gate())
    assert (row.value, row.passed) == (None, True)


def test_every_new_row_has_a_name_of_its_own() -> None:
    champion = Champion(FRESH, OutcomeCounts(10_000, 100, 20))
    counts = tuple(RiskCount(cut, ROWS, 10, 10) for cut in (900, 950, 990))
    rows = judge(
        case(BETTER, champion=champion, unadjusted=USUAL, risk=counts, scoring_ratio=1.0), GATE
    ).checks
    assert len({row.name for row in rows}) == len(rows)
