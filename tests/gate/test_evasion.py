"""The evasion guard: harm by more than the margin and beyond chance fails, and nothing else does."""

import numpy as np
import pytest

from fraud.errors import InvalidInput
from fraud.gate.checks import Check
from fraud.gate.evasion import Attacked, evasion, rings_needed
from fraud.settings.attacks import GATE_FRAUDS_MIN

COST = 0.25
RINGS = rings_needed(1)


def attacked(challenger: np.ndarray, champion: np.ndarray, rings: np.ndarray) -> Attacked:
    """Frauds that get through at a tenth of the value or never, bool[n] a side."""
    return Attacked(np.where(challenger, 0.1, np.inf), np.where(champion, 0.1, np.inf), rings)


def judged(frauds: Attacked, margin: float = 0.05) -> Check:
    """The check at one point of the curve."""
    return evasion(frauds, (COST,), margin)


def counted(frauds: int, *, both: int, more: int, less: int) -> Attacked:
    """So many frauds, each a ring of its own, that get through both sides, or one side alone."""
    place = np.arange(frauds)
    challenger = place < both + more
    champion = (place < both) | ((place >= both + more) & (place < both + more + less))
    return attacked(challenger, champion, place)


def in_rings(challenger: list[bool], champion: list[bool], each: int) -> Attacked:
    """Rings of `each` frauds that get through together or not at all."""
    places = np.repeat(np.arange(len(challenger)), each)
    return attacked(np.repeat(challenger, each), np.repeat(champion, each), places)


def test_an_equal_challenger_passes_and_one_that_is_much_easier_to_evade_does_not() -> None:
    equal = judged(counted(100, both=40, more=8, less=8))
    assert (equal.value, equal.passed) == (0, True)
    worse = judged(counted(100, both=40, more=20, less=4))
    assert worse.value == pytest.approx(0.16)
    assert worse.low is not None
    assert worse.high is not None
    assert 0 < worse.low < 0.16 < worse.high
    assert worse.passed is False
    assert "60% of 100 frauds get through at 25% of the value, 44% at the champion" in worse.reason


def test_harm_within_the_margin_or_within_chance_passes_and_few_frauds_are_only_reported() -> None:
    assert judged(counted(400, both=100, more=16, less=0)).passed is True
    assert judged(counted(40, both=10, more=5, less=2)).passed is True
    assert judged(counted(GATE_FRAUDS_MIN - 1, both=0, more=20, less=0)).passed is None
    assert judged(counted(GATE_FRAUDS_MIN, both=0, more=20, less=0)).passed is False
    none = judged(counted(0, both=0, more=0, less=0))
    assert (none.value, none.passed) == (None, None)


def test_few_rings_are_only_reported_however_many_frauds_they_are() -> None:
    few = judged(in_rings([True] * (RINGS - 1), [False] * (RINGS - 1), 50))
    assert (few.value, few.passed) == (1, None)
    assert f"{RINGS - 1} rings, and {RINGS} are needed" in few.reason
    assert judged(in_rings([True] * RINGS, [False] * RINGS, 50)).passed is False
    one = judged(in_rings([True], [False], 50))
    assert (one.passed, one.low, one.high) == (None, None, None)


def test_equal_challengers_are_rejected_by_chance_in_one_of_forty_at_most() -> None:
    rng = np.random.default_rng(5)
    failed = 0
    for _ in range(2_000):
        more, less, both = rng.multinomial(100, [0.1, 0.1, 0.4, 0.4])[:3]
        failed += judged(counted(100, both=both, more=more, less=less)).passed is False
    assert failed / 2_000 < 0.035


@pytest.mark.parametrize("rings", [5, 7, 8, 11, 20])
def test_frauds_of_rings_reject_equal_challengers_no_more_often(rings: int) -> None:
    """A coin for each ring says which side alone it gets through."""
    rng = np.random.default_rng(7)
    failed = 0
    for _ in range(1_000):
        coins = rng.random(rings) < 0.5
        failed += judged(in_rings(coins.tolist(), (~coins).tolist(), 100 // rings)).passed is False
    assert failed / 1_000 < 0.035


@pytest.mark.parametrize(("more", "least", "most"), [(0.05, 0.15, 0.3), (0.2, 0.85, 1.0)])
def test_what_a_hundred_frauds_show(more: float, least: float, most: float) -> None:
    """Challengers with so much more evasion: at the margin a fifth is rejected, at .2 nearly all."""
    rng = np.random.default_rng(6)
    shares = [0.05 + more, 0.05, 0.4, 0.5 - more]
    failed = [
        judged(counted(100, both=both, more=alone, less=less)).passed is False
        for alone, less, both, _ in rng.multinomial(100, shares, 2_000).tolist()
    ]
    assert least <= np.mean(failed) <= most, np.mean(failed)


def test_columns_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(InvalidInput, match="the same of each fraud"):
        Attacked(np.ones(3), np.ones(3), np.arange(2))


def test_the_whole_curve_is_judged_and_its_worst_point_is_what_is_told() -> None:
    place = np.arange(100)
    champion = np.where(place < 40, 0.2, np.inf)
    cheaper = np.where(place < 40, 0.04, np.inf)
    frauds = Attacked(cheaper, champion, place)
    assert evasion(frauds, (COST,), 0.05).passed is True, "at that cost as many get through"
    found = evasion(frauds, (0.05, 0.1, COST), 0.05)
    assert found.value == pytest.approx(0.4)
    assert found.passed is False
    assert "40% of 100 frauds get through at 5% of the value, 0% at the champion" in found.reason
    assert "the worst of 5%, 10%, 25%" in found.reason


def test_more_points_reject_equal_challengers_no_more_often() -> None:
    rng = np.random.default_rng(8)
    failed = 0
    for _ in range(1_000):
        mine, theirs = rng.random((2, 100))
        failed += evasion(Attacked(mine, theirs, np.arange(100)), (0.1, 0.25, 0.4, 0.6), 0.05).passed is False
    assert failed / 1_000 < 0.035


def test_more_points_need_more_rings() -> None:
    three = (0.05, 0.1, COST)
    for rings, passed in ((rings_needed(3) - 1, None), (rings_needed(3), False)):
        assert evasion(in_rings([True] * rings, [False] * rings, 20), three, 0.05).passed is passed
