"""Limits on both sides: integers at their largest, entities at `entities_max`, bytes per entity."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud.errors import ConfigError
from fraud.features import cells, hops
from fraud.features.layout import Layout
from fraud.features.state import FeatureState
from fraud.settings.features import HOPS_MAX
from fraud.settings.schema import AMOUNT_MINOR_BOUND
from tests.features.making import EVERYTHING, START, card_spec, read, rows_of, spec_of

EVENTS_BOUND = 2**31
INT64_MAX = 2**63 - 1
NAMES = ("card", "merchant", "device")


def test_sums_and_squares_of_as_many_events_as_can_be_fit_their_integers() -> None:
    square = AMOUNT_MINOR_BOUND**2
    assert EVENTS_BOUND * AMOUNT_MINOR_BOUND <= INT64_MAX
    assert EVENTS_BOUND * (square >> 32) <= INT64_MAX
    assert EVENTS_BOUND * 0xFFFFFFFF <= INT64_MAX  # lower limbs at their worst
    assert EVENTS_BOUND < 2**32 > AMOUNT_MINOR_BOUND  # counts and largest amounts, uint32
    # The product in `deviation`: q·(S + r) in limbs, with q ≤ amount and r < events.
    largest = EVENTS_BOUND * AMOUNT_MINOR_BOUND + EVENTS_BOUND
    assert largest <= INT64_MAX
    assert AMOUNT_MINOR_BOUND * (largest >> 32) <= INT64_MAX
    assert AMOUNT_MINOR_BOUND * 0xFFFFFFFF <= INT64_MAX


@pytest.mark.parametrize("zeros", [0, 1, 2**30, 2**31 - 2])
def test_the_kernel_reads_a_ring_at_its_bounds_without_overflow(zeros: int) -> None:
    state = FeatureState(card_spec(windows=["1h"], aggregates=EVERYTHING, small_amount_minor=100))
    state.score(rows_of((0, AMOUNT_MINOR_BOUND)))
    n, full = 2**31 - 1, 2**31 - 1 - zeros
    small, wide = state.rows_of(0, 1)
    plan = state.layout.plan
    window = int(state.layout.kind(0)[hops.WINDOWS_FROM])
    cells = int(plan[window + hops.HOPS])
    cell = START // int(plan[window + hops.HOP]) % cells
    square = AMOUNT_MINOR_BOUND**2
    small[0, plan[window + hops.COUNTS] + cell] = n
    wide[0, plan[window + hops.SUMS] + cell] = full * AMOUNT_MINOR_BOUND
    wide[0, plan[window + hops.SQUARES] + cell] = full * (square >> 32)
    wide[0, plan[window + hops.SQUARES] + cells + cell] = full * (square & 0xFFFFFFFF)
    total = Fraction(full * AMOUNT_MINOR_BOUND)
    variance = (full * square - total**2 / n) / (n - 1)
    assert read(state, "card_count_1h", 1) == np.float32(n)
    assert read(state, "card_sum_1h", 1) == np.float32(float(total) / 100)
    assert read(state, "card_mean_1h", 1) == np.float32(float(total / n) / 100)
    assert read(state, "card_max_1h", 1) == np.float32(AMOUNT_MINOR_BOUND / 100)
    assert read(state, "card_std_1h", 1) == np.float32(math.sqrt(variance) / 100)


@given(st.lists(st.integers(0, AMOUNT_MINOR_BOUND) | st.just(AMOUNT_MINOR_BOUND), min_size=2, max_size=50))
def test_the_deviation_of_integers_loses_nothing_to_cancellation(amounts: list[int]) -> None:
    n, total, squares = len(amounts), sum(amounts), [x * x for x in amounts]
    found = cells.deviation(n, total, sum(s >> 32 for s in squares), sum(s & 0xFFFFFFFF for s in squares))
    variance = (sum(squares) - Fraction(total) ** 2 / n) / (n - 1)
    assert math.isclose(found, math.sqrt(variance), rel_tol=1e-12)


def test_equal_amounts_have_no_deviation_at_all() -> None:
    state = FeatureState(card_spec(windows=["1h"], aggregates=["std"]))
    state.score(rows_of(*[(second, AMOUNT_MINOR_BOUND) for second in range(50)]))
    assert read(state, "card_std_1h", 50) == 0


def test_the_last_entity_is_held_and_the_next_one_reads_as_never_seen() -> None:
    spec = card_spec(windows=["1h"], aggregates=["count", "mean"], since=["first"])
    state = FeatureState(spec)
    scored = state.score(rows_of((0, 100, (63,)), (1, 100, (63,)), (0, 100, (64,)), (1, 100, (64,))))
    column = spec.places["card_count_1h"]
    assert scored.features[:, column].tolist() == [0, 1, 0, 0]
    assert scored.is_new[:, 0].tolist() == [True, False, True, True]
    assert math.isnan(scored.features[3, spec.places["card_mean_1h"]])
    one = np.ones(1, np.int64)
    state.relabel(np.array([[64]], np.int32), np.array([START]), one)  # no such row: left alone
    assert state.marks.tolist() == [64, START + 1_000_000]


def test_a_missing_entity_has_no_features_and_is_not_new() -> None:
    spec = card_spec(windows=["1h"], aggregates=["count"])
    scored = FeatureState(spec).score(rows_of((0, 100, (-1,)), (0, 100, (-1,))))
    assert np.isnan(scored.features[:, 1]).all()
    assert not scored.is_new.any()


def test_the_longest_ring_counts_every_hop() -> None:
    state = FeatureState(
        card_spec(windows=[{"width": f"{HOPS_MAX - 1}s", "hop": "1s"}], aggregates=["count", "max"])
    )
    state.score(rows_of(*[(second, second) for second in range(HOPS_MAX + 10)]))
    window = f"{(HOPS_MAX - 1) // 60}m{(HOPS_MAX - 1) % 60}s"
    assert read(state, f"card_count_{window}", HOPS_MAX + 9) == HOPS_MAX
    assert read(state, f"card_max_{window}", HOPS_MAX + 9) == np.float32((HOPS_MAX + 9) / 100)


def test_an_entity_takes_at_most_4_kib_at_the_full_specification() -> None:
    layout = Layout.of(
        spec_of(
            {
                name: {
                    "windows": ["1h", "24h", "7d", "30d"],
                    "aggregates": EVERYTHING,
                    "small_amount_minor": 100,
                    "steps": {},
                    "distinct": [other for other in NAMES if other != name],
                    "since": ["previous", "first"],
                    "fraud_rates": [{"width": "7d", "delay": "7d"}, {"width": "30d", "delay": "7d"}],
                }
                for name in NAMES
            }
        )
    )
    assert all(layout.row_bytes(kind) <= 4_096 for kind in range(3))


def test_only_what_is_asked_for_has_a_place() -> None:
    counts = Layout.of(card_spec(windows=["24h"], aggregates=["count"]))
    assert counts.row_bytes(0) == 3 * 8 + 13 * 4
    nothing = Layout.of(card_spec(windows=["24h"], aggregates=[]))
    assert nothing.row_bytes(0) == 3 * 8
    two_rates = [{"width": "7d", "delay": "7d"}, {"width": "30d", "delay": "7d"}]
    assert Layout.of(card_spec(fraud_rates=two_rates)).row_bytes(0) == 3 * 8 + 2 * 38 * 4


def test_a_state_that_cannot_be_reserved_is_a_wrong_configuration() -> None:
    spec = spec_of({"card": {"windows": ["24h"]}}, entities_max=2**44)
    with pytest.raises(ConfigError, match="entities_max"):
        FeatureState(spec)
