"""Evidence: which rows count, what both sides are given, and how units vote."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from fraud.clock import DAY_US
from fraud.errors import InvalidInput
from fraud.gate import checks
from fraud.gate.clusters import Unit
from fraud.gate.evidence import Evidence, EvidenceRules, gather
from fraud.gate.slices import SliceRules
from fraud.gate.votes import Ballot
from fraud.records import Outcome
from fraud.settings import settings_from
from tests.gate.worlds import MATURITY_US, World, rules

WORLD = World(seed=1, days=6, rows_a_day=200, fraud_share=0.1)


def votes_of(evidence: Evidence) -> list[tuple[int, bool, bool, int]]:
    votes = evidence.votes
    columns = (votes.days, votes.challenger, votes.champion, votes.amount_minor)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_only_days_completely_matured_at_the_cut_are_evidence() -> None:
    for cut, days in ((4 * DAY_US - 1, 3), (4 * DAY_US, 4), (4 * DAY_US + 1, 4)):
        evidence = gather(WORLD.frame(), rules(cut_time_us=cut + MATURITY_US))
        assert set(evidence.sample.days.tolist()) == set(range(days))
        assert evidence.left_out.not_matured == (6 - days) * 200


def test_days_close_by_the_calendar_of_the_time_zone() -> None:
    west = rules(cut_time_us=4 * DAY_US + MATURITY_US, zone=ZoneInfo("America/New_York"))
    assert set(gather(WORLD.frame(), west).sample.days.tolist()) == {-1, 0, 1, 2}


def test_rows_from_before_the_challenger_was_frozen_are_left_out() -> None:
    evidence = gather(WORLD.frame(), rules(since_us=2 * DAY_US))
    assert evidence.left_out.early == 400
    assert evidence.sample.days.min() == 2


def test_a_label_that_came_after_the_cut_is_not_known() -> None:
    frame = WORLD.frame().with_columns(label_known_us=pl.lit(10**18))
    assert gather(frame, rules()).frauds == 0


def test_a_retracted_label_leaves_no_trace() -> None:
    frame = WORLD.frame()
    clean = frame.with_columns(is_fraud=pl.col("is_fraud") & (pl.col("event_time_us") < 5 * DAY_US))
    again = gather(clean, rules())
    assert votes_of(again) == [vote for vote in votes_of(gather(frame, rules())) if vote[0] < 5]


def test_evidence_of_more_days_begins_with_that_of_fewer() -> None:
    frame = replace(WORLD, rings_a_day=1.0).frame()
    whole = votes_of(gather(frame, rules()))
    for days in range(1, 6):
        assert votes_of(gather(frame, rules(days=days))) == [vote for vote in whole if vote[0] < days]


def test_both_sides_have_the_same_budget_every_day() -> None:
    evidence = gather(WORLD.frame(), rules())
    for day in range(6):
        here = evidence.sample.days == day
        assert evidence.challenger_alerts[here].sum() == evidence.champion_alerts[here].sum() == 10


def test_swapping_the_sides_swaps_wins_and_losses() -> None:
    frame = replace(WORLD, decline_share=0.05, explored_share=0.3).frame()
    swapped = frame.rename({"champion_score": "challenger_score", "challenger_score": "champion_score"})
    one, other = gather(frame, rules()), gather(swapped, rules())
    assert (one.votes.wins, one.votes.losses) == (other.votes.losses, other.votes.wins)
    assert one.votes.wins + one.votes.losses > 0


def test_declines_without_exploration_are_counted_and_are_no_evidence() -> None:
    frame = replace(WORLD, decline_share=0.05, explored_share=0.3).frame()
    evidence = gather(frame, rules())
    censored = frame.filter((pl.col("outcome") == Outcome.DECLINE) & ~pl.col("explored"))
    assert evidence.left_out.censored == len(censored) > 0
    assert evidence.left_out.mirrored > 0
    left = len(evidence.sample.days) + evidence.left_out.censored + evidence.left_out.mirrored
    assert left == len(frame)
    assert evidence.left_out.frauds_expected > censored["challenger_score"].sum()


def test_challenges_without_a_label_are_counted_and_are_no_evidence() -> None:
    world = replace(WORLD, decline_share=0.02, explored_share=0.3, challenge_share=0.05, untold=(0.9, 0.1))
    frame = world.frame()
    evidence = gather(frame, rules())
    declined = (pl.col("outcome") == Outcome.DECLINE) & ~pl.col("explored")
    untold = frame.filter(pl.col("is_fraud").is_null())
    assert 0 < len(untold) == evidence.left_out.censored - len(frame.filter(declined))
    assert len(evidence.sample.days) + evidence.left_out.censored + evidence.left_out.mirrored == len(frame)
    assert evidence.left_out.frauds_expected > untold["challenger_score"].sum()
    days = gather(frame, rules(days=4))
    assert days.left_out.not_matured == 400
    assert votes_of(days) == [vote for vote in votes_of(evidence) if vote[0] < 4]


def test_challenges_that_all_have_a_label_are_evidence() -> None:
    evidence = gather(replace(WORLD, challenge_share=0.05).frame(), rules())
    assert (evidence.left_out.censored, evidence.left_out.mirrored) == (0, 0)
    assert votes_of(evidence) == votes_of(gather(WORLD.frame(), rules()))


def test_sides_are_censored_alike_behind_challenges() -> None:
    frame = replace(WORLD, challenge_share=0.05, untold=(0.9, 0.1)).frame()
    swapped = frame.rename({"champion_score": "challenger_score", "challenger_score": "champion_score"})
    one, other = gather(frame, rules()), gather(swapped, rules())
    assert (one.votes.wins, one.votes.losses) == (other.votes.losses, other.votes.wins)


def test_imported_declines_were_decided_elsewhere_and_count() -> None:
    frame = WORLD.frame().with_columns(imported=pl.lit(True), outcome=pl.lit(int(Outcome.DECLINE)))
    assert gather(frame, rules()).left_out.censored == 0


def test_a_unit_is_caught_when_any_of_its_frauds_is_within_the_budget() -> None:
    frame = WORLD.frame().head(200).with_columns(entity_card=pl.lit(1), entity_device=pl.lit(None, pl.Int64))
    evidence = gather(frame, rules())
    amounts = frame.filter("is_fraud")["amount_base_minor"].sum()
    assert votes_of(evidence) == [(0, True, True, amounts)]


def test_who_catches_one_payment_of_an_attack_has_not_saved_the_others() -> None:
    unit = Unit(0, np.arange(3))
    challenger, champion = np.array([True, False, False]), np.array([False, True, True])
    votes = Ballot.of([unit], challenger, champion, np.array([10, 20, 40])).votes()
    assert (votes.wins, votes.losses) == (0, 0), "both caught the attack"
    assert (votes.amount_minor.tolist(), votes.gained_minor.tolist()) == ([70], [10 - 60])


def test_without_a_champion_nobody_votes_for_one() -> None:
    frame = WORLD.frame().with_columns(champion_score=pl.lit(None, pl.Float64))
    evidence = gather(frame, rules())
    assert evidence.champion_scores is None
    assert not evidence.votes.champion.any()
    assert evidence.votes.challenger.any()


@pytest.mark.parametrize("column", ["champion_score", "challenger_score"])
@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_a_row_without_a_finite_score_is_refused_by_name(column: str, value: float | None) -> None:
    frame = WORLD.frame()
    scores = pl.Series(column, [value, *frame[column].to_list()[1:]])
    with pytest.raises(InvalidInput, match=f"{column}: 1 of 1200 rows"):
        gather(frame.with_columns(scores), rules())


def test_no_rows_are_no_evidence_and_no_error() -> None:
    evidence = gather(WORLD.frame().clear(), rules())
    assert (evidence.frauds, evidence.day_count, len(evidence.votes.days)) == (0, 0, 0)


def test_the_order_of_units_within_a_day_does_not_matter_for_superiority() -> None:
    frame = WORLD.frame()
    shuffled = frame.sample(fraction=1.0, shuffle=True, seed=3)
    one, other = gather(frame, rules()), gather(shuffled, rules())
    assert (one.votes.wins, one.votes.losses) == (other.votes.wins, other.votes.losses)
    assert np.array_equal(np.sort(one.votes.amount_minor), np.sort(other.votes.amount_minor))


def test_rules_come_from_the_configuration() -> None:
    tables: dict[str, Any] = {
        "schema": {"entities": {"card": {}}},
        "service": {"timezone": "Europe/Brussels"},
        "models": {"card": {"policy": {"exploration": {"amount_max_minor": 5_000}}}},
        "labels": {"maturity": "20d"},
        "gate": {"alert_share": 0.02},
    }
    settings = settings_from(tables, {}, Path("fraud.toml"))
    taken = EvidenceRules.of(settings, "card", cut_time_us=90 * DAY_US, since_us=DAY_US)
    assert taken == EvidenceRules(
        zone=ZoneInfo("Europe/Brussels"),
        cut_time_us=90 * DAY_US,
        maturity_us=20 * DAY_US,
        alert_share=0.02,
        since_us=DAY_US,
        exploration_amount_max_minor=5_000,
        slices=SliceRules(new_within_us=7 * DAY_US, amounts=(1_000, 10_000, 100_000), attacks_min=30),
    )


def test_what_a_rule_or_list_decided_is_no_evidence_and_dilutes_nothing() -> None:
    frame = replace(WORLD, decline_share=0.05, explored_share=0.3).frame()
    alone = gather(frame, rules())
    declined = {"outcome": int(Outcome.DECLINE), "explored": False, "propensity": 1.0, "is_fraud": False}
    beside = frame.with_columns(
        pl.lit("block:card").alias("rule"),
        pl.format("{}-ruled", "transaction_id").alias("transaction_id"),
        *(pl.lit(value, frame.schema[name]).alias(name) for name, value in declined.items()),
    )
    evidence = gather(pl.concat([frame.with_columns(rule=pl.lit(None, pl.String)), beside]), rules())
    assert evidence.left_out.ruled == len(beside)
    assert replace(evidence.left_out, ruled=0) == alone.left_out
    assert votes_of(evidence) == votes_of(alone)
    assert f"{len(beside)} decided by rules and lists" in checks.left_out(evidence).reason
    assert checks.left_out(evidence).value == len(frame) + len(beside) - len(evidence.sample.days)
