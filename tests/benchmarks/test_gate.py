"""The gate's benchmark: worlds are what they say, and each way of looking drives the real gate."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from benchmarks.gate import (
    ALIKE,
    DECLINED,
    EQUAL,
    OLD_US,
    YOUNG_US,
    attempted_daily,
    looked_again,
    looked_daily,
    others,
    runs,
)
from benchmarks.gate_worlds import World
from fraud.gate.evidence import gather

BETTER = replace(EQUAL, challenger_noise=0.4)


def test_a_world_is_its_seed() -> None:
    assert World(seed=3, days=3).frame().equals(World(seed=3, days=3).frame())
    assert not World(seed=3, days=3).frame().equals(World(seed=4, days=3).frame())


def test_the_votes_of_a_day_are_those_of_the_whole_up_to_it() -> None:
    world = replace(EQUAL, rings_a_day=0.5, days=10)
    whole, part = (gather(world.frame(), world.rules(day)).votes for day in (None, 6))
    until = whole.until(6)
    assert np.array_equal(until.days, part.days)
    assert np.array_equal(until.differences, part.differences)


def test_declined_alerts_have_no_label_unless_explored() -> None:
    world = replace(DECLINED, days=5)
    frame = world.frame()
    declined = frame.filter(pl.col("outcome") == 4)
    assert declined["label_known_us"].null_count() == len(declined) > 0
    assert 0 < int(frame["explored"].sum()) < 0.15 * len(declined)
    assert len(declined) + int(frame["explored"].sum()) == 5 * 20


@pytest.mark.parametrize("side", ["champion", "challenger"])
def test_alerts_of_one_side_are_labelled_next_day_and_the_rest_late(side: str) -> None:
    world = replace(EQUAL, soon=side)
    delays = (pl.col("label_known_us") - pl.col("event_time_us")) / 86_400_000_000
    days = world.frame().filter("is_fraud").select(delays).to_series().to_numpy()
    assert 0.5 < np.mean(days < 1.1) < 0.8, "the share that an equal model catches"
    assert 0 < np.mean(days > 30) < 0.05


@pytest.mark.parametrize("look", [looked_daily, looked_again])
def test_a_much_better_challenger_is_promoted_by_the_gate_at_some_look(look: object) -> None:
    found = look(BETTER, YOUNG_US)  # type: ignore[operator]
    assert found is not None
    assert 50 <= found.frauds <= 200


def test_an_equal_challenger_refreshes_an_old_champion_in_the_end() -> None:
    world = replace(ALIKE, seed=5)
    found = looked_daily(world, OLD_US)
    assert found is not None
    assert found.frauds > 150
    assert looked_daily(world, YOUNG_US) is None, "it was its age, not a better challenger"


def test_other_gates_are_played_on_the_same_world() -> None:
    found = others(BETTER)
    assert set(found) == {"point estimate", "bootstrap bound", "sign test"}
    assert all(each is not None for each in found.values())


def test_daily_attempts_are_judged_one_after_the_other() -> None:
    daily = next(run for run in runs() if run.first is attempted_daily)
    blind = replace(daily.world, rows_a_day=20)
    assert attempted_daily(blind, YOUNG_US) is None
