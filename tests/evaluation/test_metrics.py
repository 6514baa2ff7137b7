"""Figures of merit against scikit-learn and against slow, obvious definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from fraud.evaluation.metrics import (
    alert_budget,
    alerts,
    average_precision,
    card_precision,
    recall_at_budget,
    top_of_day,
)

Table = list[tuple[bool, int, float, int, int]]

rows = st.lists(
    st.tuples(st.booleans(), st.integers(0, 5), st.floats(0.1, 9), st.integers(0, 3), st.integers(0, 4)),
    min_size=1,
    max_size=40,
)


def columns(table: Table) -> tuple[np.ndarray, ...]:
    fraud, score, weight, day, card = zip(*table, strict=True)
    scores = np.array(score) / 5
    return np.array(fraud), scores, np.array(weight), np.array(day, dtype=np.int32), np.array(card)


@given(rows)
def test_average_precision_is_that_of_scikit_learn_with_weights_and_ties(table: Table) -> None:
    is_fraud, scores, weights, _, _ = columns(table)
    if is_fraud.any():
        expected = average_precision_score(is_fraud, scores, sample_weight=weights)
        assert average_precision(is_fraud, scores, weights) == pytest.approx(expected, abs=1e-12)


@given(rows)
def test_average_precision_is_the_sum_over_distinct_scores(table: Table) -> None:
    is_fraud, scores, _, _, _ = columns(table)
    if is_fraud.any():
        total, before = 0.0, 0.0
        for score in sorted(set(scores), reverse=True):
            over = scores >= score
            caught = float(is_fraud[over].sum() / is_fraud.sum())
            total += (caught - before) * float(is_fraud[over].mean())
            before = caught
        assert average_precision(is_fraud, scores) == pytest.approx(total, abs=1e-12)


def test_figures_without_frauds_are_not_defined() -> None:
    none = np.zeros(3, dtype=bool)
    scores, days = np.array([0.1, 0.2, 0.3]), np.zeros(3, dtype=np.int32)
    assert np.isnan(average_precision(none, scores))
    assert np.isnan(recall_at_budget(none, scores, days, 0.5))
    assert np.isnan(average_precision(none[:0], scores[:0]))


@given(rows, st.sampled_from([0.05, 0.2, 0.5, 1.0]))
def test_the_budget_takes_the_top_of_each_day_and_the_earlier_of_tied_rows(
    table: Table, share: float
) -> None:
    _, scores, _, days, _ = columns(table)
    marked = alerts(scores, days, share)
    for day in set(days.tolist()):
        here = [row for row in range(len(days)) if days[row] == day]
        ranked = sorted(here, key=lambda row: (-scores[row], row))
        assert {row for row in here if marked[row]} == set(ranked[: alert_budget(len(here), share)])


def test_the_budget_is_a_share_of_the_day_and_at_least_one_alert() -> None:
    assert [alert_budget(rows, 0.01) for rows in (0, 1, 99, 100, 250)] == [0, 1, 1, 1, 2]
    assert all(alert_budget(100, percent / 100) == percent for percent in range(1, 101))


def test_counts_per_day_replace_the_share() -> None:
    days = np.array([3, 3, 1, 1, 3], dtype=np.int32)
    scores = np.array([0.1, 0.9, 0.5, 0.6, 0.8])
    assert top_of_day(scores, days, counts=np.array([0, 2])).tolist() == [False, True, False, False, True]


def test_recall_at_the_budget_is_the_weighted_share_of_frauds_alerted() -> None:
    is_fraud = np.array([True, True, False, True])
    scores, days = np.array([0.9, 0.1, 0.5, 0.2]), np.array([0, 0, 0, 1], dtype=np.int32)
    assert recall_at_budget(is_fraud, scores, days, 0.34) == pytest.approx(2 / 3)
    assert recall_at_budget(is_fraud, scores, days, 0.34, np.array([1.0, 8.0, 1.0, 1.0])) == pytest.approx(
        0.2
    )


def handbook_precision(table: Table, top_k: int) -> float:
    """The loop as the Handbook writes it: a dictionary of cards per day, found cards leave."""
    found: set[int] = set()
    precisions = []
    for day in sorted({row[3] for row in table}):
        best: dict[int, tuple[float, int]] = {}
        compromised = set()
        for place, (fraud, score, _, when, card) in enumerate(table):
            if when == day and card not in found:
                best[card] = max(best.get(card, (-1.0, 0)), (score, -place))
                compromised |= {card} if fraud else set()
        top = sorted(best, key=lambda card: best[card], reverse=True)[:top_k]
        detected = [card for card in top if card in compromised]
        precisions.append(len(detected) / top_k)
        found.update(detected)
    return float(np.mean(precisions))


@given(rows, st.integers(1, 4))
def test_card_precision_is_that_of_the_handbook(table: Table, top_k: int) -> None:
    is_fraud, scores, _, days, cards = columns(table)
    found = card_precision(is_fraud, scores, days, cards, top_k)
    assert found == pytest.approx(handbook_precision(table, top_k))
