"""Weighted figures: right on average whatever was declined, and honest about how little was seen."""

import numpy as np
import pytest

from fraud.evaluation.metrics import average_precision
from fraud.evaluation.resampling import Sample
from fraud.evaluation.weighted import (
    Weighted,
    effective_sample_size,
    seen_weights,
    weighted_quality,
    weighted_recall,
)

ROWS, DAYS = 6_000, 10


def world(seed: int) -> tuple[Sample, np.ndarray, np.ndarray]:
    """Everything there is to know: a sample of weight 1, scores, and who is declined."""
    rng = np.random.default_rng(seed)
    cards = rng.integers(600, size=ROWS)
    is_fraud = rng.random(ROWS) < 0.05
    scores = is_fraud * 1.5 + rng.normal(size=ROWS)
    sample = Sample(is_fraud, np.zeros(ROWS, np.int32), cards, np.ones(ROWS))
    return sample, scores, scores > 2.0


def seen_of(whole: Sample, declined: np.ndarray, rate: float, seed: int) -> Sample:
    """What is left when declines are let through at a rate."""
    explored = declined & (np.random.default_rng(seed).random(ROWS) < rate)
    seen = ~declined | explored
    weights = seen_weights(seen, np.where(explored, rate, 1.0))
    return Sample(whole.is_fraud & seen, whole.days, whole.cards, weights)


def test_weighted_sums_are_right_on_average() -> None:
    whole, scores, declined = world(1)
    truth = float(declined[whole.is_fraud].mean())
    found = [
        weighted_quality(seen_of(whole, declined, 0.2, seed), scores, declined, 1, 7) for seed in range(150)
    ]
    recalls = np.array([each.recall.value for each in found])
    precisions = np.array([each.precision.value for each in found])
    ranked = np.array([each.average_precision.value for each in found])
    assert recalls.mean() == pytest.approx(truth, abs=4 * recalls.std() / np.sqrt(150))
    assert precisions.mean() == pytest.approx(float(whole.is_fraud[declined].mean()), abs=0.02)
    assert ranked.mean() == pytest.approx(average_precision(whole.is_fraud, scores), abs=0.02)
    naive = [declined[seen_of(whole, declined, 0.2, seed).is_fraud].mean() for seed in range(20)]
    assert max(naive) < truth - 0.1, "what the weights are for"


def test_everything_seen_gives_the_plain_figures() -> None:
    whole, scores, declined = world(2)
    found = weighted_quality(whole, scores, declined, 50, 7)
    assert found.recall.value == pytest.approx(float(declined[whole.is_fraud].mean()))
    assert found.precision.value == pytest.approx(float(whole.is_fraud[declined].mean()))
    assert found.average_precision.value == pytest.approx(average_precision(whole.is_fraud, scores))
    assert found.effective_frauds == pytest.approx(found.frauds)
    assert (found.rows, found.unseen) == (ROWS, 0)
    for interval in (found.recall, found.precision, found.average_precision):
        assert interval.low < interval.value < interval.high


def test_less_exploration_is_a_smaller_effective_sample_and_a_wider_interval() -> None:
    whole, scores, declined = world(3)
    much, little = (
        weighted_quality(seen_of(whole, declined, rate, 5), scores, declined, 100, 7) for rate in (0.5, 0.05)
    )
    assert little.effective_frauds < much.effective_frauds / 2
    assert little.unseen > much.unseen
    assert little.recall.high - little.recall.low > 1.5 * (much.recall.high - much.recall.low)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Each run is a service with cards of its own; the truth is that of all of them together."""
    recalls = [weighted_run(seed) for seed in range(120)]
    truth = float(np.mean([value for value, _, _ in recalls]))
    covered = np.mean([low <= truth <= high for _, low, high in recalls])
    assert 0.82 <= covered <= 0.97, covered


def weighted_run(seed: int) -> tuple[float, float, float]:
    whole, _, declined = world(100 + seed)
    found = weighted_recall(seen_of(whole, declined, 0.2, seed), declined, 200, seed)
    return found.value, found.low, found.high


def test_frauds_of_one_card_are_drawn_together() -> None:
    whole, _, declined = world(4)
    one_card_each = weighted_recall(whole, declined, 200, 7)
    rings = Sample(whole.is_fraud, whole.days, np.where(declined, 7, whole.cards), whole.weights)
    together = weighted_recall(rings, declined, 200, 7)
    assert together.value == one_card_each.value
    assert together.high - together.low > 2 * (one_card_each.high - one_card_each.low)


def test_without_frauds_or_rows_figures_are_not_defined() -> None:
    empty = Sample(np.empty(0, bool), np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0))
    none = Sample(np.zeros(5, bool), np.zeros(5, np.int32), np.arange(5), np.ones(5))
    for sample in (empty, none):
        size = len(sample.is_fraud)
        found = weighted_quality(sample, np.zeros(size), np.zeros(size, bool), 10, 7)
        assert isinstance(found, Weighted)
        assert np.isnan([found.recall.value, found.precision.low, found.average_precision.high]).all()
    assert effective_sample_size(np.empty(0)) == 0
