"""The follower looks once at a time, whoever gives up waiting, and never goes back."""

import asyncio
import threading
from pathlib import Path

import pytest

from fraud.clock import DAY_US
from fraud.records import Applied
from fraud.registry.rules import RULES_SET
from fraud.registry.store import promote, roll_back
from fraud.serving.champions import Champion
from fraud.serving.follower import _at_once
from fraud.serving.rollback import RollbackOrder
from fraud.serving.server import ScoringProcess
from tests.serving.registered import Ledger
from tests.serving.test_exploring import inside
from tests.serving.worlds import START_US, settings_in

TIMEOUT_S = 180.0


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return two_versions(tmp_path)


def two_versions(folder: Path) -> Ledger:
    """Make the ledger of two versions, the first of which serves."""
    settings_in(folder)
    made = Ledger(folder)
    for version in ("card-1", "card-2"):
        made.register(version, upto=0)
    crown(made, "card-1")
    return made


def crown(ledger: Ledger, version: str) -> int:
    champion = ledger.store.state().champion("card")
    return promote(ledger.store, "card", version, champion, actor="gate", reason="", time_us=START_US).seq


def go_back(ledger: Ledger, version: str) -> int:
    champion = ledger.store.state().champion("card")
    entry = roll_back(
        ledger.store, "card", version, champion, actor="ann", reason="", time_us=START_US + DAY_US
    )
    return entry.seq


def applied(process: ScoringProcess) -> list[tuple[int, str]]:
    events = [entry.event for entry in process.log.applied()]
    return [(event.ledger_seq, event.version) for event in events if isinstance(event, Applied)]


class Held:
    """A loader that is held up at one version, as by a slow disk."""

    def __init__(self, process: ScoringProcess, version: str) -> None:
        self.reached, self.go = threading.Event(), threading.Event()
        self._load, self._version = process.loader.load, version

    def load(self, version: str) -> Champion:
        if version == self._version:
            self.reached.set()
            assert self.go.wait(TIMEOUT_S)
        return self._load(version)


def test_a_look_that_nobody_waits_for_any_more_keeps_the_next_one_waiting(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(process: ScoringProcess) -> None:
        held = Held(process, "card-2")
        monkeypatch.setattr(process.loader, "load", held.load)
        crown(ledger, "card-2")
        call = asyncio.create_task(process.follower.poll(process.batcher))
        await asyncio.to_thread(held.reached.wait, TIMEOUT_S)
        call.cancel()  # as gRPC does at the call's deadline
        with pytest.raises(asyncio.CancelledError):
            await call
        back = go_back(ledger, "card-1")
        others = [asyncio.create_task(process.follower.poll(process.batcher)) for _ in range(3)]
        done, _ = await asyncio.wait(others, timeout=0.3)
        assert not done, "one look at a time"
        held.go.set()
        await asyncio.gather(*others)
        assert process.follower.serving("card") == "card-1"
        assert process.champions.all()["card"].version == "card-1"
        assert applied(process)[-1] == (back, "card-1")
        await process.follower.close()

    inside(ledger.settings, body)


def test_an_older_entry_never_takes_the_place_of_a_later_one(ledger: Ledger) -> None:
    async def body(process: ScoringProcess) -> None:
        follower = process.follower
        old = crown(ledger, "card-2")
        back = go_back(ledger, "card-1")
        await follower.poll(process.batcher)
        noted = applied(process)
        assert noted[-1] == (back, "card-1")
        for version in ("card-2", "card-9", ""):  # one to serve, one that is refused, none
            follower._apply("card", version, old, run=_at_once)
            assert process.champions.all()["card"].version == "card-1"
            assert follower.serving("card") == "card-1"
        assert applied(process) == noted

    inside(ledger.settings, body)


def test_of_a_version_with_folds_a_scorer_keeps_what_it_serves(ledger: Ledger) -> None:
    ledger.register("card-3", upto=0, folds=2)
    crown(ledger, "card-3")

    async def body(process: ScoringProcess) -> None:
        champion = process.champions.all()["card"]
        assert champion.version == "card-3"
        assert champion.bundle.folds == ()
        assert champion.bundle.digest == ledger.store.state().version("card-3").digest

    inside(ledger.settings, body)


def test_a_champion_that_cannot_be_loaded_at_a_start_serves_again_once_it_can(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fraud.serving.follower.MISSING_RETRY_S", 0.0)
    place = ledger.settings.places.bundles / ledger.store.state().version("card-1").digest

    def missing(process: ScoringProcess) -> float | None:
        return process.metrics.registry.get_sample_value("fraud_champion_missing", {"model": "card"})

    async def first(process: ScoringProcess) -> None:
        assert process.champions.all()["card"].version == "card-1"
        assert missing(process) == 0

    inside(ledger.settings, first)
    aside = place.rename(place.with_name("aside"))

    async def again(process: ScoringProcess) -> None:
        await process.follower.poll(process.batcher)
        assert not process.champions.all()
        assert missing(process) == 1
        aside.rename(place)
        await process.follower.poll(process.batcher)
        assert process.champions.all()["card"].version == "card-1"
        assert missing(process) == 0

    inside(ledger.settings, again)


def test_a_first_version_that_cannot_be_loaded_is_taken_up_once_it_can_over_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fraud.serving.follower.MISSING_RETRY_S", 0.0)
    made = two_versions(tmp_path)
    place = made.settings.places.bundles / made.store.state().version("card-1").digest
    aside = place.rename(place.with_name("aside"))

    async def refused(process: ScoringProcess) -> None:
        (entry,) = [it.event for it in process.log.applied() if isinstance(it.event, Applied)]
        assert (entry.version, entry.refused[:7]) == ("", "card-1:")

    inside(made.settings, refused)

    async def again(process: ScoringProcess) -> None:
        await process.follower.poll(process.batcher)
        assert not process.champions.all()
        aside.rename(place)
        await process.follower.poll(process.batcher)
        assert process.champions.all()["card"].version == process.follower.serving("card") == "card-1"
        assert [version for _, version in applied(process)] == ["", "card-1"]
        await process.follower.poll(process.batcher)
        assert len(applied(process)) == 2

    inside(made.settings, again)


def test_a_missing_champion_is_taken_up_again_also_where_rules_came_after_its_promotion(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fraud.serving.follower.MISSING_RETRY_S", 0.0)
    place = ledger.settings.places.bundles / ledger.store.state().version("card-1").digest
    rules = [{"name": "large", "when": "amount > 500", "outcome": "DECLINE", "stage": "before", "text": ""}]

    async def first(process: ScoringProcess) -> None:
        seq = ledger.append(RULES_SET, {"model": "card", "rules": rules})
        await process.follower.poll(process.batcher)
        assert applied(process)[-1] == (seq, "card-1")

    inside(ledger.settings, first)
    aside = place.rename(place.with_name("aside"))

    async def again(process: ScoringProcess) -> None:
        await process.follower.poll(process.batcher)
        assert not process.champions.all()
        ledger.append(RULES_SET, {"model": "card", "rules": []})
        await process.follower.poll(process.batcher)
        aside.rename(place)
        await process.follower.poll(process.batcher)
        assert process.champions.all()["card"].version == "card-1"

    inside(ledger.settings, again)


def test_a_champion_that_cannot_be_loaded_can_be_rolled_back(ledger: Ledger) -> None:
    crown(ledger, "card-2")
    place = ledger.settings.places.bundles / ledger.store.state().version("card-2").digest

    async def first(process: ScoringProcess) -> None:
        assert process.follower.serving("card") == "card-2"

    inside(ledger.settings, first)
    place.rename(place.with_name("aside"))

    async def again(process: ScoringProcess) -> None:
        assert not process.champions.all()
        order = RollbackOrder("card", 0, "card-1", 0, "ann", "card-2 cannot be loaded")
        plan = await process.rollbacks.plan(order)
        assert (plan.from_version, plan.to_version) == ("card-2", "card-1")
        done = await process.rollbacks.carry_out(order)
        assert done.applied
        assert process.champions.all()["card"].version == "card-1"

    inside(ledger.settings, again)
