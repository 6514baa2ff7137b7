"""Who walks over the state of the ledger while others fold into it walks over a copy, off the event loop."""

import asyncio
import threading
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import pytest

from fraud.labels.exclusions import Exclusion
from fraud.registry.exclusions import ExclusionState
from fraud.registry.ledger import RegistryState
from fraud.registry.second_person import Asked, open_request
from fraud.registry.version import Status
from fraud.serving.access import AccessServicer
from fraud.serving.reconciler import Reconciler
from fraud.serving.repair_steps import repair_steps
from fraud.serving.server import ScoringProcess
from fraud.v1 import access_pb2
from tests.serving.registered import Ledger
from tests.serving.test_exploring import inside
from tests.serving.test_follower import two_versions

DATA = Exclusion("labels", batch_id="bad")


def grow(table: dict[Any, Any]) -> None:
    """Fold one more of what a table holds, as another thread would."""
    table[f"one more, {len(table)}"] = next(iter(table.values()))


class Growing(RegistryState):
    """A state that gets a version whenever somebody asks which exclusions taint one."""

    def tainted_by(self, version: str) -> tuple[int, ...]:
        grow(self.versions)
        return super().tainted_by(version)


class Exclusions(ExclusionState):
    """An exclusion beside which another comes whenever somebody asks whether it is in force."""

    table: dict[Any, Any]

    @property
    def in_force(self) -> bool:
        grow(self.table)
        return True


class Request(Asked):
    """A request beside which another comes whenever somebody asks whether it is open."""

    table: dict[Any, Any]

    def is_open(self, now_us: int) -> bool:
        grow(self.table)
        return super().is_open(now_us)


class Compared(str):
    """A status beside which a version comes whenever somebody compares it."""

    table: dict[Any, Any]
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        grow(self.table)
        return str(self) is other or super().__eq__(other)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return two_versions(tmp_path)


def excluded(state: RegistryState) -> ExclusionState:
    given = ExclusionState(1, 1, "ann", "polluted", DATA, 1, 0, 0, muted=False, retrain=False)
    made = Exclusions(*(getattr(given, field.name) for field in fields(given)))
    made.table = state.exclusions
    state.exclusions[1] = made
    return made


def asked(state: RegistryState) -> None:
    made = Request(1, 1, "Promote", {"version": "card-2"}, "jane", "it is better", 100)
    made.table = state.asked
    state.asked[1] = made


def test_what_is_observed_may_grow(ledger: Ledger) -> None:
    async def body(process: ScoringProcess) -> None:
        state = Growing()
        ledger.store.follow(state)
        process.reconciler.observe(state)
        assert len(state.versions) > 2
        plain = ledger.store.state()
        excluded(plain)
        process.reconciler.observe(plain)
        assert len(plain.exclusions) > 1

    inside(ledger.settings, body)


def test_versions_may_grow_while_a_repair_is_told(ledger: Ledger) -> None:
    state = ledger.store.state()
    status = Compared("champion")
    status.table = state.versions
    state.versions["card-1"].status = cast("Status", status)
    exclusion = ExclusionState(9, 1, "ann", "polluted", DATA, 1, 0, 0, muted=False, retrain=False)
    steps = repair_steps(exclusion, state, [], {}, models=("card",), kept=frozenset(), promotions_serve=True)
    assert [step.step for step in steps] == ["recorded", "in force"]
    assert len(state.versions) > 2


def test_what_is_asked_for_may_grow_while_somebody_looks_for_the_same() -> None:
    state = RegistryState()
    asked(state)
    assert open_request(state, "Promote", {"version": "card-2"}, 101) is None
    found = open_request(state, "Promote", {"version": "card-2"}, 100)
    assert found is not None
    assert found.actor == "jane"
    assert len(state.asked) > 2


def test_what_is_asked_for_may_grow_while_it_is_listed_and_no_call_waits_for_that(ledger: Ledger) -> None:
    async def body(process: ScoringProcess) -> None:
        spelled_by = []

        def now_us() -> int:
            spelled_by.append(threading.get_ident())
            return 50

        asked(process.registry.refresh())
        reply = await AccessServicer(process.registry, now_us).list_asked(access_pb2.ListAskedRequest())
        assert [it.what_json for it in reply.asked] == ['{"version":"card-2"}']
        assert threading.get_ident() not in spelled_by
        assert len(process.registry.state.asked) > 1

    inside(ledger.settings, body)


class Stumbling(Reconciler):
    """Fails the first time it observes."""

    observed = 0
    stumbled = False

    def observe(self, state: RegistryState) -> None:
        if not self.stumbled:
            self.stumbled = True
            raise OSError("no memory")
        super().observe(state)
        self.observed = state.seq


def test_what_could_not_be_observed_is_observed_at_the_next_look(ledger: Ledger) -> None:
    async def body(process: ScoringProcess) -> None:
        stumbling = Stumbling(
            process.settings,
            process.registry,
            process.scorer,
            process.archive,
            process.replacements,
            process.metrics,
        )
        process.follower._reconciler = stumbling
        with pytest.raises(OSError, match="no memory"):
            await process.follower.poll(process.batcher)
        await asyncio.wait_for(process.follower.poll(process.batcher), 60)
        assert stumbling.observed == ledger.store.head()

    inside(ledger.settings, body)
