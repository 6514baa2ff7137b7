"""Probations judged by frauds, and promotions that wait for their time in shadow."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl
import pytest

from fraud.archive.archive import Archive
from fraud.clock import DAY_US
from fraud.labels.exclusions import Exclusion
from fraud.records import Event, Outcome, Scored, ShadowScore
from fraud.registry import LedgerEntry, LedgerStore
from fraud.registry.ledger import RegistryState
from fraud.registry.probation import probation_of
from fraud.registry.shadows import shadows_of
from fraud.registry.store import promote
from fraud.retrainer.casework import Casework
from fraud.retrainer.cycle import Workshop
from fraud.retrainer.daemon import open_workshop
from fraud.retrainer.judging import judge_challengers
from fraud.retrainer.probation import ProbationWatch, judge_probation
from fraud.retrainer.shadowing import ShadowWatch
from fraud.settings import load_settings
from tests.registry.entries import hiding
from tests.retrainer.patterns import START_US, World

PROMOTED_DAY, PROBATION_DAYS = 24, 5
EVIDENCE = Exclusion("labels", from_us=START_US + 23 * DAY_US)
"""The labels that the evidence of a version of day 34 rests on; none of them taught it."""
WIDE = {"FRAUD__GATE__ALERT_SHARE": "0.05"}


class Shadowed(World):
    """A world whose log holds what version `shadow` makes of each payment, moved by `error`."""

    shadow = ""
    error = 0.0

    def _traffic(self, day: int) -> list[Event]:
        events = super()._traffic(day)
        rival = self.rival(self.shadow)
        if rival is None:
            return events
        bundle = rival.bundle
        columns = self.spec.indices(bundle.feature_names)
        logged = [event for event in events if isinstance(event, Scored)]
        features = np.stack([np.frombuffer(event.features, "<f4") for event in logged])
        scores = bundle.scores_of(bundle.matrix(features, columns, [("web",)] * len(logged)))
        outcomes = bundle.thresholds.outcomes(scores)
        return [
            replace(event, decision=replace(event.decision, score=0.01, shadows=(shadow,)))
            for event, shadow in zip(
                logged,
                [
                    ShadowScore(self.shadow, float(score) + self.error, Outcome(outcome))
                    for score, outcome in zip(scores, outcomes, strict=True)
                ],
                strict=True,
            )
        ]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Shadowed]:
    opened = Shadowed(tmp_path)
    opened.pass_days(PROMOTED_DAY)
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
    knowing, blinded = world.train(), blind(world)
    shop, watch = probation_after(world, knowing, blinded)
    assert state_after(world, watch, shop, PROMOTED_DAY + 4).champion("card") == blinded, (
        "nothing has matured"
    )
    day = PROMOTED_DAY + 5
    while state_after(world, watch, shop, day).champion("card") == blinded:
        day += 1
        assert day < PROMOTED_DAY + 2 * PROBATION_DAYS
    state = world.ledger.state()
    assert state.champion("card") == knowing
    (probation,) = state.probations["card"]
    assert (probation.result, probation.former) == ("rolled back", knowing)
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
    knowing, blinded = world.train(), blind(world)
    shop, watch = probation_after(world, knowing, blinded)

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
    knowing, blinded = world.train(), blind(world)
    shop, watch = probation_after(world, blinded, knowing)
    last = PROMOTED_DAY + 2 * PROBATION_DAYS
    assert probation_of(state_after(world, watch, shop, last - 1), "card") is not None
    state = state_after(world, watch, shop, last)
    assert state.champion("card") == knowing
    (probation,) = state.probations["card"]
    assert probation.result == "passed"
    assert probation.evidence["wins"] > 4 * probation.evidence["losses"]


def test_a_probation_ends_once_the_day_it_ended_on_has_been_judged(world: World) -> None:
    """Promoted at noon, its last day is half a day; evidence takes days that have matured as a whole."""
    knowing, blinded = world.train(), blind(world)
    crown(world, blinded)
    crown(world, knowing, half_days=1)
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


def test_a_probation_that_cannot_be_judged_is_tried_again_and_holds_up_nothing(world: Shadowed) -> None:
    knowing, blinded = world.train(), blind(world)
    shop, watch = probation_after(world, knowing, blinded)
    bundle = shop.settings.places.bundles
    gone = bundle.rename(bundle.with_name("gone"))
    day = PROMOTED_DAY + PROBATION_DAYS + 2
    assert state_after(world, watch, shop, day).champion("card") == blinded, "nothing was raised"
    gone.rename(bundle)
    watch.turn()
    assert world.ledger.state().champion("card") == knowing, "judged on the same day, once it can be"


def test_only_payments_of_the_probation_are_evidence(world: World) -> None:
    knowing, blinded = world.train(), blind(world)
    crown(world, knowing)
    crown(world, blinded)
    shop = shop_of(world)
    world.pass_days(PROMOTED_DAY + 12)
    shop.clock.observe(world.log.last_arrival_us())
    shop.copy()
    (probation,) = world.ledger.state().probations["card"]
    whole = judge_probation(shop, probation)
    first = judge_probation(shop, replace(probation, until_us=probation.since_us + DAY_US))
    assert 0 < first.losses < whole.losses
    assert judge_probation(shop, replace(probation, until_us=probation.since_us)).losses == 0


def passed(world: World, shop: Workshop, version: str) -> None:
    """Let the gate say PROMOTE."""
    history = replace(world.history(), settings=shop.settings)
    (concluded,) = judge_challengers(shop, "card", None, Casework(history, world.bundles), history)
    assert (concluded.version, concluded.verdict) == (version, "PROMOTE"), concluded.reason


def settled(world: World, shop: Workshop, day: int) -> RegistryState:
    world.pass_days(day)
    shop.clock.observe(world.log.last_arrival_us())
    shop.copy()
    ShadowWatch(shop).turn()
    return world.ledger.state()


def in_shadow(world: Shadowed, **environment: str) -> tuple[Workshop, str]:
    """A service whose only version has passed the gate and scores in shadow."""
    shadow = {
        "FRAUD__GATE__MODE": "shadow",
        "FRAUD__GATE__SHADOW__LEAST": "2d",
        "FRAUD__GATE__SHADOW__ROWS_MIN": "500",
    }
    shop = shop_of(world, **shadow, **environment)
    world.pass_days(34)
    version = world.train()
    shop.clock.observe(world.log.last_arrival_us())
    passed(world, shop, version)
    places = shadows_of(world.ledger.state(), "card", 0, shop.settings.shadow_challengers)
    assert [(it.slot, it.version) for it in places] == [("challenger_1", version)]
    assert settled(world, shop, 34).champion("card") == "", "it waits for payments in shadow"
    world.shadow = version
    return shop, version


def test_shadow_first_promotes_after_time_and_payments_in_shadow(world: Shadowed) -> None:
    shop, version = in_shadow(world, FRAUD__GATE__SHADOW__CHALLENGERS="0")
    assert settled(world, shop, 35).champion("card") == "", "one day is not enough"
    # Entries of a day arrive at its end: after the third day, two lie between first and last.
    state = settled(world, shop, 37)
    assert state.champion("card") == version
    promoted = world.ledger.find([state.reigns("card")[0].seq])[state.reigns("card")[0].seq]
    assert "900 payments in 2.00 days in shadow" in promoted.reason
    assert "900 scores equal bit for bit" in promoted.reason


def test_scores_in_shadow_that_the_bundle_does_not_give_end_it(world: Shadowed) -> None:
    shop, version = in_shadow(world)
    world.error = 1e-12
    state = settled(world, shop, 37)
    assert state.champion("card") == ""
    assert state.version(version).status == "superseded"
    (dropped,) = [it for it in world.ledger.read() if it.kind == "VersionDropped"]
    assert "failed in shadow: 900 of 900 scores" in dropped.reason


def test_a_record_counts_only_what_the_version_scored(world: Shadowed) -> None:
    shop, version = in_shadow(world)
    world.pass_days(35)
    world.shadow = ""
    world.pass_days(36)
    shop.clock.observe(world.log.last_arrival_us())
    shop.copy()
    record = ShadowWatch(shop).record(world.ledger.state().version(version))
    assert (record.rows, record.compared, record.differing, record.pairs.rows) == (300, 300, 0, 300)
    assert record.before == pytest.approx(0.04, abs=0.02)


class LaterOnly:
    """An archive whose payments up to a position are read no more."""

    def __init__(self, archive: Archive, after: int) -> None:
        self._archive = archive
        self._after = after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._archive, name)

    def transactions(self, upto: int | None = None) -> pl.LazyFrame:
        """Return the payments behind the position."""
        return self._archive.transactions(upto).filter(pl.col("position") > self._after)


def test_a_turn_reads_only_what_came_since_the_one_before(world: Shadowed) -> None:
    shop, version = in_shadow(world)
    state, whole = world.ledger.state(), shop.archive
    watch, counted = ShadowWatch(shop), 0
    for day in (35, 36, 36, 37):
        world.pass_days(day)
        shop.clock.observe(world.log.last_arrival_us())
        shop.archive = whole
        shop.copy()
        fresh = ShadowWatch(shop).record(state.version(version))
        shop.archive = cast("Archive", LaterOnly(whole, counted))
        assert watch.record(state.version(version)) == fresh
        assert fresh.before is not None
        counted = whole.position()
    assert (fresh.rows, fresh.compared) == (900, 900)


def test_another_view_of_the_data_is_read_anew(world: Shadowed) -> None:
    shop, version = in_shadow(world)
    watch = ShadowWatch(shop)
    world.pass_days(36)
    shop.clock.observe(world.log.last_arrival_us())
    shop.copy()
    assert watch.record(world.ledger.state().version(version)).rows == 600
    hidden = Exclusion("transactions", from_us=START_US + 35 * DAY_US, to_us=START_US + 36 * DAY_US)
    body = hiding(hidden, world.log.head())
    world.ledger.append("DataExcluded", body, actor="t", reason="", time_us=shop.clock.now_us())
    assert watch.record(world.ledger.state().version(version)).rows == 300


def test_what_proved_itself_in_shadow_is_not_promoted_once_its_evidence_is_excluded(world: Shadowed) -> None:
    shop, version = in_shadow(world)
    world.exclude(EVIDENCE)
    state = settled(world, shop, 37)
    assert (state.tainted_by(version), state.champion("card")) == ((), "")
    assert [it.version for it in state.pending("card")] == [version], "the next cycle judges it anew"


class Overtaken(LedgerStore):
    """A ledger on which somebody excludes the evidence just before a promotion is written."""

    def append(self, kind: str, body: dict[str, Any], **given: Any) -> LedgerEntry:
        if kind == "Promoted":
            super().append("DataExcluded", hiding(EVIDENCE, 1), **given)
        return super().append(kind, body, **given)


def test_an_exclusion_that_lands_between_looking_and_promoting_from_shadow_is_seen(world: Shadowed) -> None:
    shop, version = in_shadow(world)
    shop.registry.store = Overtaken.open(world.settings.places.ledger)
    state = settled(world, shop, 37)
    assert [it.in_force for it in state.exclusions.values()] == [True]
    assert (state.champion("card"), state.version(version).status) == ("", "challenger")


def test_in_automatic_mode_nothing_waits_in_shadow(world: Shadowed) -> None:
    world.pass_days(34)
    world.train()
    shop = shop_of(world)
    assert settled(world, shop, 35).champion("card") == ""
    assert not [it for it in world.ledger.read() if it.kind in ("Promoted", "VersionDropped")]
