"""The evasion guard: harm by more than the margin and beyond chance fails, and nothing else does."""

import numpy as np
import pytest

from fraud.errors import InvalidInput
from fraud.gate.evasion import FRAUDS_MIN, EvasionCount, evasion


def test_an_equal_challenger_passes_and_one_that_is_much_easier_to_evade_does_not() -> None:
    equal = evasion(EvasionCount(0.25, 100, both=40, challenger_only=8, champion_only=8), 0.05)
    assert (equal.value, equal.passed) == (0, True)
    worse = evasion(EvasionCount(0.25, 100, both=40, challenger_only=20, champion_only=4), 0.05)
    assert worse.value == pytest.approx(0.16)
    assert worse.low is not None
    assert worse.high is not None
    assert 0 < worse.low < 0.16 < worse.high
    assert worse.passed is False
    assert "60% of 100 frauds get through at 25% of the value, 44% at the champion" in worse.reason


def test_harm_within_the_margin_or_within_chance_passes_and_few_frauds_are_only_reported() -> None:
    assert evasion(EvasionCount(0.25, 400, 100, 16, 0), 0.05).passed is True
    assert evasion(EvasionCount(0.25, 40, 10, 5, 2), 0.05).passed is True
    assert evasion(EvasionCount(0.25, FRAUDS_MIN - 1, 0, 20, 0), 0.05).passed is None
    assert evasion(EvasionCount(0.25, FRAUDS_MIN, 0, 20, 0), 0.05).passed is False
    none = evasion(EvasionCount(0.25, 0, 0, 0, 0), 0.05)
    assert (none.value, none.passed) == (None, None)


def test_equal_challengers_are_rejected_by_chance_in_one_of_forty_at_most() -> None:
    rng = np.random.default_rng(5)
    failed = 0
    for _ in range(2_000):
        more, less, both = rng.multinomial(100, [0.1, 0.1, 0.4, 0.4])[:3]
        failed += evasion(EvasionCount(0.25, 100, int(both), int(more), int(less)), 0.05).passed is False
    assert failed / 2_000 < 0.035


@pytest.mark.parametrize(("more", "least", "most"), [(0.05, 0.15, 0.3), (0.2, 0.85, 1.0)])
def test_what_a_hundred_frauds_show(more: float, least: float, most: float) -> None:
    """Challengers with so much more evasion: at the margin a fourth is rejected, at .2 nearly all."""
    rng = np.random.default_rng(6)
    shares = [0.05 + more, 0.05, 0.4, 0.5 - more]
    failed = [
        evasion(EvasionCount(0.25, 100, int(both), int(alone), int(less)), 0.05).passed is False
        for alone, less, both, _ in rng.multinomial(100, shares, 2_000)
    ]
    assert least <= np.mean(failed) <= most, np.mean(failed)


def test_counts_that_cannot_be_are_refused() -> None:
    with pytest.raises(InvalidInput, match="count each fraud once"):
        EvasionCount(0.25, 10, 8, 2, 1)
