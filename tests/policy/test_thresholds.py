import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fraud.policy.thresholds import Thresholds, policy_digest, solve
from fraud.records import Outcome
from fraud.settings.model import Cost, Policy, Target

SCORES = hnp.arrays(
    np.float64, st.integers(1, 200), elements=st.sampled_from(np.linspace(0.01, 0.99, 40).tolist())
)
SHARES = st.floats(0.001, 0.9)


def ones(scores: np.ndarray) -> np.ndarray:
    return np.ones(len(scores))


@given(SCORES, SHARES)
def test_a_share_is_never_exceeded_and_one_score_lower_would_exceed_it(
    scores: np.ndarray, share: float
) -> None:
    found = solve(Policy(review=Target(share=share)), scores, scores > 0.5, ones(scores), 1).thresholds.review
    if found is None:
        assert np.mean(scores == scores.max()) > share
    else:
        assert np.mean(scores >= found) <= share + 1e-9
        lower = scores[scores < found]
        assert not len(lower) or np.mean(scores >= lower.max()) > share


@given(SCORES, st.floats(0.05, 0.95), st.integers(0, 2**32 - 1))
def test_a_precision_is_reached_at_the_lowest_score_that_reaches_it(
    scores: np.ndarray, precision: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    is_fraud = rng.random(len(scores)) < scores
    weights = rng.integers(1, 5, len(scores)).astype(float)
    policy = Policy(review=None, decline=Target(precision=precision))
    found = solve(policy, scores, is_fraud, weights, 1).thresholds.decline

    def reached(threshold: float) -> float:
        above = scores >= threshold
        return float((weights * is_fraud)[above].sum() / weights[above].sum())

    if found is not None:
        assert reached(found) >= precision - 1e-9
    for lower in np.unique(scores[scores < (1 if found is None else found)]):
        assert reached(float(lower)) < precision


@pytest.mark.parametrize("rate", [0.004, 0.03, 0.4])
def test_a_false_positive_rate_is_that_of_legitimate_rows_however_much_fraud_there_is(rate: float) -> None:
    rng = np.random.default_rng(3)
    for frauds in (5, 400):
        scores, is_fraud = rng.random(2_000), np.arange(2_000) < frauds
        scores[is_fraud] = 0.5 + scores[is_fraud] / 2
        policy = Policy(review=None, decline=Target(false_positive_rate=rate))
        found = solve(policy, scores, is_fraud, np.ones(2_000), 1.0).thresholds.decline
        assert found is not None
        honest = scores[~is_fraud]
        assert (honest >= found).mean() <= rate
        lower = scores[scores < found].max()
        assert (honest >= lower).mean() >= rate - 1 / len(honest)


def test_a_precision_out_of_reach_gives_no_outcome_and_says_so() -> None:
    scores = np.array([0.1, 0.2, 0.9])
    policy = Policy(review=None, decline=Target(precision=0.5))
    solution = solve(policy, scores, np.zeros(3, bool), np.ones(3), 1)
    assert solution.thresholds == Thresholds()
    assert solution.notes == (
        "policy.decline: no score reaches a precision of 0.5; this outcome is never given",
    )


def test_per_day_counts_the_days_of_the_span() -> None:
    scores = np.arange(1, 101) / 101
    policy = Policy(review=Target(per_day=2))
    for days in (1, 5, 7.5):
        threshold = solve(policy, scores, np.zeros(100, bool), np.ones(100), days).thresholds.review
        assert threshold is not None
        assert np.sum(scores >= threshold) == 2 * days


def test_a_share_counts_all_traffic_when_some_of_it_has_no_label() -> None:
    labelled, declined = np.arange(1, 91) / 1000, np.arange(900, 910) / 1000
    policy = Policy(review=Target(share=0.1))
    traffic = np.concatenate([labelled, declined])
    found = solve(policy, labelled, np.zeros(90, bool), np.ones(90), 1, traffic).thresholds.review
    assert found == 0.9


@given(st.floats(0.1, 1e6), st.floats(0.1, 1e6))
def test_the_cost_threshold_is_where_both_mistakes_cost_the_same(missed: float, false_alarm: float) -> None:
    policy = Policy(review=None, decline=Target(cost=Cost(missed_fraud=missed, false_alarm=false_alarm)))
    threshold = solve(policy, np.array([0.5]), np.array([True]), np.ones(1), 1).thresholds.decline
    assert threshold is not None
    assert (1 - threshold) * false_alarm == pytest.approx(threshold * missed)


@given(
    SCORES,
    *[st.one_of(st.none(), st.floats(0.01, 0.99)) for _ in range(3)],
)
def test_thresholds_rise_with_severity_and_ordering_them_changes_no_outcome(
    scores: np.ndarray, challenge: float | None, review: float | None, decline: float | None
) -> None:
    targets = [None if score is None else Target(score=score) for score in (challenge, review, decline)]
    policy = Policy(challenge=targets[0], review=targets[1], decline=targets[2])
    thresholds = solve(policy, scores, scores > 2, ones(scores), 1).thresholds
    for score, outcome in zip(scores, thresholds.outcomes(scores), strict=True):
        reached = [o for o, t in ((2, challenge), (3, review), (4, decline)) if t is not None and score >= t]
        assert outcome == max(reached, default=Outcome.APPROVE)


def test_thresholds_out_of_order_are_no_thresholds() -> None:
    with pytest.raises(ValueError, match="rise with severity"):
        Thresholds(review=0.9, decline=0.5)


def test_an_empty_calibration_span_solves_what_needs_no_rows() -> None:
    policy = Policy(challenge=Target(score=0.3), review=Target(share=0.1))
    empty = np.empty(0)
    solution = solve(policy, empty, empty.astype(bool), empty, 1)
    assert solution.thresholds == Thresholds(challenge=0.3)
    assert len(solution.notes) == 1


def test_the_policy_digest_changes_with_target_and_threshold_and_survives_storage() -> None:
    policy, other = Policy(review=Target(share=0.1)), Policy(review=Target(share=0.2))
    thresholds = Thresholds(review=0.123456789)
    stored = Thresholds.from_dict(thresholds.to_dict())
    assert policy_digest(policy, stored) == policy_digest(policy, thresholds)
    assert policy_digest(other, thresholds) != policy_digest(policy, thresholds)
    assert policy_digest(policy, Thresholds(review=0.2)) != policy_digest(policy, thresholds)
