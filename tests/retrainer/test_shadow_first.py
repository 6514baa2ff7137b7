"""Promotions that wait for their time and payments in shadow."""

import shutil
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
from fraud.registry.shadows import shadows_of
from fraud.retrainer.casework import Casework
from fraud.retrainer.cycle import Workshop
from fraud.retrainer.judging import judge_challengers
from fraud.retrainer.shadowing import ShadowWatch
from tests.registry.entries import hiding
from tests.retrainer.patterns import START_US, World
from tests.retrainer.test_probation import shop_of

FITTED_DAY = 34
EVIDENCE = Exclusion("labels", from_us=START_US + 23 * DAY_US)
"""The labels that the evidence of a version of day 34 rests on; none of them taught it."""


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


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose only version was fitted at the end of a day and knows both patterns of fraud."""
    place = tmp_path_factory.mktemp("fitted")
    opened = Shadowed(place)
    opened.pass_days(FITTED_DAY)
    opened.train()
    opened.close()
    return place


@pytest.fixture
def world(fitted: Path, tmp_path: Path) -> Iterator[Shadowed]:
    """A copy of the folder, for one test."""
    opened = Shadowed(shutil.copytree(fitted, tmp_path / "world"))
    yield opened
    opened.close()


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
    (version,) = world.ledger.state().versions
    shop.clock.observe(world.log.last_arrival_us())
    passed(world, shop, version)
    places = shadows_of(world.ledger.state(), "card", 0, shop.settings.shadow_challengers)
    assert [(it.slot, it.version) for it in places] == [("challenger_1", version)]
    assert settled(world, shop, FITTED_DAY).champion("card") == "", "it waits for payments in shadow"
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
    shop = shop_of(world)
    assert settled(world, shop, 35).champion("card") == ""
    assert not [it for it in world.ledger.read() if it.kind in ("Promoted", "VersionDropped")]
