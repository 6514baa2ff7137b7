"""Slices: what is cut, what is pooled, what is tested, and what a bad one does to the verdict."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from fraud.clock import DAY_US
from fraud.errors import ConfigError
from fraud.gate.checks import slice_recall
from fraud.gate.evidence import Evidence, gather
from fraud.gate.slices import Slice, SliceRules
from fraud.gate.verdict import judge
from fraud.gate.votes import Votes
from fraud.settings import settings_from
from fraud.settings.learning import Gate
from tests.gate.test_verdict import FRESH, GATE, case
from tests.gate.worlds import World, rules

WORLD = World(seed=4, days=20)
RULES = SliceRules(
    new_entities=("card",),
    new_within_us=7 * DAY_US,
    fields=("country",),
    amounts=(1_000, 10_000, 40_000),
    attacks_min=40,
)
COUNTRIES = ["BE", "BE", "BE", "BE", "NL", "NL", "NL", "FR", "LU", ""]


def frame(world: World = WORLD) -> pl.DataFrame:
    """The world with ages of cards and countries: a card in five is new."""
    made = world.frame()
    count = np.arange(len(made))
    ages = np.where(count % 5 == 0, np.where(count % 2, np.nan, 3 * 86_400.0), 30 * 86_400.0)
    words = np.array(COUNTRIES)[(count * 7) % 10]
    return made.with_columns(
        f_card_age_s=pl.Series(ages, dtype=pl.Float32), categorical_country=pl.Series(words)
    )


def evidence(change: pl.Expr | None = None, world: World = WORLD) -> Evidence:
    rows = frame(world)
    return gather(rows if change is None else rows.with_columns(challenger_score=change), rules(slices=RULES))


def named(given: Evidence) -> dict[str, Slice]:
    return {part.name: part for part in given.slices}


def voted(wins: int, losses: int, both: int) -> Votes:
    units = wins + losses + both
    return Votes(
        np.zeros(units, np.int32),
        np.arange(units) < wins + both,
        np.arange(units) >= wins,
        np.full(units, 100),
        np.repeat([100, 0, -100], [wins, both, losses]),
    )


def test_large_values_stand_alone_and_small_ones_are_pooled() -> None:
    parts = named(evidence())
    assert list(parts)[:4] == ["new_card", "country=BE", "country=NL", "country=(small ones)"]
    assert parts["country=(small ones)"].rows == 20 * 300 * 3 // 10, "FR, LU and not given"
    assert all(parts[name].tested for name in list(parts)[:4])


def test_what_is_small_even_when_pooled_is_reported_and_not_tested() -> None:
    parts = named(evidence())
    assert parts["amount=<10"].rows > 0
    assert not parts["amount=<10"].tested
    row = slice_recall(parts["amount=<10"], 5, GATE)
    assert row.passed is None
    assert "are not tested" in row.reason


def test_the_parts_of_a_field_hold_every_row_and_unit_once() -> None:
    given = evidence()
    for field in ("country", "amount"):
        parts = [part for part in given.slices if part.name.startswith(f"{field}=")]
        assert sum(part.rows for part in parts) == len(given.sample.days)
        assert sum(len(part.votes) for part in parts) == len(given.votes), "no unit has two rows here"


def test_a_card_never_seen_before_is_new_and_one_not_given_is_not() -> None:
    rows = frame().with_columns(f_card_age_s=pl.lit(float("nan")))
    assert named(gather(rows, rules(slices=RULES)))["new_card"].rows == 6_000
    unknown = rows.with_columns(entity_card=pl.lit(-1))
    assert named(gather(unknown, rules(slices=RULES)))["new_card"].rows == 0


def test_a_unit_votes_in_a_slice_by_its_rows_there() -> None:
    rows = frame().head(300).with_columns(is_fraud=pl.Series([True, True] + [False] * 298))
    alerted = pl.Series([0.0, 1.0] + [0.0] * 298)
    made = rows.with_columns(
        label_known_us=pl.lit(0, pl.Int64),
        entity_card=pl.Series([1, 1, *range(2, 300)]),
        categorical_country=pl.Series(["NL", "BE"] + ["BE"] * 298),
        challenger_score=alerted,
        champion_score=alerted,
    )
    given = gather(made, rules(slices=replace(RULES, attacks_min=1), alert_share=0.004))
    assert len(given.votes) == 1
    assert given.votes.challenger.all()
    parts = named(given)
    assert parts["country=BE"].votes.challenger.tolist() == [True]
    assert parts["country=NL"].votes.challenger.tolist() == [False]


def test_a_challenger_that_gave_up_a_country_is_rejected_whatever_it_wins_elsewhere() -> None:
    in_nl = pl.col("categorical_country") == "NL"
    blind = evidence(pl.when(in_nl).then(0.0).otherwise(pl.col("challenger_score")), BETTER)
    verdict = judge(case(blind), GATE)
    assert verdict.check("superiority").passed
    assert (verdict.outcome, verdict.way) == ("REJECT", "")
    row = verdict.check("slice_country=NL")
    assert row.passed is False
    assert row.high is not None
    assert row.high < 0
    assert verdict.reason.startswith("slice_country=NL: of ")


BETTER = replace(WORLD, challenger_noise=0.4)


def test_a_challenger_that_is_better_everywhere_passes_every_slice() -> None:
    verdict = judge(case(evidence(world=BETTER)), GATE)
    assert (verdict.outcome, verdict.way) == ("PROMOTE", "superiority")
    assert [row.passed for row in verdict.checks if row.name.startswith("slice_")].count(True) >= 5


def test_the_bound_rises_with_the_slices_tested_together() -> None:
    part = Slice("country=NL", 500, voted(0, 8, 32), tested=True)
    assert slice_recall(part, 1, Gate()).passed is False
    alone, together = slice_recall(part, 1, Gate()), slice_recall(part, 10, Gate())
    assert together.passed
    assert alone.low is not None
    assert together.low is not None
    assert together.low <= alone.low, "the interval widens as well"


def test_a_loss_within_the_margin_is_no_failure_however_certain() -> None:
    part = Slice("country=NL", 50_000, voted(0, 40, 960), tested=True)
    row = slice_recall(part, 1, Gate())
    assert row.passed
    assert row.value == pytest.approx(-0.04)
    assert slice_recall(replace(part, votes=voted(0, 60, 940)), 1, Gate()).passed is False


def test_equal_challengers_fail_a_slice_no_more_often_than_promised() -> None:
    rejected = 0
    for seed in range(60):
        given = evidence(world=replace(WORLD, seed=seed, days=14))
        parts = [part for part in given.slices if part.tested]
        rejected += any(slice_recall(part, len(parts), GATE).passed is False for part in parts)
    assert rejected / 60 <= 0.05


def test_a_first_version_has_no_slices_to_be_worse_in() -> None:
    first = gather(frame().with_columns(champion_score=pl.lit(None, pl.Float64)), rules(slices=RULES))
    names = [row.name for row in judge(case(first, None), GATE).checks]
    assert not [name for name in names if name.startswith("slice_")]


def test_no_evidence_has_slices_without_units() -> None:
    empty = gather(frame().clear(), rules(slices=RULES))
    assert [len(part.votes) for part in empty.slices] == [0] * len(empty.slices)
    assert judge(case(empty, FRESH), GATE).outcome == "INCONCLUSIVE"


TABLES: dict[str, Any] = {
    "schema": {
        "entities": {"card": {}, "merchant": {}},
        "categorical": {"country": {}, "note": {"personal": True}},
    },
    "features": {"entities": {"card": {"since": ["first"]}}},
    "models": {"card": {"categoricals": ["country"]}},
}


def test_slices_default_to_entities_whose_age_is_known_and_to_fields_not_personal() -> None:
    taken = SliceRules.of(settings_from(TABLES, {}, Path("fraud.toml")))
    assert (taken.new_entities, taken.fields) == (("card",), ("country",))


@pytest.mark.parametrize(
    ("slices", "told"),
    [
        ({"fields": ["note"]}, "gate.slices.fields: 'note' matches nothing"),
        ({"new_entities": ["shop"]}, "gate.slices.new_entities: unknown shop"),
        ({"amounts": [10, 10]}, "must rise"),
    ],
)
def test_a_slice_that_cannot_be_is_refused_by_name(slices: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        settings_from({**TABLES, "gate": {"slices": slices}}, {}, Path("fraud.toml"))


def test_an_entity_whose_age_nobody_keeps_is_refused_with_the_remedy() -> None:
    tables = {**TABLES, "gate": {"slices": {"new_entities": ["merchant"]}}}
    with pytest.raises(ConfigError, match=r"add since = \[.first.\] to \[features.entities.merchant\]"):
        settings_from(tables, {}, Path("fraud.toml"))
