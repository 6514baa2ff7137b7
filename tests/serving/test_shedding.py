"""What is foreseen follows what rounds cost, notices a stall while it lasts, and recovers from it."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraud.serving.shedding import Forecast

ROWS_MAX = 512
costs = st.tuples(st.floats(1e-4, 5e-3), st.floats(2e-6, 2e-4))
rounds = st.lists(st.tuples(st.integers(1, ROWS_MAX), st.floats(0, 30)), max_size=40)


def told(history: list[tuple[int, float]]) -> Forecast:
    """A forecast that has seen rounds of so many rows and seconds; time stands at 0 after it."""
    forecast = Forecast(ROWS_MAX)
    for rows, seconds in history:
        forecast.begin(rows, -seconds)
        forecast.end(0.0)
    return forecast


@given(cost=costs, before=rounds, seed=st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_whatever_was_seen_before_the_true_cost_is_learned(
    cost: tuple[float, float], before: list[tuple[int, float]], seed: int
) -> None:
    fixed_s, row_s = cost
    pace = told(before).pace
    pick = Random(seed)
    for _ in range(1_500):
        rows = pick.choice((1, 4, 16, 64, 200, ROWS_MAX))
        pace.observe(rows, fixed_s + row_s * rows)
    for rows in (1, 64, ROWS_MAX):
        assert pace.round_s(rows) == pytest.approx(fixed_s + row_s * rows, rel=0.1, abs=2e-4)
    assert pace.spread_s < 0.1 * (fixed_s + row_s * ROWS_MAX) + 2e-4


@given(before=rounds, rows=st.integers(1, 20_000), more=st.integers(1, 5_000), passed=st.floats(0, 10))
@settings(max_examples=200, deadline=None)
def test_more_rows_ahead_never_make_the_wait_shorter(
    before: list[tuple[int, float]], rows: int, more: int, passed: float
) -> None:
    forecast = told(before)
    forecast.begin(rows, 0.0)
    assert 0.0 <= forecast.wait_s(rows, passed) <= forecast.wait_s(rows + more, passed)


@given(cost=costs, before=rounds, stall_s=st.floats(0.5, 60))
@settings(max_examples=100, deadline=None)
def test_after_a_stall_probes_bring_calls_back_in(
    cost: tuple[float, float], before: list[tuple[int, float]], stall_s: float
) -> None:
    """Only one call is let in while nothing waits; a hundred of those suffice, whatever was seen before."""
    fixed_s, row_s = cost
    deadline_s = 0.1
    forecast = told([*before, (ROWS_MAX, stall_s), (1, stall_s)])
    for _ in range(100):
        forecast.begin(1, 0.0)
        forecast.end(fixed_s + row_s)
    assert forecast.wait_s(2, 0.0) < deadline_s


@given(stall_s=st.floats(1e-3, 100))
@settings(max_examples=50, deadline=None)
def test_a_stall_is_foreseen_to_last_as_long_again(stall_s: float) -> None:
    forecast = told([(10, 0.001)] * 200)
    forecast.begin(10, 0.0)
    late_s = stall_s - forecast.pace.round_s(10)
    assert forecast.left_s(stall_s) == pytest.approx(abs(late_s))
    assert forecast.wait_s(1, stall_s) >= abs(late_s)


def test_who_knows_nothing_refuses_nobody() -> None:
    forecast = Forecast(ROWS_MAX)
    assert forecast.idle
    assert forecast.wait_s(20_000, 5.0) == 0.0


def test_work_of_another_kind_teaches_nothing_about_rows() -> None:
    forecast = told([(10, 0.001)] * 50)
    before = forecast.pace.round_s(100)
    forecast.begin(0, 0.0)
    assert forecast.left_s(3.0) == 3.0
    forecast.end(30.0)
    assert forecast.pace.round_s(100) == before
