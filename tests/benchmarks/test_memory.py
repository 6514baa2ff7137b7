"""The benchmark on replay memory: the attack keeps its days, each way replays what it says, bars can fail."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from benchmarks.memory import (
    CLEAN,
    LONG,
    NONE,
    PATTERN,
    RANDOM,
    RECALL,
    SPENT_DAYS,
    THEN,
    WAYS,
    Figures,
    Played,
    Scale,
    World,
    archived,
    at_random,
    clean_of,
    day_of_then,
    forgetful,
    judged,
    recall_of,
    reported,
)
from benchmarks.memory_contest import Calendar, Size, play
from fraud.clock import DAY_US
from fraud.training.memory import memory_of
from fraud.training.splits import walk_forward

ATTACK, SEED = "card_testing", 5
SMALL = Scale((ATTACK,), (SEED,), Calendar(before=10), Size(500, 300, 5.0))
MEMORY = 20


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return archived(ATTACK, SEED, SMALL, tmp_path_factory.mktemp("memory"))


def test_the_attack_keeps_its_days_and_others_play_on_all() -> None:
    calendar = SMALL.calendar
    recorded = play(ATTACK, SEED, calendar, SMALL.size)
    again = play(ATTACK, SEED, calendar, SMALL.size)
    assert recorded.table.equals(again.table)
    days = recorded.table.select("id", day=(pl.col("time_us") - recorded.start_us) // DAY_US)
    day_of = dict(days.iter_rows())
    its = {day_of[name] for name, attack in recorded.attacks.items() if attack == ATTACK}
    others = {day_of[name] for name, attack in recorded.attacks.items() if attack != ATTACK}
    first, back = set(range(calendar.before, calendar.left + SPENT_DAYS)), set(range(calendar.returned, 99))
    assert its <= first | back
    assert its & first
    assert its & back
    assert len(others) > 0.9 * calendar.days
    assert calendar.returned - calendar.left == 35


def test_some_frauds_become_known_within_a_week_and_honest_payments_never() -> None:
    recorded = play(ATTACK, SEED, SMALL.calendar, SMALL.size)
    known = recorded.table.filter(pl.col("is_known_fraud") == 1)
    assert set(known["id"]) < set(recorded.attacks)
    after = (known["known_us"] - known["time_us"]).to_numpy() / DAY_US
    assert (after >= 1).all()
    assert (after <= 7).all()
    early = [name for name in recorded.attacks if int(name[:4]) < SMALL.calendar.days - 8]
    assert 0.9 < len(set(early) & set(known["id"])) / len(early) < 1


def test_the_short_window_holds_none_of_the_attack_and_each_memory_its_number(world: World) -> None:
    settings, calendar = world.settings, world.calendar
    recipe = settings.training.recipes["recent"].model_copy(update={"replay_max": MEMORY})
    now = world.rows(calendar.returned)
    random = at_random(recipe, now, settings)
    ways = {
        NONE: forgetful(recipe),
        RANDOM: random,
        PATTERN: recipe,
        LONG: settings.training.recipes["full"],
    }
    before_us = walk_forward(settings, now.cut.time_us, recipe.window).train.start_us
    mine, drawn = (memory_of(each, now, before_us) for each in (recipe, random))
    assert len(mine.frauds) == len(drawn.frauds) == MEMORY
    assert set(mine.frauds.tolist()) != set(drawn.frauds.tolist())
    assert now.draws[drawn.frauds].max() < recipe.replay_share
    found = judged(world, now, ways)
    found |= judged(world, world.rows(day_of_then(settings, calendar)), {THEN: forgetful(recipe)})
    assert set(found) == set(WAYS)
    assert found[NONE].learned == 0
    assert 0 < found[PATTERN].learned <= MEMORY
    assert found[LONG].learned == found[THEN].learned > MEMORY / 2
    for each in found.values():
        assert 0 <= each.recall <= 1
        assert 0.2 < each.clean_precision <= 1
    larger = recipe.model_copy(update={"replay_max": 100_000})
    assert at_random(larger, now, settings).replay_share == 1, "all there are"


def test_recall_is_of_the_attack_and_precision_of_the_others(world: World) -> None:
    assert world.returned.any()
    assert world.others.any()
    assert not (world.returned & world.others).any()
    only_it = world.returned.astype(float)
    assert recall_of(world, only_it) == 1
    assert clean_of(world, only_it) == pytest.approx(world.others.sum() / (~world.returned).sum())
    only_others = world.others.astype(float)
    assert recall_of(world, only_others) == 0
    assert clean_of(world, only_others) == 1
    assert recall_of(world, only_it + 2 * only_others) == 1, "others are no false positives"
    none = replace(world, returned=np.zeros(len(world.returned), np.bool_))
    assert math.isnan(recall_of(none, only_it))


def played(recalls: Mapping[str, float], clean: float = 0.9, attack: str = ATTACK) -> Played:
    base = {way: Figures(0.9, 0.9, 5, 1.0) for way in WAYS}
    base |= {way: replace(base[way], recall=recall) for way, recall in recalls.items()}
    return Played(attack, SEED, 10, base | {PATTERN: replace(base[PATTERN], clean_precision=clean)})


@pytest.mark.parametrize(
    ("recalls", "clean", "verdicts"),
    [
        ({NONE: 0.5, RANDOM: 0.8, PATTERN: 0.9}, 0.9, ["ok", "ok", "ok"]),
        ({NONE: 0.5, RANDOM: 0.8, PATTERN: 0.75}, 0.9, ["short", "ok", "ok"]),
        ({NONE: 0.5, RANDOM: 0.5, PATTERN: 0.55}, 0.9, ["ok", "short", "ok"]),
        ({NONE: 0.5, RANDOM: 0.8, PATTERN: 0.9}, 0.8, ["ok", "ok", "short"]),
        ({NONE: 1.0, RANDOM: 1.0, PATTERN: 1.0}, 0.9, ["ok", "short", "ok"]),
    ],
)
def test_each_bar_can_fail(recalls: Mapping[str, float], clean: float, verdicts: list[str]) -> None:
    report = reported([played(recalls, clean)])
    assert [bar.verdict(quick=False) for bar in report.bars] == verdicts


def test_bars_are_of_the_mean_of_contests_and_one_without_frauds_counts_for_nothing() -> None:
    lucky, usual = played({NONE: 0.4, PATTERN: 1.0}), played({NONE: 0.6, PATTERN: 0.8}, attack="new_device")
    none = played(dict.fromkeys(WAYS, float("nan")), attack="new_device")
    report = reported([lucky, usual, none])
    assert [(row["attack"], row["memory"]) for row in report.rows[::5]] == [
        (ATTACK, NONE),
        ("new_device", NONE),
        ("all", NONE),
    ]
    means = {row["memory"]: row for row in report.rows if row["attack"] == "all"}
    assert means[PATTERN][RECALL] == pytest.approx(0.9)
    assert means[PATTERN][CLEAN] == pytest.approx(0.9)
    assert report.bars[1].value == pytest.approx(0.8)
    assert means[PATTERN]["worst"] == 0.8
    assert "less none: +0.400, " in report.notes[1]
    assert "more in 2 contests, less in 0, of 3" in report.notes[1]
