import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud.bundle.calibrator import Calibrator
from fraud.bundle.risk_scale import RiskScale


def made(seed: int, count: int = 5_000, prior: float = -3.0) -> tuple[np.ndarray, np.ndarray]:
    """Margins that say too much: the true log-odds are half of them."""
    rng = np.random.default_rng(seed)
    margins = rng.normal(0, 3, count).astype(np.float32)
    return margins, rng.random(count) < 1 / (1 + np.exp(-(prior + margins / 2)))


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(-12_000_000, 12_000_000), min_size=2, max_size=50))
def test_scores_rise_strictly_so_that_ranking_by_score_is_ranking_by_margin(
    seed: int, millionths: list[int]
) -> None:
    calibrator = Calibrator.fit(*made(seed, 300), np.ones(300))
    x = np.unique((np.array(millionths) / 1e6).astype(np.float32))
    scores = calibrator(x)
    assert np.all(np.diff(scores) > 0)
    assert np.all((scores > 0) & (scores < 1))


def test_neighbouring_margins_never_share_a_score() -> None:
    calibrator = Calibrator.fit(*made(1), np.ones(5_000))
    for start in (-12.0, -5.0, -0.1, 2.0, 9.0, 12.0):
        x = np.full(50, start, np.float32)
        for place in range(1, 50):
            x[place] = np.nextafter(x[place - 1], np.float32(np.inf))
        assert np.all(np.diff(calibrator(x)) > 0), start


def test_probabilities_match_what_happens_on_other_rows() -> None:
    calibrator = Calibrator.fit(*made(1, 40_000), np.ones(40_000))
    margins, is_fraud = made(2, 40_000)
    scores = calibrator(margins)
    bins = np.digitize(scores, [0.02, 0.05, 0.1, 0.2])
    for place in range(5):
        inside = bins == place
        assert scores[inside].mean() == pytest.approx(is_fraud[inside].mean(), rel=0.15)


def test_what_stands_below_a_gap_is_not_pulled_up_by_what_is_above_it() -> None:
    margins = np.repeat(np.array([-6, -4, 2], np.float32), [5_000, 5_000, 10])
    is_fraud = np.concatenate([np.arange(5_000) < 10, np.zeros(5_000, np.bool_), np.ones(10, np.bool_)])
    scores = Calibrator.fit(margins, is_fraud, np.ones(10_010))(margins)
    assert scores.sum() == pytest.approx(20, rel=0.02)
    assert scores[9_999] < 0.0012


@pytest.mark.parametrize("seed", range(20))
def test_the_scores_expect_as_many_frauds_as_there_were(seed: int) -> None:
    rng = np.random.default_rng(seed)
    is_fraud = rng.random(4_000) < rng.uniform(0.005, 0.3)
    margins = (rng.normal(-4, 1, 4_000) + is_fraud * rng.uniform(0, 9)).astype(np.float32)
    weights = rng.uniform(0.5, 2, 4_000)
    scores = Calibrator.fit(margins, is_fraud, weights)(margins)
    assert weights @ scores == pytest.approx(weights @ is_fraud, rel=0.02), f"seed {seed}"


def test_weights_count_as_repeated_rows() -> None:
    margins, is_fraud = made(3, 500)
    repeats = np.random.default_rng(3).integers(1, 4, 500)
    weighted = Calibrator.fit(margins, is_fraud, repeats.astype(float))
    repeated = Calibrator.fit(
        np.repeat(margins, repeats), np.repeat(is_fraud, repeats), np.ones(repeats.sum())
    )
    np.testing.assert_allclose(weighted.margins, repeated.margins)
    np.testing.assert_allclose(weighted.probabilities, repeated.probabilities, atol=1e-12)


@pytest.mark.parametrize("frauds", [0, 100])
def test_no_fraud_or_frauds_alone_leave_the_sigmoid(frauds: int) -> None:
    margins = np.linspace(-4, 4, 100, dtype=np.float32)
    calibrator = Calibrator.fit(margins, np.arange(100) < frauds, np.ones(100))
    assert calibrator == Calibrator()
    np.testing.assert_allclose(calibrator(margins), 1 / (1 + np.exp(-margins.astype(float))))


@pytest.mark.parametrize("frauds", [1, 4, 9])
def test_few_frauds_move_the_sigmoid_until_it_expects_as_many(frauds: int) -> None:
    rng = np.random.default_rng(frauds)
    margins = rng.normal(-3.9, 0.3, 5_000).astype(np.float32)
    margins[:frauds] += 6
    weights = rng.uniform(0.5, 1.5, 5_000)
    is_fraud = np.arange(5_000) < frauds
    scores = Calibrator.fit(margins, is_fraud, weights)(margins)
    assert weights @ scores == pytest.approx(weights @ is_fraud, abs=0.5)
    assert (1 / (1 + np.exp(-margins.astype(float)))).sum() > 90, "the sigmoid alone sees a hundred"
    assert np.array_equal(np.argsort(scores, kind="stable"), np.argsort(margins, kind="stable"))


def test_knots_survive_storage_to_the_bit() -> None:
    calibrator = Calibrator.fit(*made(4), np.ones(5_000))
    assert Calibrator.from_dict(json.loads(json.dumps(calibrator.to_dict()))) == calibrator
    margins = made(4)[0]
    scale = RiskScale.fit(margins)
    assert RiskScale.from_list(json.loads(json.dumps(scale.to_list()))) == scale


@given(
    st.lists(st.integers(-20, 20), min_size=1, max_size=3_000).map(lambda m: np.array(m, np.float32) / 7),
)
def test_no_more_reference_traffic_reaches_a_risk_score_than_the_scale_says(margins: np.ndarray) -> None:
    risk = RiskScale.fit(margins)(margins)
    for score in (1, 500, 900, 990, 999):
        assert np.mean(risk >= score) <= 1 - score / 1_000 + 1e-12


def test_the_riskiest_percent_has_990_and_above() -> None:
    margins = np.random.default_rng(5).permutation(100_000).astype(np.float32)
    risk = RiskScale.fit(margins)(margins)
    assert np.sum(risk >= 990) == 1_000
    assert (risk.min(), risk.max()) == (0, 999)


def test_a_scale_needs_traffic() -> None:
    with pytest.raises(ValueError, match="at least one"):
        RiskScale.fit(np.empty(0, np.float32))
