"""The curve says of every threshold what trying it on the calibration span gives."""

import json

import numpy as np
import pytest

from fraud.policy.risks import Risks
from fraud.policy.thresholds import Thresholds
from fraud.policy.trade import POINTS, Calibration, TradeCurve, cost_basis, trade_curve
from fraud.settings.model import Cost, Policy, Target

COST = Cost(loss_share=1.0, friction_minor=300.0)
POLICY = Policy(review=Target(share=0.05), decline=Target(cost=COST))
SOLVED = Thresholds(review=0.3, decline=0.7)


def made(seed: int = 1, rows: int = 4_000) -> Calibration:
    """A span of four days; the riskiest tenth of its rows is seen at a rate of a quarter."""
    rng = np.random.default_rng(seed)
    scores = rng.beta(0.3, 6, rows).round(4)
    amounts = rng.integers(100, 50_000, rows)
    is_fraud = rng.random(rows) < scores
    risky = scores > np.quantile(scores, 0.9)
    seen = ~risky | (rng.random(rows) < 0.25)
    weights = np.where(risky, 4.0, 1.0)
    return Calibration(
        scores[seen], is_fraud[seen], amounts[seen], weights[seen], Risks(scores, amounts), days=4.0
    )


def test_every_point_is_what_its_threshold_gives() -> None:
    span = made()
    curve = trade_curve(POLICY, SOLVED, span)
    total = float((span.weights * span.is_fraud).sum())
    for point in curve.points:
        at, traffic = span.scores >= point.threshold, span.traffic.scores >= point.threshold
        caught = float((span.weights * span.is_fraud)[at].sum())
        worth = span.weights * span.is_fraud * span.amounts
        missed, alerted = span.traffic.at_stake(COST)
        assert point.alerts_per_day == traffic.sum() / 4
        assert point.recall == pytest.approx(caught / total)
        assert point.value_detected == pytest.approx(float(worth[at].sum() / worth.sum()))
        assert point.cost_per_day == pytest.approx((missed[~traffic].sum() + alerted[traffic].sum()) / 4)
        if point.precision is not None:
            assert point.precision == pytest.approx(caught / float(span.weights[at].sum()))


def test_the_curve_falls_from_the_riskiest_rows_and_holds_the_solved_thresholds() -> None:
    curve = trade_curve(POLICY, SOLVED, made())
    thresholds = [point.threshold for point in curve.points]
    assert thresholds == sorted(set(thresholds), reverse=True)
    assert {0.3, 0.7} <= set(thresholds)
    assert 30 <= len(thresholds) <= POINTS + 2
    alerts = [point.alerts_per_day for point in curve.points]
    assert alerts == sorted(alerts)
    assert alerts[0] <= 0.5 < 299 < alerts[-1] < 305, "0.3 of a thousand rows a day, and ties"


def test_the_curve_survives_storage_and_a_version_without_one_has_no_points() -> None:
    curve = trade_curve(POLICY, SOLVED, made())
    assert TradeCurve.from_dict(json.loads(json.dumps(curve.to_dict()))) == curve
    assert TradeCurve.from_dict({}).points == ()


def test_the_short_form_keeps_both_ends() -> None:
    curve = trade_curve(POLICY, SOLVED, made())
    short = curve.short(7)
    assert len(short) == 7
    assert (short[0], short[-1]) == (curve.points[0], curve.points[-1])
    assert curve.short(500) == curve.points


def test_the_cost_is_that_of_the_most_severe_target_that_has_one() -> None:
    mild = Target(cost=Cost(missed_fraud=5.0, false_alarm=1.0))
    assert cost_basis(POLICY) == COST
    assert cost_basis(Policy(challenge=mild, decline=Target(score=0.9))) == mild.cost
    none = cost_basis(Policy())
    assert (none.loss_share, none.friction_minor) == (1.0, 0.0)


def test_a_span_without_frauds_or_rows_has_shares_of_none_or_no_points() -> None:
    empty = np.empty(0)
    whole = np.empty(0, np.int64)
    span = made()
    unlabelled = Calibration(empty, empty.astype(bool), whole, empty, span.traffic, 4.0)
    assert {point.recall for point in trade_curve(POLICY, SOLVED, unlabelled).points} == {None}
    nothing = Calibration(empty, empty.astype(bool), whole, empty, Risks(empty, whole), 4.0)
    assert trade_curve(POLICY, SOLVED, nothing).points == ()
