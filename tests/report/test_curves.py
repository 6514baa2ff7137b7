import numpy as np
import pytest
from numpy.typing import NDArray

from fraud.evaluation.metrics import Bools, Floats, average_precision, recall_at_budget
from fraud.report.curves import calibration_bins, money, precision_recall


def sample(rows: int = 4_000, seed: int = 3) -> tuple[Bools, Floats]:
    """Calibrated scores, coarse enough for ties."""
    rng = np.random.default_rng(seed)
    scores = np.round(rng.beta(0.3, 6, rows), 3) + 0.001
    return rng.random(rows) < scores, scores


def test_the_area_under_the_drawn_steps_is_the_average_precision() -> None:
    is_fraud, scores = sample()
    weights = np.random.default_rng(1).integers(1, 4, len(scores)).astype(np.float64)
    curve = precision_recall(is_fraud, scores, weights)
    area = float(np.sum(np.diff(curve.recall, prepend=0.0) * curve.precision))
    assert curve.average_precision == average_precision(is_fraud, scores, weights)
    assert area == pytest.approx(curve.average_precision)
    assert curve.recall[-1] == 1.0
    assert np.all(np.diff(curve.recall) > 0)


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    scores = np.linspace(1, 0, 5_000)
    curve = precision_recall(np.ones(5_000, dtype=np.bool_), scores, np.ones(5_000))
    assert len(curve.recall) == 600
    assert (curve.recall[0], curve.recall[-1]) == (1 / 5_000, 1.0)


def test_without_frauds_there_is_no_curve() -> None:
    nothing = np.zeros(5, dtype=np.bool_)
    curve = precision_recall(nothing, np.arange(5.0), np.ones(5))
    assert (len(curve.recall), np.isnan(curve.average_precision)) == (0, True)
    empty = precision_recall(nothing[:0], np.empty(0), np.empty(0))
    assert len(empty.recall) == 0
    caught = money(nothing, np.arange(5.0), np.zeros(5, np.int32), np.ones(5, np.int64), 0.01)
    assert np.isnan(caught.at(1)[0])


def test_bins_hold_every_row_once_and_ties_together() -> None:
    is_fraud, scores = sample()
    bins = calibration_bins(is_fraud, scores)
    assert sum(each.rows for each in bins) == len(scores)
    assert sum(each.frauds for each in bins) == is_fraud.sum()
    expected = [each.expected for each in bins]
    assert expected == sorted(expected)
    assert len(set(expected)) == len(bins)
    shares = [each.expected * each.rows / scores.sum() for each in bins]
    assert max(shares) < 0.25, "about equally many expected frauds"
    assert calibration_bins(is_fraud[:0], scores[:0]) == []
    (one,) = calibration_bins(np.array([True, False]), np.array([0.5, 0.5]))
    assert (one.rows, one.observed) == (2, 0.5)


def test_calibrated_scores_lie_within_the_intervals() -> None:
    is_fraud, scores = sample(20_000)
    for each in calibration_bins(is_fraud, scores):
        assert each.low < each.observed < each.high
        assert each.low * 0.9 < each.expected < each.high * 1.1
    never = calibration_bins(np.zeros(50, np.bool_), np.full(50, 0.01))
    assert (never[0].low, round(never[0].high, 3)) == (0.0, 0.071)


def days_of(rows: int) -> NDArray[np.int32]:
    return np.repeat(np.arange(10, dtype=np.int32), rows // 10)


def test_the_money_curve_rises_with_the_budget_and_meets_the_gate_s_recall() -> None:
    is_fraud, scores = sample()
    days = days_of(len(scores))
    amounts = np.random.default_rng(2).integers(1, 1_000, len(scores))
    curve = money(is_fraud, scores, days, amounts, 0.01)
    for column in (curve.alerts_per_day, curve.value, curve.recall):
        assert np.all(np.diff(column) >= 0)
    assert np.all(np.diff(curve.alerts_per_day) > 0)
    value, found = curve.at(4.0)
    assert found == pytest.approx(recall_at_budget(is_fraud, scores, days, 0.01))
    assert 0 < value < 1
    equal = money(is_fraud, scores, days, np.ones(len(scores), np.int64), 0.01)
    assert np.allclose(equal.value, equal.recall), "equal amounts: money is frauds"
