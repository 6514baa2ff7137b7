"""Early ends of a probation: jumps of outcomes, frauds that were missed; and the record in shadow."""

import math

import numpy as np
import pytest

from fraud.clock import DAY_US
from fraud.gate.probation import Pairs, demotion, outcome_log_e
from fraud.gate.shadow import ShadowRecord, judge_shadow
from fraud.gate.votes import Votes
from fraud.settings.learning import Gate, Probation, Shadow

RATIO, SHARE_MIN, LOOKS = 3.0, 0.002, 200
BOUND = math.log(80)


def live(seed: int, rows: int, champion: float, former: float, together: float = 0.5) -> list[Pairs]:
    """Counts after each of `LOOKS` looks at rows with these rates; `together` of the smaller one coincide."""
    rng = np.random.default_rng(seed)
    both = min(champion, former) * together
    cells = rng.choice(4, size=rows, p=[both, champion - both, former - both, 1 - champion - former + both])
    counts = np.stack([np.cumsum(cells == i) for i in range(4)], axis=1)
    looks = np.linspace(rows // LOOKS, rows, LOOKS).astype(int) - 1
    return [Pairs(*(int(n) for n in counts[i])) for i in looks]


def jumped(pairs: list[Pairs], before: float | None) -> int | None:
    """Rows after which a jump was first seen, looking again and again; None: never."""
    for seen in pairs:
        found = outcome_log_e(seen, before, RATIO, SHARE_MIN)
        if max(found.rise, found.fall) >= BOUND:
            return seen.rows
    return None


@pytest.mark.parametrize(("champion", "former"), [(0.01, 0.01), (0.028, 0.01), (0.01, 0.028)])
def test_rates_within_the_ratio_are_hardly_ever_a_jump_however_often_one_looks(
    champion: float, former: float
) -> None:
    seen = [jumped(live(seed, 20_000, champion, former), champion) for seed in range(60)]
    assert sum(it is not None for it in seen) <= 3, seen


@pytest.mark.parametrize(("champion", "before"), [(0.10, 0.01), (0.0005, 0.03)])
def test_a_tenfold_rise_and_a_collapse_are_seen_soon(champion: float, before: float) -> None:
    seen = [
        jumped(live(seed, 20_000, champion, 0.03 if champion < 0.01 else 0.01), before) for seed in range(20)
    ]
    assert all(it is not None and it <= 6_000 for it in seen), seen


def test_a_champion_that_sees_an_attack_its_predecessor_is_blind_to_is_no_jump() -> None:
    """It alerts ten times as often as the former one, as was foreseen on the traffic before."""
    seen = [jumped(live(seed, 20_000, 0.05, 0.005), 0.05) for seed in range(20)]
    assert seen == [None] * 20
    alone = [jumped(live(seed, 20_000, 0.05, 0.005), None) for seed in range(20)]
    assert None not in alone, "beside the former one alone it would be"


@pytest.mark.parametrize("before", [0.0, None])
def test_a_handful_of_alerts_is_no_jump(before: float | None) -> None:
    risen = outcome_log_e(Pairs(champion_only=20, neither=9_980), before, RATIO, SHARE_MIN)
    assert max(risen.rise, risen.fall) < BOUND
    fallen = outcome_log_e(Pairs(former_only=20, neither=9_980), before, RATIO, SHARE_MIN)
    assert max(fallen.rise, fallen.fall) < BOUND


def test_no_payments_are_no_evidence_and_each_alert_more_is_more_of_it() -> None:
    nothing = outcome_log_e(Pairs(), 0.01, RATIO, SHARE_MIN)
    assert nothing.rise == pytest.approx(0.0, abs=1e-12)
    assert nothing.fall <= 0.0
    rises = [outcome_log_e(Pairs(3, n, 7, 900), 0.01, RATIO, SHARE_MIN).rise for n in range(30, 90, 5)]
    assert rises == sorted(set(rises))
    falls = [outcome_log_e(Pairs(0, 1, n, 900), 0.1, RATIO, SHARE_MIN).fall for n in range(30, 90, 5)]
    assert falls == sorted(set(falls))


def votes(former_only: int, champion_only: int, amount: int = 1_000) -> Votes:
    n = former_only + champion_only
    return Votes(
        np.zeros(n, np.int32),
        np.arange(n) < former_only,
        np.arange(n) >= former_only,
        np.full(n, amount, np.int64),
        np.where(np.arange(n) < former_only, amount, -amount),
    )


def test_a_former_champion_that_catches_more_comes_back_and_an_equal_one_does_not() -> None:
    clear = demotion(votes(20, 2), 20.0)
    assert (clear.wins, clear.losses, clear.value_minor, clear.reached) == (2, 20, 18_000, True)
    assert not demotion(votes(20, 20), 20.0).reached
    assert not demotion(votes(2, 20), 20.0).reached
    assert "20 frauds only the former champion would have caught, 2 only the present one did" in clear.reason


def test_more_frauds_and_less_money_does_not_bring_it_back() -> None:
    poorer = votes(20, 2)
    poorer.gained_minor[20:] = -1_000_000
    found = demotion(poorer, 20.0)
    assert found.value_minor < 0
    assert not found.reached


GATE = Gate(shadow=Shadow(least=DAY_US, rows_min=1_000), probation=Probation())


def record(
    rows: int = 2_000, days: float = 2.0, differing: int = 0, pairs: Pairs | None = None
) -> ShadowRecord:
    held = Pairs(15, 5, 5, rows - 25) if pairs is None else pairs
    return ShadowRecord(rows, DAY_US, DAY_US + int(days * DAY_US), min(rows, 500), differing, held, 0.01)


@pytest.mark.parametrize(
    ("given", "answer", "words"),
    [
        (record(), "ready", "2000 payments in 2.00 days in shadow"),
        (record(rows=999), "wait", "1000 in 1 are needed"),
        (record(days=0.5), "wait", "in 0.50 days"),
        (record(differing=1), "failed", "1 of 500 scores given in shadow are not what the bundle gives"),
        (record(pairs=Pairs(20, 400, 0, 1_580)), "failed", "alerts on 21.00% of 2000 payments"),
    ],
)
def test_a_record_in_shadow(given: ShadowRecord, answer: str, words: str) -> None:
    found = judge_shadow(given, GATE)
    assert found.answer == answer
    assert words in found.reason


def test_nothing_scored_yet_waits() -> None:
    found = judge_shadow(ShadowRecord(0, 0, DAY_US, 0, 0, Pairs(), None), GATE)
    assert (found.answer, found.reason) == ("wait", "0 payments in 0.00 days in shadow, 1000 in 1 are needed")
