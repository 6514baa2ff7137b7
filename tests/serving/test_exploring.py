"""Exploration in the scorer: within budgets, the same after a restart, off when the ledger says so."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from fraud.bundle.store import BundleStore
from fraud.errors import FraudError
from fraud.policy.spending import Spending, day_of
from fraud.records import Decision, Outcome, Scored
from fraud.registry.store import LedgerStore, promote
from fraud.serving.batcher import Answer
from fraud.serving.intake import TransactionIntake
from fraud.serving.server import ScoringProcess
from fraud.serving.stores import Stores
from fraud.settings import Settings, load_settings
from fraud.settings.model import Policy, Target
from tests.bundle.made import made_bundle
from tests.serving.worlds import Stream, settings_in

BUDGET, EACH = 60_000, 25_000
EXPLORATION = f"""
[models.card.policy.exploration]
rate = 0.5
key = "a key of enough letters"
amount_max_minor = 30000
budget_minor = {BUDGET}
entity_budget_minor = {{ merchant = {EACH} }}
"""
DECLINE_ALL = Policy(review=None, decline=Target(score=1e-9))


def exploring(folder: Path) -> Settings:
    """A service whose champion declines everything, and lets half of it through."""
    settings_in(folder)
    path = folder / "fraud.toml"
    path.write_text(path.read_text(encoding="utf-8") + EXPLORATION, encoding="utf-8")
    settings = load_settings(path, {})
    bundle = made_bundle("card", policy=DECLINE_ALL)
    body = {
        "version": "card-1",
        "model": "card",
        "recipe": "full",
        "parent": "",
        "attempt": 1,
        "challengers": 1,
        "cut_position": 1,
        "cut_time_us": 1,
        "digest": BundleStore(settings.places.bundles).write(bundle),
        "manifest": {
            **bundle.manifest,
            "positions": {key: [0, 0] for key in ("traffic", "train", "calibration")},
        },
    }
    store = LedgerStore.open(settings.places.ledger)
    store.append("VersionRegistered", body, actor="test", reason="", time_us=1)
    promote(store, "card", "card-1", "", actor="test", reason="", time_us=1)
    store.close()
    return settings


def inside(
    settings: Settings,
    body: Callable[[ScoringProcess], Coroutine[Any, Any, None]],
    stores: Stores | None = None,
) -> None:
    """Run `body` with a scorer that has recovered and follows the ledger, then close it."""

    async def go() -> None:
        process = ScoringProcess(settings, stores)
        process.scorer.recover()
        process.follower.start()
        process.batcher.start(asyncio.get_running_loop())
        try:
            await body(process)
        finally:
            await process.batcher.close()
            process.close()

    asyncio.run(go())


async def score(process: ScoringProcess, stream: Stream, rows: int) -> list[Decision]:
    """Score rows of a stream in one call, a payment a minute or so."""
    read = TransactionIntake(process.settings).read
    transactions = tuple(read(wire, 2**61) for wire in stream.take(rows))
    answers: list[Answer | FraudError] = await process.batcher.score(transactions, with_reasons=False)
    return [answer.scored.decision for answer in answers if isinstance(answer, Answer)]


def spending_of(process: ScoringProcess) -> dict[str, Any]:
    """What stands in the scorer's state."""
    assert process.scorer.state is not None
    return process.scorer.state.spending.to_dict()


def folded(process: ScoringProcess) -> dict[str, Any]:
    """The same from the log alone."""
    spending = Spending.of(process.settings)
    for entry in process.log.read(0, 100_000):
        spending.take(entry)
    spending.turn(process.log.last_arrival_us())
    return spending.to_dict()


def test_budgets_of_a_day_hold_in_any_batches(tmp_path: Path) -> None:
    stream = Stream(seed=41)

    async def body(process: ScoringProcess) -> None:
        for rows in (1, 40, 7, 50, 3, 50, 50, 50, 50, 50):
            await score(process, stream, rows)
            assert spending_of(process) == folded(process)
            stream.skip_days(0.2)
        days: dict[Any, int] = defaultdict(int)
        shops: dict[Any, int] = defaultdict(int)
        for entry in process.log.read(0, 100_000):
            event = entry.event
            if not isinstance(event, Scored):
                continue
            if event.decision.explored:
                day = day_of(entry.arrival_time_us, process.settings.service.zone)
                days[day] += event.amount_base_minor
                shops[day, event.surrogates[1]] += event.amount_base_minor
                assert (event.decision.outcome, event.decision.propensity) == (Outcome.APPROVE, 0.5)
                assert event.amount_base_minor <= 30_000
            elif event.model == "card":
                assert event.decision.outcome is Outcome.DECLINE
                assert event.decision.propensity in (0.5, 1.0)
        assert len(days) >= 2
        assert max(days.values()) > BUDGET * 0.8, "the budget is what stopped it"
        assert max(days.values()) <= BUDGET
        assert max(shops.values()) <= EACH

    inside(exploring(tmp_path), body)


@pytest.mark.parametrize("snapshot", ["none", "with spending", "spending lost", "spending spoiled"])
def test_a_restart_goes_on_with_the_same_spending(tmp_path: Path, snapshot: str) -> None:
    stream, settings = Stream(seed=42), exploring(tmp_path)
    spent: dict[str, Any] = {}

    async def first(process: ScoringProcess) -> None:
        await score(process, stream, 25)
        if snapshot != "none":
            process.keeper.snapshot_now()
        await score(process, stream, 15)
        spent.update(spending_of(process))
        assert 0 < spent["models"]["card"]["total_minor"] <= BUDGET

    async def second(process: ScoringProcess) -> None:
        assert spending_of(process) == spent
        await score(process, stream, 30)
        assert spending_of(process) == folded(process)

    inside(settings, first)
    for path in settings.places.state.glob("exploration-*.json"):
        if snapshot == "spending lost":
            path.unlink()
        if snapshot == "spending spoiled":
            path.write_text("{}")
    inside(settings, second)


def test_state_that_was_lost_comes_back_with_what_the_log_says_was_spent(tmp_path: Path) -> None:
    stream = Stream(seed=43)

    async def body(process: ScoringProcess) -> None:
        await score(process, stream, 30)
        process.scorer._lose_state()
        assert spending_of(process) == folded(process)
        assert spending_of(process)["models"]["card"]["rows"] > 0

    inside(exploring(tmp_path), body)


def test_the_ledgers_switch_stops_and_resumes_without_a_restart(tmp_path: Path) -> None:
    stream, settings = Stream(seed=44), exploring(tmp_path)
    store = LedgerStore.open(settings.places.ledger)

    def switch(on: bool) -> None:
        body = {"model": "card", "on": on}
        store.append("ExplorationSwitched", body, actor="ann", reason="a run on gift cards", time_us=1)

    async def body(process: ScoringProcess) -> None:
        assert any(decision.explored for decision in await score(process, stream, 20))
        switch(False)
        await process.follower.poll(process.batcher)
        stream.skip_days(1)
        off = await score(process, stream, 40)
        assert {(it.outcome, it.explored, it.propensity) for it in off} == {(Outcome.DECLINE, False, 1.0)}
        switch(True)
        await process.follower.poll(process.batcher)
        assert any(decision.explored for decision in await score(process, stream, 20))

    inside(settings, body)
    switch(False)

    async def restarted(process: ScoringProcess) -> None:
        stream.skip_days(1)
        assert not any(decision.explored for decision in await score(process, stream, 40))

    inside(settings, restarted)
    store.close()


def test_a_self_score_spends_nothing(tmp_path: Path) -> None:
    stream = Stream(seed=45)

    async def body(process: ScoringProcess) -> None:
        await score(process, stream, 5)
        before = spending_of(process)
        read = TransactionIntake(process.settings).read
        outcomes = {process.scorer.self_score(read(wire, 2**61)).explored for wire in stream.take(30)}
        assert outcomes == {True, False}
        assert spending_of(process) == before

    inside(exploring(tmp_path), body)
