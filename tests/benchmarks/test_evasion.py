"""The benchmark on hardening: rounds of variants join, and old ways are open or shut as the model says."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from benchmarks.evasion import Arena, attacked, found_anew, joined, judge, still_open
from fraud.training.dataset import training_rows
from fraud.training.splits import walk_forward
from fraud.training.variants import variants_of
from tests.attacks.worlds import World, made


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return made(tmp_path_factory.mktemp("arena"))


@pytest.fixture(scope="module")
def arena(world: World) -> Arena:
    rows = training_rows(world.history, "card")
    spans = walk_forward(world.settings, rows.cut.time_us, world.settings.training.recipes["full"].window)
    # What is judged here was trained on: the figures are those of any model, not of a good one.
    early = replace(spans, evidence=spans.train)
    return Arena(
        world.settings,
        world.archive,
        rows,
        rows,
        world.history,
        early,
        world.frauds(20),
        world.history.judged("card").filter(pl.col("is_fraud").is_not_null()).collect(),
    )


def test_both_parts_of_evasion_add_up_and_old_ways_are_open_to_the_model_they_were_found_with(
    world: World, arena: Arena
) -> None:
    results = attacked(arena, world.bundle)
    row, caught = judge(arena, world.bundle, results)
    assert len(caught) == len(arena.judged(results)) == 20
    assert 0 < row["alerts"] < 0.2
    assert row["recoverable"] + row["unrecoverable"] == pytest.approx(row["at 25 %"])
    assert row["black box at 25 %"] <= row["at 25 %"] <= row["at 50 %"]
    assert 0.3 < row["clean AP"] <= 1
    stopped = [each for each in results if each.stopped and each.best is not None]
    assert still_open(arena, world.bundle, stopped) == 1
    shut = replace(world.bundle, thresholds=replace(world.bundle.thresholds, review=0.0))
    assert still_open(arena, shut, stopped) == 0
    assert np.isnan(still_open(arena, shut, []))


def test_evasions_of_rounds_join_in_order_and_what_was_drawn_is_there_once(
    world: World, arena: Arena
) -> None:
    one = variants_of(arena.rows, world.history, attacked(arena, world.bundle))
    both = joined([one, one])
    evasions = int(one.evades.sum())
    assert 0 < evasions < len(one.of)
    assert len(both.of) == len(both.words) == len(both.features) == len(one.of) + evasions
    np.testing.assert_array_equal(both.features[len(one.of) :], one.features[one.evades])
    assert both.evades[len(one.of) :].all()
    again = both.attempt[len(one.of) :]
    np.testing.assert_array_equal(again - again[0], one.attempt[one.evades] - one.attempt[one.evades][0])
    assert again.min() > both.attempt[: len(one.of)].max(), "no attempt of one round is one of another"


def test_frauds_that_evade_anew_are_counted_among_the_first_whether_stopped_or_not(
    world: World, arena: Arena
) -> None:
    results = attacked(arena, world.bundle)
    old = [each for each in results if each.stopped][:4]
    none = [each.without() for each in old]
    assert found_anew(none, old) == 0
    assert found_anew([*none[:3], replace(none[3], stopped=False)], old) == 0.25
    assert found_anew(results, [each for each in old if each.cost <= 0.25]) == 1
    assert np.isnan(found_anew(results, []))
