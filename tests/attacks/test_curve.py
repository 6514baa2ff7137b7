"""Figures of a campaign: shares of the stopped, curves that rise, the same from the same seed."""

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from fraud.attacks.blackbox import Probe
from fraud.attacks.campaign import Result
from fraud.attacks.curve import effective, point, summarize, wilson
from fraud.attacks.payment import Fraud
from fraud.attacks.whitebox import Evasion
from fraud.training.redteam import red_team
from tests.attacks.worlds import World


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (10, 10), (3, 200)])
def test_an_interval_holds_its_share_and_stays_a_share(hits: int, n: int) -> None:
    low, high = wilson(hits, n)
    assert 0 <= low <= hits / n <= high <= 1


def test_frauds_of_one_card_that_go_together_are_one_vote() -> None:
    rng = np.random.default_rng(2)
    costs = np.where(rng.random(40) < 0.5, 0.1, 1.0)
    apart = point(costs, np.arange(40), 0.25)
    assert (apart.low, apart.high) == pytest.approx(wilson(40 * apart.share, 40), abs=0.01)
    same = point(np.repeat(costs, 5), np.repeat(np.arange(40), 5), 0.25)
    assert same.share == apart.share
    assert (same.low, same.high) == pytest.approx((apart.low, apart.high), abs=0.01)
    assert effective(np.ones(9, np.bool_), np.repeat(np.arange(3), 3)) == 3
    assert math.isnan(point(costs[:0], np.arange(0), 0.25).share)


def test_intervals_cover_though_cards_have_many_frauds_each() -> None:
    rng = np.random.default_rng(3)
    covered = []
    for _ in range(400):
        sizes = rng.integers(1, 8, 40)
        chances = np.repeat(rng.beta(0.5, 0.5, 40), sizes)
        costs = np.where(rng.random(len(chances)) < chances, 0.1, 1.0)
        found = point(costs, np.repeat(np.arange(40), sizes), 0.25)
        covered.append(found.low <= 0.5 <= found.high)
    assert np.mean(covered) > 0.92


def test_curves_rise_and_who_knows_the_trees_finds_more_than_who_tries_card_by_card(world: World) -> None:
    (results,) = red_team(world.history, [world.bundle], frauds=20)
    summary = summarize(results, world.settings.attacks.costs)
    assert summary.frauds == len(results) == 20
    assert 5 < summary.stopped <= 20
    for points in (summary.white, summary.black, summary.best):
        assert (np.diff([point.share for point in points]) >= 0).all()
        assert all(point.low <= point.share <= point.high for point in points)
    assert summary.white[-1].share > 0.5
    # Each figure is that of a search by itself: this fails for one that overlooks what a prober finds.
    for white, black, best in zip(summary.white, summary.black, summary.best, strict=True):
        assert black.share <= white.share <= best.share
    assert 0 < summary.black_profit < summary.white_profit <= summary.best_profit <= 1
    assert 1 <= summary.first <= world.settings.attacks.queries
    for result in results:
        assert result.black is not None
        assert result.black.tries <= world.settings.attacks.queries
        assert result.black.taken_minor <= result.fraud.value_minor


def test_each_fraud_meets_the_state_of_its_moment(world: World) -> None:
    (results,) = red_team(world.history, [world.bundle], frauds=300, black_box=False)
    known = world.history.judged("card", silence_us=0).filter(pl.col("is_fraud")).sort("position")
    among = pl.col("position").is_in([each.fraud.position for each in results])
    logged = known.filter(among).collect()
    features = logged.select(f"f_{name}" for name in world.spec.names).to_numpy().astype(np.float32)
    words = [each.fraud.payment.words for each in results]
    assert len(results) > 150
    assert [not each.stopped for each in results] == world.target.accepts(features, words).tolist()


def test_two_campaigns_with_one_seed_are_one_and_targets_do_not_disturb_each_other(world: World) -> None:
    alone = red_team(world.history, [world.bundle], frauds=10)[0]
    other = replace(world.bundle, thresholds=replace(world.bundle.thresholds, review=0.9))
    beside = red_team(world.history, [other, world.bundle], frauds=10)[1]
    assert [(each.cost, each.black) for each in alone] == [(each.cost, each.black) for each in beside]


def test_nothing_stopped_is_no_figure(world: World) -> None:
    open_ = replace(world.bundle.thresholds, challenge=None, review=None, decline=None)
    (results,) = red_team(world.history, [replace(world.bundle, thresholds=open_)], frauds=10)
    summary = summarize(results, (0.5,))
    assert summary.stopped == 0
    assert math.isnan(summary.white[0].share)
    assert summary.white_profit == 1


def test_figures_of_both_attackers_are_over_the_same_cards_and_each_his_own(world: World) -> None:
    fraud = world.frauds()[0]
    results = [
        Result(fraud, stopped=False, white=None, black=probe(fraud, 0.2)),
        Result(fraud, stopped=True, white=evasion(fraud, 0.1), black=probe(fraud, 0.5)),
        Result(fraud, stopped=True, white=evasion(fraud, 1.5), black=probe(fraud, 2.0)),
        Result(fraud, stopped=True, white=None, black=probe(fraud, math.inf)),
        Result(fraud, stopped=True, white=evasion(fraud, 0.6), black=probe(fraud, 0.3)),
    ]
    summary = summarize(results, (0.2, 0.4, 1.0))
    assert summary.white_profit == pytest.approx((1 + 0.9 + 0 + 0 + 0.4) / 5)
    assert summary.black_profit == pytest.approx((0.8 + 0.5 + 0 + 0 + 0.7) / 5)
    assert summary.best_profit == pytest.approx((1 + 0.9 + 0 + 0 + 0.7) / 5)
    assert [point.share for point in summary.white] == [1 / 4, 1 / 4, 2 / 4], "of those that are stopped"
    assert [point.share for point in summary.black] == [0, 1 / 4, 2 / 4]
    assert [point.share for point in summary.best] == [1 / 4, 2 / 4, 2 / 4]
    assert summary.never == pytest.approx(1 / 4)
    unprobed = summarize([replace(each, black=None) for each in results], (0.2,))
    assert unprobed.white_profit == unprobed.best_profit == summary.white_profit
    assert math.isnan(unprobed.black_profit)


def evasion(fraud: Fraud, cost: float) -> Evasion:
    """Some evasion at a cost."""
    return Evasion((fraud.payment,), cost, ("amount",), np.zeros((1, 1), np.float32))


def probe(fraud: Fraud, cost: float) -> Probe:
    """What a prober got at a cost; nothing at an infinite one."""
    if math.isinf(cost):
        return Probe(12, None, 0, cost)
    return Probe(3, 2, fraud.value_minor, cost, evasion(fraud, cost))
