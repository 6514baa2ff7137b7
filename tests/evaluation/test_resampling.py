"""The paired bootstrap: what is drawn, what it says, and that it repeats."""

import numpy as np
import pytest

from fraud.evaluation.metrics import average_precision, recall_at_budget
from fraud.evaluation.resampling import NO_CARD, Sample, bootstrap, card_draws


def sample(seed: int, cards: int = 400, rows: int = 2_000) -> tuple[Sample, np.ndarray]:
    rng = np.random.default_rng(seed)
    is_fraud = rng.random(rows) < 0.1
    scores = rng.normal(size=rows) + 1.5 * is_fraud
    days = np.sort(rng.integers(7, size=rows)).astype(np.int32)
    return Sample(is_fraud, days, rng.integers(cards, size=rows), np.ones(rows)), scores


def test_rows_of_one_card_are_drawn_together_and_lonely_rows_by_themselves() -> None:
    cards = np.array([5, 5, NO_CARD, 9, NO_CARD, 5])
    for draw in card_draws(cards, 50, seed=1):
        assert draw[0] == draw[1] == draw[5]
        assert draw[[0, 2, 3, 4]].sum() == 4, "as many draws as cards"


def test_the_same_seed_gives_the_same_intervals_and_another_one_others() -> None:
    rows, scores = sample(0)
    runs = [bootstrap(rows, {"a": scores}, 0.05, 50, seed)[0] for seed in (3, 3, 4)]
    assert runs[0] == runs[1] != runs[2]


def test_the_figures_are_those_of_the_whole_sample_and_lie_within_their_intervals() -> None:
    rows, scores = sample(1)
    figures, difference = bootstrap(rows, {"a": scores}, 0.05, 200, 7)
    assert difference is None
    assert figures["a"].average_precision.value == average_precision(rows.is_fraud, scores)
    assert figures["a"].recall.value == recall_at_budget(rows.is_fraud, scores, rows.days, 0.05)
    for interval in (figures["a"].average_precision, figures["a"].recall):
        assert interval.low < interval.value < interval.high


def test_a_side_against_itself_differs_by_exactly_nothing() -> None:
    rows, scores = sample(2)
    _, difference = bootstrap(rows, {"a": scores, "b": scores.copy()}, 0.05, 50, 7)
    assert difference is not None
    assert (difference.recall.low, difference.recall.high) == (0.0, 0.0)
    assert (difference.average_precision.low, difference.average_precision.high) == (0.0, 0.0)


def test_pairing_narrows_the_interval_of_a_difference() -> None:
    rows, scores = sample(3)
    nearly = scores + 0.1 * np.random.default_rng(0).normal(size=len(scores))
    figures, difference = bootstrap(rows, {"a": scores, "b": nearly}, 0.05, 200, 7)
    assert difference is not None
    alone = figures["a"].average_precision
    assert difference.average_precision.high - difference.average_precision.low < 0.7 * (
        alone.high - alone.low
    )


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    truth = np.mean([average_precision(*_pair(seed, rows=20_000)) for seed in range(100, 110)])
    covered = 0
    for seed in range(60):
        rows, scores = sample(seed, rows=1_000)
        interval = bootstrap(rows, {"a": scores}, 0.05, 80, seed)[0]["a"].average_precision
        covered += int(interval.low <= truth <= interval.high)
    assert 48 <= covered <= 60


def _pair(seed: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    many, scores = sample(seed, rows=rows)
    return many.is_fraud, scores


@pytest.mark.parametrize("rows", [0, 5])
def test_without_frauds_every_figure_is_undefined(rows: int) -> None:
    nothing = Sample(np.zeros(rows, bool), np.zeros(rows, np.int32), np.zeros(rows, np.int64), np.ones(rows))
    figures, _ = bootstrap(nothing, {"a": np.linspace(0, 1, rows)}, 0.05, 20, 7)
    assert np.isnan(figures["a"].average_precision.value)
    assert np.isnan(figures["a"].recall.high)
