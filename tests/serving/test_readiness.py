"""Health says what is so after any failure, a scorer recovers from it, and ends in order."""

import asyncio
import os
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from grpc_health.v1 import health_pb2

from fraud.errors import Unavailable
from fraud.serving.health import Readiness
from fraud.serving.scorer import State
from fraud.serving.server import ScoringProcess, _serve
from tests.serving.test_recovery import Inside, inside
from tests.serving.worlds import Stream, settings_in

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
        assert await asyncio.wait_for(readiness.check(), 30)
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
