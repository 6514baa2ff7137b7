"""The benchmark on hardening: rounds of variants join, and old ways are open or shut as the model says."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks.evasion import add, measured, played
from benchmarks.evasion_arena import (
    QUICK,
    Arena,
    attacked,
    found_anew,
    joined,
    judge,
    scenes_of,
    still_open,
)
from benchmarks.evasion_figure import curve_of, draw
from benchmarks.evasion_rounds import Evaded, Round, Rounds
from benchmarks.report import UNKNOWN, Report, commit
from fraud.settings.learning import Recipe
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
    recipes = {"recent": Recipe(kind="recent", rounds=30, max_depth=4)}
    training = world.settings.training.model_copy(update={"recipes": recipes})
    return Arena(
        world.settings.model_copy(update={"training": training}),
        rows,
        rows,
        world.history,
        early,
        scenes_of(world.history, early, world.frauds(20)),
        world.history.judged("card").filter(pl.col("is_fraud").is_not_null()).collect(),
    )


def test_both_parts_of_evasion_add_up_and_old_ways_are_open_to_the_model_they_were_found_with(
    world: World, arena: Arena
) -> None:
    results = attacked(arena, world.bundle)
    row, caught = judge(arena, world.bundle, results)
    assert len(caught) == len(arena.judged(results)) == 20
    assert 0 < row["alerts"] < 0.2
    assert row["rec 0.25"] + row["unrecoverable"] == pytest.approx(row["all 0.25"])
    assert row["black box"] <= row["all 0.25"] <= row["all 0.50"]
    for part in ("rec", "all"):
        assert curve_of(row, part) == sorted(curve_of(row, part))
    assert 0.3 < row["clean AP"] <= 1
    stopped = Evaded.of_results([each for each in results if each.stopped])
    assert len(stopped.of) > 10
    assert still_open(arena, world.bundle, stopped) == 1
    shut = replace(world.bundle, thresholds=replace(world.bundle.thresholds, review=0.0))
    assert still_open(arena, shut, stopped) == 0
    assert np.isnan(still_open(arena, shut, Evaded.of_results([])))


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
    assert all(each.best is not None for each in old)
    none = [each.without() for each in old]
    first = Evaded.of_results(old)
    assert found_anew(none, first) == 0
    assert found_anew([*none[:3], replace(none[3], stopped=False)], first) == 0.25
    assert found_anew(results, Evaded.of_results([each for each in old if each.cost <= 0.25])) == 1
    assert np.isnan(found_anew(results, Evaded.of_results([])))


def test_rounds_that_were_written_are_gone_on_from_and_drawn(arena: Arena, tmp_path: Path) -> None:
    first = played(arena, [])
    folder = tmp_path / f"{QUICK.cut}-own-terminal"
    rounds = Rounds(folder)
    assert rounds.read(3) == []
    rounds.write(0, first)
    (read,) = rounds.read(3)
    assert read.row == first.row
    for name in ("features", "of", "cost", "attempt", "evades"):
        np.testing.assert_array_equal(getattr(read.found, name), getattr(first.found, name))
    assert (read.found.words, read.old.words) == (first.found.words, first.old.words)
    np.testing.assert_array_equal(read.old.features, first.old.features)
    second = played(arena, [read])
    assert second.row["old ways"] <= first.row["old ways"] == 1
    assert second.old is read.old
    rounds.write(1, second)
    assert len(rounds.read(3)) == 2
    assert len(rounds.read(1)) == 1
    own = rounds.commits
    assert own == {commit()}
    file = folder / "round-0.json"
    stored = json.loads(file.read_text())
    del stored["commit"]
    for earlier in ({"commit": "0123456789ab"}, {}):
        file.write_text(json.dumps({**stored, **earlier}))
        rows, commits = measured(tmp_path, "own terminal", QUICK, 1)
        assert [row["round"] for row in rows] == [0, 1]
        assert commits == own | {earlier.get("commit", UNKNOWN)}, "what another commit played is told"
    report = Report("")
    add(report, "own terminal", QUICK, table_of([first, second]))
    values = {bar.name.partition(": ")[2]: bar.value for bar in report.bars}
    assert values["price in clean average precision"] == pytest.approx(
        1 - second.row["clean AP"] / first.row["clean AP"]
    )
    draw(report.rows, tmp_path / "curves.svg")
    assert "before" in (tmp_path / "curves.svg").read_text()


def table_of(rounds: list[Round]) -> list[dict[str, object]]:
    return [{"means": "own terminal", "round": number, **each.row} for number, each in enumerate(rounds)]
