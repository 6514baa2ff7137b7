"""Health says what is so after any failure, a scorer recovers from it, and ends in order."""

import asyncio
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from grpc_health.v1 import health_pb2

from fraud.errors import LogUnwritable, Unavailable
from fraud.records import Decision, Transaction
from fraud.serving.health import Readiness
from fraud.serving.progress import RestoreStopped
from fraud.serving.recovery import restore
from fraud.serving.scorer import State
from fraud.serving.server import ScoringProcess, _serve
from tests.serving.test_recovery import Inside, inside
from tests.serving.worlds import START_S, Stream, settings_in

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def told(readiness: Readiness) -> int:
    request = health_pb2.HealthCheckRequest(service="fraud.v1.ScoringService")
    context: Any = None
    reply = await readiness.servicer.Check(request, context)
    return int(reply.status)


def failing(error: Exception) -> Callable[[], State]:
    def restore() -> State:
        raise error

    return restore


def shown(here: Inside) -> float | None:
    return here.process.metrics.registry.get_sample_value("fraud_serving")


class Watcher:
    """Who watches health; `reads` false: who never takes anything off the connection."""

    def __init__(self, *, reads: bool) -> None:
        self.reads = reads
        self.told: list[int] = []

    async def write(self, reply: health_pb2.HealthCheckResponse) -> None:
        self.told.append(reply.status)
        if not self.reads:
            await asyncio.Event().wait()

    async def abort(self, code: Any, _: str) -> None:
        raise Unavailable(code.name)


def test_whoever_watches_and_does_not_read_keeps_nothing_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fraud.serving.health.WATCHES_MAX", 2)

    async def body(here: Inside) -> None:
        readiness = here.process.readiness
        request = health_pb2.HealthCheckRequest(service="fraud.v1.ScoringService")
        watchers: Any = Watcher(reads=False), Watcher(reads=True)
        watches = [asyncio.create_task(readiness.servicer.Watch(request, it)) for it in watchers]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="RESOURCE_EXHAUSTED"):
            await readiness.servicer.Watch(request, watchers[1])
        assert await asyncio.wait_for(readiness.check(), START_S)
        assert await told(readiness) == SERVING
        assert shown(here) == 1
        await asyncio.sleep(0)
        readiness.publish(serving=False)
        assert await told(readiness) == NOT_SERVING
        assert shown(here) == 0
        await asyncio.sleep(0)
        unknown = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        assert [it.told for it in watchers] == [[unknown], [unknown, SERVING, NOT_SERVING]]
        for each in watches:
            each.cancel()
        await asyncio.wait(watches)
        again = asyncio.create_task(readiness.servicer.Watch(request, watchers[1]))
        await asyncio.sleep(0)
        assert not again.done(), "there is room again"
        again.cancel()

    inside(settings_in(tmp_path), body)


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("the disk fails"),
        sqlite3.OperationalError("disk I/O error"),
        pl.exceptions.ComputeError("a file is short"),
        OSError(5, "input/output error"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_restore_raises_the_next_check_tries_again(tmp_path: Path, error: Exception) -> None:
    async def body(here: Inside) -> None:
        scorer, readiness = here.process.scorer, here.process.readiness
        await here.score(Stream(seed=71), 50)
        assert await readiness.check()
        restore = scorer._restore
        scorer._restore = failing(error)
        scorer._lose_state()
        stopping = asyncio.Event()
        readiness._every_s = 0.01
        watcher = asyncio.create_task(readiness.watch(stopping))
        while await told(readiness) == SERVING:
            assert not watcher.done()
            await asyncio.sleep(0.001)
        scorer._restore = restore
        while await told(readiness) != SERVING:
            assert not watcher.done()
            await asyncio.sleep(0.001)
        assert scorer.ready
        stopping.set()
        await watcher

    inside(settings_in(tmp_path), body)


def full(*_: object) -> int:
    raise LogUnwritable("the disk is full")


def test_a_failed_append_costs_one_restore_and_health_tells_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, restores = threading.Event(), []

    def held(*given: Any) -> State:
        restores.append(given)
        go.wait()
        return restore(*given)

    async def body(here: Inside) -> None:
        process, stream = here.process, Stream(seed=75)
        await here.score(stream, 50)
        monkeypatch.setattr("fraud.serving.server.restore", held)
        process.readiness._every_s = 3600
        watcher = asyncio.create_task(process.readiness.watch(asyncio.Event()))
        try:
            async with asyncio.timeout(START_S):
                assert await process.readiness.check()
                with monkeypatch.context() as broken:
                    broken.setattr(process.log, "append", full)
                    lost = asyncio.create_task(here.score(stream, 5))
                    while await told(process.readiness) == SERVING:
                        await asyncio.sleep(0.001)
                    while (
                        not restores
                    ):  # told before the restore is over, which waits: maybe before it begins
                        await asyncio.sleep(0.001)
                # As the next check does that comes while the scoring thread is at it.
                checking = asyncio.create_task(process.readiness.check())
                while not process.batcher._inbox.qsize():
                    await asyncio.sleep(0.001)
                assert await told(process.readiness) == NOT_SERVING
                go.set()
                with pytest.raises(LogUnwritable):
                    await lost
                assert await checking
            assert await told(process.readiness) == SERVING
            assert len(restores) == 1
            assert process.scorer.ready
        finally:
            go.set()
            watcher.cancel()

    inside(settings_in(tmp_path), body)


def test_state_lost_behind_the_self_scores_is_not_told_as_serving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(here: Inside) -> None:
        scorer, readiness = here.process.scorer, here.process.readiness
        score = scorer.self_score

        def and_then_lost(transaction: Transaction) -> Decision:
            decision = score(transaction)
            if transaction.model == list(here.process.settings.models)[-1]:
                scorer.state = None
            return decision

        monkeypatch.setattr(scorer, "self_score", and_then_lost)
        assert not await readiness.check()
        assert await told(readiness) == NOT_SERVING

    inside(settings_in(tmp_path), body)


def test_sigterm_ends_a_restore_after_a_failed_append(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(tmp_path)
    begun, given_up = threading.Event(), threading.Event()

    async def go() -> None:
        process = ScoringProcess(settings)

        def long(*_: Any) -> State:
            begun.set()
            end = time.monotonic() + START_S
            try:
                while time.monotonic() < end:
                    process.progress.passed(1)
            except RestoreStopped:
                given_up.set()
                raise
            raise Unavailable("nobody has stopped it")

        async def lose_and_stop() -> None:
            here = Inside(settings, process)
            monkeypatch.setattr("fraud.serving.server.restore", long)
            monkeypatch.setattr(process.log, "append", full)
            lost = asyncio.create_task(here.score(Stream(seed=76), 20))
            while not begun.is_set():
                await asyncio.sleep(0.001)
            os.kill(os.getpid(), signal.SIGTERM)
            with pytest.raises(LogUnwritable):
                await lost

        calls: list[asyncio.Task[None]] = []
        await _serve(process, lambda _: calls.append(asyncio.create_task(lose_and_stop())))
        await calls[0]
        assert given_up.is_set()
        assert await told(process.readiness) == NOT_SERVING
        process.close()

    asyncio.run(go())


def test_a_check_under_way_at_the_end_does_not_say_that_it_serves(tmp_path: Path) -> None:
    async def body(here: Inside) -> None:
        readiness = here.process.readiness
        assert await readiness.check()
        checking = asyncio.create_task(readiness.check())
        await asyncio.sleep(0)
        readiness.end()
        assert not await checking
        assert await told(readiness) == NOT_SERVING

    inside(settings_in(tmp_path), body)


def test_a_watcher_that_failed_keeps_nothing_from_being_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_in(tmp_path)

    async def broken(_: asyncio.Event) -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError("a watcher")

    async def go() -> None:
        process = ScoringProcess(settings)
        monkeypatch.setattr(process.entrance, "watch", broken)

        async def score_and_stop() -> None:
            await Inside(settings, process).score(Stream(seed=72), 20)
            os.kill(os.getpid(), signal.SIGTERM)

        calls: list[asyncio.Task[None]] = []
        await _serve(process, lambda _: calls.append(asyncio.create_task(score_and_stop())))
        await calls[0]
        assert process.batcher._closed
        assert await told(process.readiness) == NOT_SERVING
        assert process.snapshots.oldest_position() == 20
        process.close()

    asyncio.run(go())
