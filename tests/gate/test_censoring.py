"""Both sides are censored alike: the mirror, the coin, and what happens without them."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud.gate.censoring import (
    EXPLORATION_COIN,
    LABEL_COINS,
    coin,
    exploration_rates,
    heads,
    mirrored,
    mirrored_below,
    told_rates,
    toss,
)

MOST = 2**31 - 1


def test_the_coin_is_fair_and_belongs_to_the_transaction() -> None:
    tosses = np.array([coin(f"t{i}") for i in range(20_000)])
    assert tosses.min() >= 0
    assert tosses.max() < 1
    assert abs(np.mean(tosses < 0.1) - 0.1) < 0.01
    assert coin("t1") == tosses[1]


@pytest.mark.parametrize(("one", "other"), [*combinations([EXPLORATION_COIN, *LABEL_COINS.values()], 2)])
def test_the_coins_have_nothing_to_do_with_each_other(one: bytes, other: bytes) -> None:
    names = [f"t{i}" for i in range(20_000)]
    rates = np.full(len(names), 0.5)
    assert abs(np.mean(toss(names, rates, one) & toss(names, rates, other)) - 0.25) < 0.01


def test_a_large_amount_never_shows_heads() -> None:
    shown = heads(["a", "b", "c"], np.array([10, 11, 10]), np.ones(3), 10)
    assert shown.tolist() == [True, False, True]
    assert not heads(["a"], np.array([1]), np.zeros(1), MOST).any()


def test_a_mirrored_row_meets_the_rate_of_the_decline_of_its_rank() -> None:
    declined = np.array([True, True, True, False, False, True, False])
    days = np.array([0, 0, 0, 0, 0, 1, 1], dtype=np.int32)
    nobody, everybody = np.zeros(7, dtype=bool), np.ones(7, dtype=bool)
    met = np.array([0.0, 0.2, 0.4, 9, 9, 0.1, 9])
    champion = np.array([9.0, 8, 7, 2, 1, 9, 1])
    challenger = np.array([1.0, 2, 9, 8, 7, 1, 9])
    rates = exploration_rates(declined, met, everybody, nobody, days, [challenger, champion])
    # The challenger's second and third decline of day 0 meet what the champion's second and third met.
    assert rates.tolist() == [0.0, 0.2, 0.0, 0.2, 0.4, 0.1, 0.1]
    alone = exploration_rates(declined, met, everybody, nobody, days, [champion])
    assert alone.tolist() == [0.0, 0.2, 0.4, 1.0, 1.0, 0.1, 1.0]


def test_declines_above_the_largest_amount_explored_say_nothing_of_the_rate() -> None:
    declined, nobody, day = np.ones(4, dtype=bool), np.zeros(4, dtype=bool), np.zeros(4, np.int32)
    within = np.array([False, True, False, True])
    met, champion = np.array([0.9, 0.1, 0.9, 0.3]), np.array([4.0, 3, 2, 1])
    assert exploration_rates(declined, met, within, nobody, day, [champion]).tolist() == [0.1, 0.1, 0.3, 0.3]
    assert exploration_rates(declined, met, nobody, nobody, day, [champion]).tolist() == [0.0] * 4


def test_without_declines_nothing_is_mirrored() -> None:
    nobody = np.zeros(4, dtype=bool)
    assert not mirrored(nobody, nobody, np.zeros(4, np.int32), [np.arange(4.0)]).any()


def test_each_side_declines_as_many_a_day_as_were_declined() -> None:
    declined = np.array([True, False, False, False, False, False])
    days = np.array([0, 0, 0, 1, 1, 1], dtype=np.int32)
    champion, challenger = np.array([9.0, 1, 2, 9, 1, 2]), np.array([1.0, 9, 2, 9, 1, 2])
    marked = mirrored(declined, np.zeros(6, dtype=bool), days, [champion, challenger])
    assert marked.tolist() == [True, True, False, False, False, False]


def test_each_side_holds_as_many_a_day_below_its_declines() -> None:
    declined = np.array([True, False, False, False, False])
    held = np.array([False, True, False, False, False])
    champion, challenger = np.array([9.0, 8, 3, 2, 1]), np.array([9.0, 1, 2, 3, 8])
    nobody, days = np.zeros(5, dtype=bool), np.zeros(5, np.int32)
    marked = mirrored_below(held, declined, nobody, days, [champion, challenger])
    assert marked.tolist() == [False, True, False, False, True]
    assert not mirrored_below(nobody, declined, nobody, days, [champion, challenger]).any()


def test_the_scores_tell_how_often_held_rows_of_each_kind_got_a_label() -> None:
    held = np.array([True] * 5 + [False, True, True, False])
    told = np.array([True, True, False, False, False, True, True, True, True])
    is_fraud = np.array([True, False, False, False, False, True, True, False, False])
    days = np.array([0] * 6 + [1] * 3, dtype=np.int32)
    # Of the five that were held on day 0 two are frauds, one of them known; of the two of day 1 one is.
    champion, challenger = np.full(9, 0.3), np.array([0.4] * 6 + [0.5] * 3)
    nobody = np.zeros(9, dtype=bool)
    rates = told_rates(held, told, is_fraud, nobody, days, [champion, challenger])
    fraud, honest, later, fair = 1 / 2, 1 / 3, 2 / 3, 2 / 4
    assert np.allclose(rates, [fraud, honest, honest, honest, honest, fraud, later, fair, fair])
    first = days == 0
    cut = (held[first], told[first], is_fraud[first], nobody[first])
    early = told_rates(*cut, days[first], [champion[first] + 0.1])
    assert np.allclose(early, rates[first])


def test_more_is_never_expected_than_could_be_there() -> None:
    held, told, is_fraud = np.ones(2, dtype=bool), np.array([True, False]), np.array([True, False])
    nobody, day = np.zeros(2, dtype=bool), np.zeros(2, np.int32)
    for score, rate in ((1.0, 1 / 2), (0.0, 1.0)):
        rates = told_rates(held, told, is_fraud, nobody, day, [np.full(2, score)])
        assert rates[0] == rate
    assert told_rates(held, held, is_fraud, nobody, day, [np.ones(2)]).tolist() == [1.0, 1.0]


def test_a_failed_challenge_is_a_hidden_fraud_whatever_the_scores_expect() -> None:
    held, told = np.ones(4, dtype=bool), np.array([True, True, False, False])
    is_fraud, failed = np.array([True, False, False, False]), np.array([True, False, True, False])
    rates = told_rates(held, told, is_fraud, failed, np.zeros(4, np.int32), [np.zeros(4)])
    assert np.allclose(rates, [1 / 2, 1 / 2, 1 / 2, 1 / 2]), "one fraud of two, one honest row of two"


def test_imported_rows_are_never_mirrored() -> None:
    imported = np.array([True, False, False])
    marked = mirrored(
        np.array([False, True, False]), imported, np.zeros(3, np.int32), [np.array([9.0, 1, 2])]
    )
    assert marked.tolist() == [False, False, True]


@given(st.integers(0, 10**6))
def test_swapping_the_sides_marks_the_same_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.random((2, 30))
    days = np.sort(rng.integers(3, size=30)).astype(np.int32)
    declined, imported = rng.random((2, 30)) < 0.2
    once, twice = (mirrored(declined & ~imported, imported, days, sides) for sides in ([a, b], [b, a]))
    assert np.array_equal(once, twice)
