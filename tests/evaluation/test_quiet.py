"""What quiet weeks promise: a loud week hides nothing, a weekly rhythm is no news, false alarms are rare."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraud.evaluation.quiet import forecast


def promised(daily: list[int], days: int = 1) -> float:
    made = forecast(np.array(daily, np.int64), days)
    assert made is not None
    return made.expected


@pytest.mark.parametrize(("days", "enough"), [(20, False), (21, True)])
def test_fewer_than_three_whole_weeks_promise_nothing(days: int, enough: bool) -> None:
    assert (forecast(np.ones(days, np.int64)) is not None) == enough


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 20), min_size=28, max_size=70), st.integers(0, 3), st.integers(100, 10_000))
def test_one_loud_week_of_four_changes_nothing_however_loud(daily: list[int], at: int, loud: int) -> None:
    weeks = len(daily) // 7
    place = at % weeks
    quieter = [loud] * 7
    louder = [3 * loud] * 7
    spans = slice(7 * place, 7 * place + 7)
    for days in (1, 3, 7):
        one, other = list(daily), list(daily)
        one[spans], other[spans] = quieter, louder
        assert promised(one, days) == pytest.approx(promised(other, days))


def test_a_feed_that_speaks_once_a_week_is_not_surprising_on_its_day() -> None:
    weekly = np.array([70, 0, 0, 0, 0, 0, 0] * 8, np.int64)
    daily = np.full(56, 10, np.int64)
    once, always = forecast(weekly), forecast(daily)
    assert once is not None
    assert always is not None
    assert once.expected == pytest.approx(always.expected)
    assert once.chance(70) > 0.01
    assert always.chance(70) < 1e-20


def test_expectations_follow_what_there_was_to_count() -> None:
    counts, rows = np.full(28, 10, np.int64), np.full(28, 1_000.0)
    made = forecast(counts, 1, rows, 3_000.0)
    assert made is not None
    assert made.expected == pytest.approx(30, rel=0.01)
    empty = np.concatenate([counts, np.zeros(28, np.int64)])
    unlived = forecast(empty, 1, np.concatenate([rows, np.zeros(28)]), 3_000.0)
    assert unlived == made, "weeks without anything to count say nothing"


@pytest.mark.parametrize("dispersed", [0.0, 0.3])
def test_false_alarms_are_as_rare_as_promised(dispersed: float) -> None:
    rng = np.random.default_rng(11)
    alarms = 0
    for _ in range(4_000):
        rates = 8 * (rng.gamma(1 / dispersed, dispersed, 57) if dispersed else np.ones(57))
        counts = rng.poisson(rates)
        made = forecast(counts[1:], 1)
        assert made is not None
        alarms += made.chance(int(counts[0])) <= 0.001
    assert alarms <= 4_000 * 0.001 * 6, "leaving out loud weeks costs a factor, not more"
