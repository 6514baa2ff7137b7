"""What a row of features cannot hold is refused where it comes in, by name."""

import math
from pathlib import Path

import numpy as np
import pytest

from fraud.errors import InvalidInput
from fraud.features.state import NUMERIC_MAX
from fraud.serving.intake import TransactionIntake
from tests.serving.worlds import Stream, settings_in


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (1e39, r"numerics\.distance: 1e\+39 does not fit float32; send a number within ±3\.402823e\+38, or"),
        (-1e300, "does not fit float32"),
        (math.nextafter(NUMERIC_MAX, math.inf), "does not fit float32"),
        (math.inf, r"numerics\.distance: is inf; send a finite number, or leave it out"),
        (math.nan, "is nan; send a finite number"),
    ],
)
def test_a_number_that_float32_cannot_hold_is_refused(tmp_path: Path, value: float, says: str) -> None:
    wire = Stream(seed=1).next()
    wire.numerics["distance"] = value
    with pytest.raises(InvalidInput, match=says):
        TransactionIntake(settings_in(tmp_path)).read(wire, 2**61)


def test_the_largest_number_that_float32_holds_is_taken_and_stays_finite(tmp_path: Path) -> None:
    wire = Stream(seed=1).next()
    wire.numerics["distance"] = NUMERIC_MAX
    (taken,) = TransactionIntake(settings_in(tmp_path)).read(wire, 2**61).numerics
    assert np.isfinite(np.float32(taken))
