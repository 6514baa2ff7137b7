"""`fraud replay` compares bits and names the first difference."""

import numpy as np
import pytest

from fraud.errors import NotAllowedNow
from fraud.features.difference import first_difference
from fraud.records import NO_DECISION, Entry, Scored

NAMES = ("amount", "hour")
LOGGED = np.array([[1.0, np.nan], [2.0, 3.0]], np.float32)


def entries(features: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> list[Entry]:
    return [
        Entry(
            10 + i, 0, Scored(f"tx-{i}", 0, "card", (), 100, "EUR", 100, (), (), row.tobytes(), NO_DECISION)
        )
        for i, row in enumerate(features)
    ]


def test_equal_bits_are_no_difference_missing_values_included() -> None:
    assert first_difference(entries(LOGGED), LOGGED.copy(), NAMES) is None


def test_the_first_difference_is_named() -> None:
    other = LOGGED.copy()
    other[1, 0] = np.nextafter(np.float32(2), np.float32(3))
    found = first_difference(entries(LOGGED), other, NAMES)
    assert found is not None
    assert (found["position"], found["transaction_id"], found["feature"]) == (11, "tx-1", "amount")


def test_a_zero_of_the_other_sign_is_a_difference() -> None:
    logged, other = np.zeros((1, 2), np.float32), np.array([[0.0, -0.0]], np.float32)
    found = first_difference(entries(logged), other, NAMES)
    assert found is not None
    assert found["feature"] == "hour"


def test_another_number_of_features_is_no_comparison() -> None:
    with pytest.raises(NotAllowedNow, match="near 10 holds other features"):
        first_difference(entries(LOGGED), LOGGED[:, :1], NAMES)
