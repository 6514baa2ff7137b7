"""The follower looks once at a time, whoever gives up waiting, and never goes back."""

import asyncio
import threading
from pathlib import Path

import pytest

from fraud.clock import DAY_US
from fraud.records import Applied
from fraud.registry.store import promote, roll_back
from fraud.serving.champions import Champion
from fraud.serving.follower import _at_once
from fraud.serving.server import ScoringProcess
from tests.serving.registered import Ledger
from tests.serving.test_exploring import inside
from tests.serving.worlds import START_US, settings_in

TIMEOUT_S = 30.0


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
