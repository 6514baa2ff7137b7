"""The emergency way: a confirmed attack, its own units, and a person at the end."""

from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from fraud.clock import DAY_US
from fraud.gate.attacks import AttackRule
from fraud.gate.evidence import Evidence, gather
from fraud.gate.verdict import Verdict, judge
from tests.gate.test_verdict import FRESH, GATE, case
from tests.gate.worlds import World, rules

WORLD = World(seed=9, days=10, rows_a_day=400, fraud_share=0.03)
RING = 5_000
ATTACK = AttackRule("attack_7", entities=(("merchant", RING),), since_us=5 * DAY_US)
APPROVAL = GATE.model_copy(update={"mode": "approval"})


def attacked(caught: bool = True) -> pl.DataFrame:
    """Thirty frauds at one merchant from day 5 on, as many cards, that the champion does not see."""
    frame = WORLD.frame()
    row = pl.int_range(pl.len())
    hit = (row >= 5 * 400) & (row % 60 == 7)
    return frame.with_columns(
        is_fraud=pl.col("is_fraud") | hit,
        label_known_us=pl.when(hit).then(pl.col("event_time_us")).otherwise("label_known_us"),
        entity_merchant=pl.when(hit).then(RING).otherwise("entity_merchant"),
        champion_score=pl.when(hit).then(0.001).otherwise("champion_score"),
        challenger_score=pl.when(hit).then(0.999 if caught else 0.001).otherwise("champion_score"),
    )


def evidence(frame: pl.DataFrame, *attacks: AttackRule) -> Evidence:
    return gather(frame, rules(attacks=attacks))


def verdict(caught: bool = True, **changes: Any) -> Verdict:
    return judge(case(evidence(attacked(caught), ATTACK), FRESH, **changes), APPROVAL)


def test_an_attack_counts_once_overall_and_by_its_cards_when_it_is_confirmed() -> None:
    given = evidence(attacked(), ATTACK)
    (part,) = given.attacks
    assert part.name == "attack_7"
    assert part.rows == len(part.votes) == 33
    assert part.votes.wins == 33
    assert given.votes.wins < 10, "a ring is one attack among others"


def test_only_payments_since_the_attack_began_and_of_every_pair_are_of_it() -> None:
    frame = attacked().with_columns(categorical_country=pl.lit("BR"))
    later = replace(ATTACK, since_us=8 * DAY_US)
    elsewhere = replace(ATTACK, words=(("country", "NL"),))
    both = replace(ATTACK, words=(("country", "BR"),))
    parts = evidence(frame, ATTACK, later, elsewhere, both).attacks
    assert [len(part.votes) for part in parts] == [33, 13, 0, 33]


def test_better_on_a_confirmed_attack_waits_for_a_person() -> None:
    given = verdict()
    assert (given.outcome, given.way) == ("PROMOTE", "emergency")
    assert given.check("superiority").passed is False
    assert given.reason.startswith("emergency: attack_7: of 33 cards hit 33 caught by the challenger alone")


def test_without_approval_the_evidence_is_told_and_nothing_is_promoted() -> None:
    given = judge(case(evidence(attacked(), ATTACK), FRESH), GATE)
    assert (given.outcome, given.way) == ("INCONCLUSIVE", "")
    assert given.reason.startswith("emergency evidence reached, so a person may promote it")


def test_an_attack_that_nobody_confirmed_is_no_emergency() -> None:
    assert judge(case(evidence(attacked()), FRESH), APPROVAL).outcome == "INCONCLUSIVE"


def test_a_challenger_that_misses_it_as_well_is_no_remedy() -> None:
    given = verdict(caught=False)
    assert given.outcome == "INCONCLUSIVE"
    assert given.check("attack_7").passed is False


@pytest.mark.parametrize("changes", [{"self_test_ok": False}, {"bundle_bytes": 10**12}])
def test_guards_hold_in_an_emergency(changes: dict[str, Any]) -> None:
    assert verdict(**changes).outcome == "REJECT"


def test_attempts_challengers_and_attacks_share_the_chance_of_error() -> None:
    alone = verdict().check("attack_7").bound
    assert alone == 20 * 1 * 1 * 2
    assert verdict(challengers=3, attempt=2).check("attack_7").bound == 20 * 3 * 2 * 3
    other = replace(ATTACK, name="attack_9", entities=(("merchant", 1),))
    two = judge(case(evidence(attacked(), ATTACK, other), FRESH), APPROVAL)
    assert two.check("attack_7").bound == two.check("attack_9").bound == 2 * 40
