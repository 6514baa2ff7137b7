"""The cheapest threshold is the one that trying all of them finds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud.policy.risks import Risks
from fraud.policy.thresholds import Thresholds, solve
from fraud.settings.model import Cost, Policy, Target

TRAFFIC = st.lists(
    st.tuples(st.sampled_from(np.linspace(0.01, 0.99, 30).tolist()), st.integers(0, 100_000)),
    min_size=1,
    max_size=80,
)
COSTS = st.one_of(
    st.builds(Cost, loss_share=st.floats(0.1, 2), friction_minor=st.floats(1, 50_000)),
    st.builds(Cost, missed_fraud=st.floats(1, 500), false_alarm=st.floats(1, 500)),
)


def risks_of(traffic: list[tuple[float, int]]) -> Risks:
    return Risks(np.array([score for score, _ in traffic]), np.array([amount for _, amount in traffic]))


def loss(traffic: list[tuple[float, int]], cost: Cost, threshold: float) -> float:
    """The expected loss, row by row."""
    total = 0.0
    for score, amount in traffic:
        if cost.loss_share is not None and cost.friction_minor is not None:
            missed, alerted = score * amount * cost.loss_share, (1 - score) * cost.friction_minor
        else:
            missed, alerted = score * (cost.missed_fraud or 0), (1 - score) * (cost.false_alarm or 0)
        total += alerted if score >= threshold else missed
    return total


@given(TRAFFIC, COSTS)
def test_the_cheapest_threshold_is_the_minimum_of_a_brute_force_scan(
    traffic: list[tuple[float, int]], cost: Cost
) -> None:
    found = risks_of(traffic).cheapest(cost)
    least = min(loss(traffic, cost, threshold) for threshold in [*(score for score, _ in traffic), 2.0])
    assert loss(traffic, cost, 2.0 if found is None else found) == pytest.approx(least)


@given(TRAFFIC, COSTS, st.lists(st.floats(0, 1), max_size=5))
def test_losses_are_sums_over_rows(
    traffic: list[tuple[float, int]], cost: Cost, thresholds: list[float]
) -> None:
    found = risks_of(traffic).losses(cost, np.array(thresholds))
    assert found.tolist() == pytest.approx([loss(traffic, cost, each) for each in thresholds])


def test_with_equal_amounts_it_is_the_fixed_cost_of_that_amount() -> None:
    scores = np.linspace(0.001, 0.999, 999)
    risks = Risks(scores, np.full(999, 2_000))
    found = risks.cheapest(Cost(loss_share=1.0, friction_minor=500.0))
    assert found == pytest.approx(500 / 2_500, abs=0.0015)


def test_large_amounts_at_middling_scores_pull_the_threshold_down() -> None:
    scores = np.repeat([0.1, 0.5, 0.9], 100)
    small, large = np.full(300, 1_000), np.where(scores == 0.1, 50_000, 1_000)
    cost = Cost(loss_share=1.0, friction_minor=900.0)
    assert Risks(scores, small).cheapest(cost) == 0.5
    assert Risks(scores, large).cheapest(cost) == 0.1


def test_a_policy_by_amount_is_solved_on_all_traffic_and_says_when_no_alert_pays() -> None:
    scores, fraud = np.array([0.2, 0.9]), np.array([False, True])
    traffic, amounts = np.array([0.2, 0.9, 0.95]), np.array([10_000, 100, 100])
    cheap, dear = (
        Policy(review=Target(cost=Cost(loss_share=1.0, friction_minor=minor))) for minor in (100.0, 1e6)
    )
    found = solve(cheap, scores, fraud, np.ones(2), 1, traffic, amounts)
    assert found.thresholds == Thresholds(review=0.2)
    none = solve(dear, scores, fraud, np.ones(2), 1, traffic, amounts)
    assert none.thresholds == Thresholds()
    assert none.notes == ("policy.review: no alert is worth its friction; this outcome is never given",)
    with pytest.raises(ValueError, match="needs the amounts"):
        solve(cheap, scores, fraud, np.ones(2), 1)


def test_without_traffic_there_is_no_cheapest() -> None:
    empty = Risks(np.empty(0), np.empty(0, np.int64))
    assert empty.cheapest(Cost(loss_share=1.0, friction_minor=1.0)) is None
