"""Probations judged by frauds: what the champion on probation and the former one would have caught."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fraud.clock import DAY_US
from fraud.registry.ledger import RegistryState
from fraud.registry.probation import probation_of
from fraud.registry.store import promote
from fraud.retrainer.cycle import Workshop
from fraud.retrainer.daemon import open_workshop
from fraud.retrainer.probation import ProbationWatch, judge_probation
from fraud.settings import load_settings
from tests.retrainer.patterns import START_US, World

PROMOTED_DAY, PROBATION_DAYS = 24, 5
KNOWING, BLINDED = "card-1", "card-2"
WIDE = {"FRAUD__GATE__ALERT_SHARE": "0.05"}


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `KNOWING`, which knows both patterns of fraud, and `BLINDED`, which knows one."""
    place = tmp_path_factory.mktemp("known")
    opened = World(place)
    opened.pass_days(PROMOTED_DAY)
    assert (opened.train(), blind(opened)) == (KNOWING, BLINDED)
    opened.close()
    return place


@pytest.fixture
def world(known: Path, tmp_path: Path) -> Iterator[World]:
    """A copy of the folder, for one test."""
    opened = World(shutil.copytree(known, tmp_path / "world"))
    yield opened
    opened.close()


def shop_of(world: World, **environment: str) -> Workshop:
    return open_workshop(load_settings(world.config, WIDE | environment))


def blind(world: World) -> str:
    """Train a version that sees amounts only, so it knows one of the two patterns."""
    whole = world.settings
    card = whole.models["card"].model_copy(update={"features": ("amount", "night")})
    world.settings = whole.model_copy(update={"models": {**whole.models, "card": card}})
    version = world.train()
    world.settings = whole
    return version


def crown(world: World, version: str, half_days: int = 0) -> None:
    """Promote a version, on probation if it follows another one."""
    champion = world.ledger.state().champion("card")
    promote(
        world.ledger,
        "card",
        version,
        champion,
        actor="test",
        reason="",
        time_us=START_US + PROMOTED_DAY * DAY_US + half_days * DAY_US // 2,
        probation_us=PROBATION_DAYS * DAY_US,
    )


def probation_after(world: World, former: str, champion: str) -> tuple[Workshop, ProbationWatch]:
    """Crown one version after the other, so that the second is on probation; return who watches it."""
    crown(world, former)
    crown(world, champion)
    shop = shop_of(world)
    return shop, ProbationWatch(shop)


def state_after(world: World, watch: ProbationWatch, shop: Workshop, day: int) -> RegistryState:
    """What the ledger says at the end of a day, once the archive has it and the watch has looked."""
    world.pass_days(day)
    shop.clock.observe(world.log.last_arrival_us())
    shop.copy()
    watch.turn()
    return world.ledger.state()


def test_a_champion_that_misses_frauds_gives_way_to_the_former_one(world: World) -> None:
    shop, watch = probation_after(world, KNOWING, BLINDED)
    assert state_after(world, watch, shop, PROMOTED_DAY + 4).champion("card") == BLINDED, (
        "nothing has matured"
    )
    day = PROMOTED_DAY + 5
    while state_after(world, watch, shop, day).champion("card") == BLINDED:
        day += 1
        assert day < PROMOTED_DAY + 2 * PROBATION_DAYS
    state = world.ledger.state()
    assert state.champion("card") == KNOWING
    (probation,) = state.probations["card"]
    assert (probation.result, probation.former) == ("rolled back", KNOWING)
    evidence = probation.evidence
    assert evidence["losses"] >= 8
    assert evidence["losses"] > 4 * evidence["wins"]
    assert evidence["value_minor"] > 0
    entry = world.ledger.find([probation.ended_seq])[probation.ended_seq]
    assert (entry.kind, entry.actor) == ("RolledBack", "probation")
    assert "only the former champion would have caught" in entry.reason
    shown = {"model": "card", "side": "frauds"}
    registry = shop.metrics.registry
    assert (registry.get_sample_value("fraud_probation_e_value", shown) or 0.0) >= shop.settings.gate.e_value
    watch.turn()
    assert registry.get_sample_value("fraud_probation_e_value", shown) is None, "it was of this probation"


def test_while_the_guard_has_frozen_the_model_a_probation_decides_nothing(world: World) -> None:
    """What may not be brought before the gate may not roll back or pass either."""
    shop, watch = probation_after(world, KNOWING, BLINDED)

    def report(*, frozen: bool) -> None:
        said = {"model": "card", "request_seq": None, "cut_position": 1, "cut_time_us": 1}
        found = {"findings": [], "frozen": frozen, "dropped": [], "overridden": []}
        shop.record("GuardReported", said | found, "a test")

    report(frozen=True)
    last = PROMOTED_DAY + 2 * PROBATION_DAYS + 1
    assert probation_of(state_after(world, watch, shop, last), "card") is not None
    report(frozen=False)
    watch.turn()
    assert world.ledger.state().probations["card"][0].result


def test_a_better_champion_passes_when_all_of_its_payments_have_matured(world: World) -> None:
    shop, watch = probation_after(world, BLINDED, KNOWING)
    last = PROMOTED_DAY + 2 * PROBATION_DAYS
    assert probation_of(state_after(world, watch, shop, last - 1), "card") is not None
    state = state_after(world, watch, shop, last)
    assert state.champion("card") == KNOWING
    (probation,) = state.probations["card"]
    assert probation.result == "passed"
    assert probation.evidence["wins"] > 4 * probation.evidence["losses"]


def test_a_probation_ends_once_the_day_it_ended_on_has_been_judged(world: World) -> None:
    """Promoted at noon, its last day is half a day; evidence takes days that have matured as a whole."""
    crown(world, BLINDED)
    crown(world, KNOWING, half_days=1)
    shop = shop_of(world)
    watch = ProbationWatch(shop)
    (probation,) = world.ledger.state().probations["card"]
    matured_us = probation.until_us + shop.settings.labels.maturity
    last_day = PROMOTED_DAY + 2 * PROBATION_DAYS
    state_after(world, watch, shop, last_day)
    shop.clock.observe(matured_us)
    watch.turn()
    assert probation_of(world.ledger.state(), "card") is not None, "its last day has not matured"
    whole = state_after(world, watch, shop, last_day + 1).probations["card"][0]
    assert whole.result == "passed"
    midnight = replace(probation, until_us=probation.until_us // DAY_US * DAY_US)
    assert whole.evidence["wins"] > judge_probation(shop, midnight).wins


def test_a_probation_that_cannot_be_judged_is_tried_again_and_holds_up_nothing(world: World) -> None:
    shop, watch = probation_after(world, KNOWING, BLINDED)
    bundle = shop.settings.places.bundles
    gone = bundle.rename(bundle.with_name("gone"))
    day = PROMOTED_DAY + PROBATION_DAYS + 2
    assert state_after(world, watch, shop, day).champion("card") == BLINDED, "nothing was raised"
    gone.rename(bundle)
    watch.turn()
    assert world.ledger.state().champion("card") == KNOWING, "judged on the same day, once it can be"


def test_only_payments_of_the_probation_are_evidence(world: World) -> None:
    crown(world, KNOWING)
    crown(world, BLINDED)
    shop = shop_of(world)
    world.pass_days(PROMOTED_DAY + 12)
    shop.clock.observe(world.log.last_arrival_us())
    shop.copy()
    (probation,) = world.ledger.state().probations["card"]
    whole = judge_probation(shop, probation)
    first = judge_probation(shop, replace(probation, until_us=probation.since_us + DAY_US))
    assert 0 < first.losses < whole.losses
    assert judge_probation(shop, replace(probation, until_us=probation.since_us)).losses == 0
