"""Both sides are censored alike: the mirror, the coin, and what happens without them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fraud.gate.censoring import coin, exploration_rates, heads, mirrored

MOST = 2**31 - 1


def test_the_coin_is_fair_and_belongs_to_the_transaction() -> None:
    tosses = np.array([coin(f"t{i}") for i in range(20_000)])
    assert tosses.min() >= 0
    assert tosses.max() < 1
    assert abs(np.mean(tosses < 0.1) - 0.1) < 0.01
    assert coin("t1") == tosses[1]


def test_a_large_amount_never_shows_heads() -> None:
    shown = heads(["a", "b", "c"], np.array([10, 11, 10]), np.ones(3), 10)
    assert shown.tolist() == [True, False, True]
    assert not heads(["a"], np.array([1]), np.zeros(1), MOST).any()


def test_the_exploration_rate_of_a_day_is_what_its_decisions_say() -> None:
    declined = np.array([True, False, False, True, True, False, True])
    explored = np.array([False, True, False, False, False, False, False])
    propensities = np.array([0.95, 0.05, 1.0, 0.8, 1.0, 1.0, 1.0])
    days = np.array([0, 0, 0, 1, 1, 2, 1], dtype=np.int32)
    within_cap = np.array([True, True, True, True, True, True, False])
    rates = exploration_rates(declined, explored, propensities, days, within_cap)
    # The second decline of day 1 found the budget used up; the third was above the cap.
    assert np.allclose(rates, [0.05, 0.05, 0.05, 0.1, 0.1, 0.0, 0.1])


def test_without_declines_nothing_is_mirrored() -> None:
    nobody = np.zeros(4, dtype=bool)
    assert not mirrored(nobody, nobody, np.zeros(4, np.int32), [np.arange(4.0)]).any()


def test_each_side_declines_as_many_a_day_as_were_declined() -> None:
    declined = np.array([True, False, False, False, False, False])
    days = np.array([0, 0, 0, 1, 1, 1], dtype=np.int32)
    champion, challenger = np.array([9.0, 1, 2, 9, 1, 2]), np.array([1.0, 9, 2, 9, 1, 2])
    marked = mirrored(declined, np.zeros(6, dtype=bool), days, [champion, challenger])
    assert marked.tolist() == [True, True, False, False, False, False]


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
