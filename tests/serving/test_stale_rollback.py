"""A rollback replaces the champion that it was planned, and agreed on, to replace, or nothing."""

import asyncio
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest

from fraud.errors import StaleHead
from fraud.serving.rollback import RollbackOrder, Rollbacks
from fraud.serving.second_person import Permit, SecondPerson
from fraud.serving.server import ScoringProcess
from fraud.settings.access import TwoPerson
from tests.serving.registered import Ledger
from tests.serving.test_exploring import inside
from tests.serving.test_follower import crown
from tests.serving.worlds import settings_in


class Interrupted(SecondPerson):
    """Something happens to the ledger as soon as the rule lets somebody go ahead."""

    meanwhile: Callable[[], object] | None = None

    def permit(
        self, method: str, what: dict[str, Any], *, actor: str, reason: str, as_for: Collection[str] = ()
    ) -> Permit:
        permit = super().permit(method, what, actor=actor, reason=reason, as_for=as_for)
        if permit.waiting is None and self.meanwhile is not None:
            self.meanwhile()
        return permit


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """card-2 serves, card-1 did, card-3 might."""
    settings_in(tmp_path)
    made = Ledger(tmp_path)
    for version in ("card-1", "card-2", "card-3"):
        made.register(version, upto=0)
    for version in ("card-1", "card-2"):
        crown(made, version)
    return made


def rollbacks_of(process: ScoringProcess, second: SecondPerson) -> Rollbacks:
    return Rollbacks(
        process.settings,
        process.registry,
        process.scorer,
        process.batcher,
        process.loader,
        process.bundles,
        process.follower,
        process.metrics,
        second,
    )


def order(actor: str) -> RollbackOrder:
    return RollbackOrder("card", 0, "card-1", 0, actor, "alerts doubled")


@pytest.mark.parametrize("methods", [(), ("Rollback",)])
def test_a_promotion_between_plan_and_record_ends_it_and_nothing_is_done(
    ledger: Ledger, methods: tuple[Any, ...]
) -> None:
    async def body(process: ScoringProcess) -> None:
        second = Interrupted(TwoPerson(methods=methods), process.registry, process.scorer.now_us)
        rollbacks = rollbacks_of(process, second)
        if methods:
            asked = await rollbacks.carry_out(order("jane"))
            assert asked.waiting is not None
        second.meanwhile = lambda: crown(ledger, "card-3")
        with pytest.raises(
            StaleHead, match="card-1 was to follow card-2, but the champion of 'card' is card-3"
        ):
            await rollbacks.carry_out(order("joe"))
        state = ledger.store.state()
        assert state.champion("card") == "card-3"
        assert [asked.done_seq for asked in state.asked.values()] == [0] * len(methods)
        assert "RolledBack" not in {entry.kind for entry in ledger.store.read()}
        await process.follower.poll(process.batcher)
        assert process.follower.serving("card") == "card-3"

    inside(ledger.settings, body)


def test_what_the_champion_has_not_changed_for_goes_on(ledger: Ledger) -> None:
    async def body(process: ScoringProcess) -> None:
        second = Interrupted(TwoPerson(), process.registry, process.scorer.now_us)
        second.meanwhile = lambda: ledger.register("card-4", upto=0)
        done = await asyncio.wait_for(rollbacks_of(process, second).carry_out(order("joe")), 60)
        assert (done.plan.from_version, done.plan.to_version, done.applied) == ("card-2", "card-1", True)

    inside(ledger.settings, body)
