"""One bootstrap for several figures: the same as each by itself, and paired."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud.evaluation.metrics import Ranking, alerts
from fraud.evaluation.ratios import CardRanking, spread_of
from fraud.evaluation.resampling import Sample, grouped
from fraud.evaluation.weighted import weighted_quality


def drawn(seed: int, rows: int = 600) -> tuple[Sample, np.ndarray]:
    rng = np.random.default_rng(seed)
    sample = Sample(
        is_fraud=rng.random(rows) < 0.1,
        days=rng.integers(5, size=rows).astype(np.int32),
        cards=rng.integers(-1, 80, size=rows),
        weights=rng.choice([1.0, 20.0], size=rows),
    )
    return sample, rng.random(rows)


@pytest.mark.parametrize("seed", range(5))
def test_figures_and_intervals_are_those_of_the_weighted_quality(seed: int) -> None:
    sample, scores = drawn(seed)
    alerted = alerts(scores, sample.days, 0.1)
    caught = sample.weights * (sample.is_fraud & alerted)
    parts = np.stack([caught, caught], axis=1)
    wholes = np.stack([sample.weights * sample.is_fraud, sample.weights * alerted], axis=1)
    found = spread_of(sample, parts, wholes, scores, 30, seed).intervals()
    expected = weighted_quality(sample, scores, alerted, 30, seed)
    for mine, theirs in zip(
        found, (expected.recall, expected.precision, expected.average_precision), strict=True
    ):
        assert [mine.value, mine.low, mine.high] == pytest.approx([theirs.value, theirs.low, theirs.high])


@given(st.integers(0, 10_000), st.sampled_from([1, 3, 50]))
def test_a_ranking_by_cards_is_the_ranking_of_rows_ties_included(seed: int, levels: int) -> None:
    sample, scores = drawn(seed, 60)
    scores = np.round(scores * levels) / levels
    groups, group = grouped(sample.cards)
    draw = np.random.default_rng(seed).integers(0, 3, groups).astype(np.float64)
    expected = Ranking(sample.is_fraud, scores).average_precision(draw[group] * sample.weights)
    found = CardRanking(sample, scores, group).average_precision(draw)
    assert found == pytest.approx(expected, nan_ok=True)


def test_a_difference_is_paired_round_by_round() -> None:
    sample, scores = drawn(3)
    ones = np.ones((len(scores), 1))
    one = spread_of(sample, ones * scores[:, None], ones, scores, 30, 7)
    other = spread_of(sample, ones * scores[:, None] + 0.25, ones, scores, 30, 7)
    shift = other.minus(one).intervals()[0]
    assert [shift.value, shift.low, shift.high] == pytest.approx([0.25, 0.25, 0.25])


def test_nothing_gives_nothing() -> None:
    empty = Sample(np.zeros(0, bool), np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0))
    found = spread_of(empty, np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0), 10, 7)
    assert np.isnan(found.point).all()
    assert len(found.intervals()) == 3
