"""Recomputed features beside logged ones: bits count, and the first difference is named."""

import numpy as np
from numpy.typing import NDArray

from fraud.features.difference import Comparison
from fraud.records import NO_DECISION, Entry, Scored

NAMES = ("amount", "hour")
LOGGED = np.array([[1.0, np.nan], [2.0, 3.0]], np.float32)


def entries(features: NDArray[np.float32], first: int = 10) -> list[Entry]:
    return [
        Entry(
            first + i,
            0,
            Scored(f"tx-{i}", 0, "card", (), 100, "EUR", 100, (), (), row.tobytes(), NO_DECISION),
        )
        for i, row in enumerate(features)
    ]


def test_equal_bits_are_no_difference_missing_values_included() -> None:
    comparison = Comparison(NAMES)
    assert comparison.take(entries(LOGGED), LOGGED.copy())
    assert comparison.take(entries(LOGGED, 12), LOGGED.copy())
    assert (comparison.equal, comparison.left_out, comparison.first) == (4, 0, None)


def test_the_first_difference_is_named() -> None:
    other = LOGGED.copy()
    other[1, 0] = np.nextafter(np.float32(2), np.float32(3))
    comparison = Comparison(NAMES)
    assert not comparison.take(entries(LOGGED), other)
    assert comparison.equal == 1
    assert str(comparison.first) == (
        "position 11, transaction tx-1: amount was logged as 2.0 and is 2.000000238418579 when replayed"
    )


def test_a_zero_of_the_other_sign_is_a_difference() -> None:
    logged, other = np.zeros((1, 2), np.float32), np.array([[0.0, -0.0]], np.float32)
    comparison = Comparison(NAMES)
    assert not comparison.take(entries(logged), other)
    assert comparison.first is not None
    assert comparison.first.feature == "hour"


def test_what_was_logged_under_another_set_of_features_is_left_out() -> None:
    comparison = Comparison(NAMES, changed=11)
    run = [*entries(LOGGED), *entries(LOGGED[:, :1], 12), *entries(LOGGED, 14)]
    now = np.concatenate([LOGGED + 1, LOGGED + 1, LOGGED])
    assert comparison.take(run, now)
    assert (comparison.equal, comparison.left_out, comparison.first) == (2, 4, None)
    now[5, 0] = 7
    assert not comparison.take(run, now)
    assert comparison.first is not None
    assert (comparison.first.position, comparison.first.feature) == (15, "amount")


def test_nothing_comparable_is_no_difference() -> None:
    comparison = Comparison(NAMES)
    assert comparison.take(entries(LOGGED[:, :1]), LOGGED)
    assert (comparison.equal, comparison.left_out) == (0, 2)
