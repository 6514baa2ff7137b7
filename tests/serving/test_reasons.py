"""Reasons beside scoring: real ones for every fresh decline, and never at the price of its answer."""

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fraud.registry.store import promote
from fraud.serving import backlog, reasons
from fraud.serving.backlog import FIRST_ROW_S, Backlog
from fraud.serving.batcher import Answer
from fraud.serving.intake import TransactionIntake
from fraud.serving.server import ScoringProcess
from fraud.serving.shedding import set_answer_by
from fraud.settings import Settings
from fraud.settings.model import Policy, Target
from fraud.v1.transaction_pb2 import Transaction
from tests.serving.registered import Ledger
from tests.serving.test_exploring import inside
from tests.serving.worlds import START_US, Stream, settings_in
from tests.waiting import wait_until

DECLINES_ALL = Policy(review=None, decline=Target(score=1e-9))
MANY, DEAR_S = 60, 1.0
"""Rows to explain, and what one is thought to cost where what waits for them must not hang on the machine."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = settings_in(tmp_path)
    ledger = Ledger(tmp_path)
    for version in ("card-1", "transfer-1"):
        ledger.register(version, upto=0, policy=DECLINES_ALL)
        model = version.partition("-")[0]
        promote(ledger.store, model, version, "", actor="gate", reason="", time_us=START_US)
    return made


async def score(
    process: ScoringProcess, wires: Sequence[Transaction], *, with_reasons: bool = False
) -> list[Answer]:
    read = TransactionIntake(process.settings).read
    answers = await process.batcher.score(tuple(read(it, 2**61) for it in wires), with_reasons=with_reasons)
    found = [it for it in answers if isinstance(it, Answer)]
    assert len(found) == len(wires)
    return found


def codes(answer: Answer) -> list[str]:
    return [why.code for why in answer.reasons]


@contextmanager
def held(process: ScoringProcess) -> Iterator[None]:
    """Keep the desk from explaining for the body of a `with`."""
    go = threading.Event()
    process.desk._live.worker.submit(go.wait)
    try:
        yield
    finally:
        go.set()


def unexplained(process: ScoringProcess) -> float | None:
    return process.metrics.registry.get_sample_value("fraud_unexplained_total")


def test_a_repeated_payment_takes_the_reasons_from_no_fresh_one(settings: Settings) -> None:
    async def body(process: ScoringProcess) -> None:
        known, fresh = Stream(seed=71).take(2)
        fresh.amount_minor = 90_000
        (first,) = await score(process, [known])
        again, new, twice = await score(process, [known, fresh, fresh])
        assert all(why.contribution for why in new.reasons)
        assert new.reasons
        assert new.reasons == twice.reasons
        assert again.reasons == first.reasons

    inside(settings, body)


def test_where_reasons_would_come_too_late_the_answer_comes_without(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "FIRST_ROW_S", DEAR_S)
    assert settings.server.reasons_wait_max / 1e6 < MANY * DEAR_S

    async def body(process: ScoringProcess) -> None:
        stream = Stream(seed=72)
        before = process.log.head()
        with held(process):
            many = asyncio.create_task(score(process, stream.take(MANY)))
            while process.log.head() < before + MANY:
                await asyncio.sleep(0)
            (one,) = await score(process, stream.take(1))
            assert codes(one) == ["NOT_EXPLAINED"]
            asked = asyncio.create_task(score(process, stream.take(1), with_reasons=True))
            # Time enough to be scored on any machine, and half of what its reasons are thought to take.
            set_answer_by(time.monotonic() + MANY * DEAR_S / 2)
            (hurried,) = await score(process, stream.take(1), with_reasons=True)
            assert codes(hurried) == ["NOT_EXPLAINED"]
            assert not many.done()
            assert not asked.done()
            assert unexplained(process) == 2
        explained = [*await many, *await asked]
        assert all("NOT_EXPLAINED" not in codes(answer) for answer in explained)
        assert any(answer.reasons for answer in explained)
        entry = process.log.find([one.scored.transaction_id])[one.scored.transaction_id]
        assert all(why.contribution for why in await process.desk.explain_one(entry))

    inside(settings, body)


def test_nobody_is_refused_a_decision_for_want_of_its_reasons(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("no reasons today")

    monkeypatch.setattr(reasons, "reasons_of", broken)

    async def body(process: ScoringProcess) -> None:
        (answer,) = await score(process, Stream(seed=73).take(1))
        assert answer.scored.decision.outcome.name == "DECLINE"
        assert codes(answer) == ["NOT_EXPLAINED"]
        assert unexplained(process) == 1

    inside(settings, body)


def test_a_score_that_was_given_up_while_its_reasons_wait_holds_its_place_and_is_not_explained(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    explained: list[int] = []

    def explain(_: Any, matrix: Any, __: int) -> list[Any]:
        explained.append(len(matrix))
        return [()] * len(matrix)

    monkeypatch.setattr(reasons, "reasons_of", explain)

    async def body(process: ScoringProcess) -> None:
        stream, before = Stream(seed=75), process.log.head()
        with held(process):
            call = asyncio.create_task(score(process, stream.take(3)))
            while process.log.head() < before + 3:
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            assert process.batcher.queued_rows == 3
        await asyncio.to_thread(wait_until, lambda: process.batcher.queued_rows == 0)
        assert explained == []
        await score(process, stream.take(1))
        assert explained == [1]

    inside(settings, body)


def test_what_serves_is_never_read_again_to_explain(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reasons, "CHAMPIONS_KEPT", 1)

    def read_again(version: str) -> Any:
        raise AssertionError(f"{version} was let go")

    async def body(process: ScoringProcess) -> None:
        process.desk._live._load = read_again
        stream = Stream(seed=74)
        for model in ("card", "transfer", "card", "transfer"):
            (answer,) = await score(process, stream.take(1, model=model))
            assert all(why.contribution for why in answer.reasons)

    inside(settings, body)


def test_a_backlog_learns_what_a_row_costs_and_is_not_put_off_by_one_that_was_dear() -> None:
    backlog = Backlog()
    backlog.enter(10)
    assert backlog.wait_s == pytest.approx(10 * FIRST_ROW_S)
    for _ in range(100):
        backlog.learn(1, FIRST_ROW_S / 2)
    usual = backlog.wait_s
    assert usual == pytest.approx(5 * FIRST_ROW_S, rel=0.01)
    backlog.learn(1, 1_000.0)
    assert usual < backlog.wait_s < 1.5 * usual
    backlog.leave(10)
    assert backlog.wait_s == 0
