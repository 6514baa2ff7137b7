"""The benchmark on selective labels: who is let through, and what a drawn service sees."""

import numpy as np
import pytest

from benchmarks.handbook_protocol import WEEK, Payments, assessment_folds, day_number
from benchmarks.selection import STOP, coverage, let_through, service
from fraud.evaluation.resampling import Interval

CARDS, ROWS = 300, 6_000


def made(seed: int = 1) -> tuple[Payments, np.ndarray]:
    """Payments of some cards, and what a champion would decline: most frauds, and little else."""
    rng = np.random.default_rng(seed)
    is_fraud = rng.random(ROWS) < 0.1
    declined = np.where(is_fraud, rng.random(ROWS) < 0.7, rng.random(ROWS) < 0.01)
    days = np.sort(rng.integers(0, 28, ROWS)).astype(np.int32)
    cards = rng.integers(CARDS, size=ROWS)
    return Payments(np.zeros((ROWS, 1), np.float32), is_fraud, cards, days), declined


def test_only_declines_are_let_through_at_about_the_rate_and_each_draw_has_its_own() -> None:
    declined = np.arange(40_000) % 2 == 0
    through = let_through(declined, 0.05, draw=1)
    assert not through[~declined].any()
    assert through.sum() == pytest.approx(1_000, rel=0.15)
    assert (let_through(declined, 0.05, draw=1) == through).all()
    assert (let_through(declined, 0.05, draw=2) != through).any()


def test_a_drawn_service_sees_the_recall_by_weights_and_not_without() -> None:
    payments, declined = made()
    rows, by_card = np.arange(ROWS), np.argsort(payments.cards, kind="stable")
    truth = float(declined[payments.is_fraud].mean())
    runs = [service(payments, rows, by_card, declined, 0.2, seed) for seed in range(40)]
    assert np.mean([weighted.value for weighted, _, _ in runs]) == pytest.approx(truth, abs=0.02)
    assert coverage([weighted for weighted, _, _ in runs], truth) >= 0.75
    assert coverage([naive for _, naive, _ in runs], truth) == 0
    assert all(10 < effective < 600 for _, _, effective in runs)


def test_nothing_after_the_last_test_day_is_imported() -> None:
    assert day_number(STOP) == assessment_folds()[-1].test_start + WEEK


def test_coverage_counts_intervals_that_hold_the_truth() -> None:
    found = [Interval(0.5, 0.4, 0.6), Interval(0.5, 0.1, 0.2), Interval(0.5, 0.3, 0.4)]
    assert coverage(found, 0.4) == pytest.approx(2 / 3)
