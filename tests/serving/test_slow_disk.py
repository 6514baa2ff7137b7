"""A slow disk: calls are refused by their deadline meanwhile, and nothing is answered before its commit."""

import asyncio
import threading
from collections.abc import Sequence
from contextvars import copy_context
from dataclasses import replace
from pathlib import Path

import pytest

from fraud.errors import TooLate
from fraud.eventlog.log import NewToken
from fraud.eventlog.sqlite import SqliteEventLog
from fraud.records import Event
from fraud.serving.batcher import Answer
from fraud.serving.server import ScoringProcess
from fraud.serving.stores import Stores
from tests.serving.test_recovery import Inside
from tests.serving.worlds import Stream, settings_in


class HeldLog(SqliteEventLog):
    """The log on SQLite, over a disk that can be held up before a commit, or slowed by a fixed time."""

    held = threading.Event()
    go = threading.Event()
    slow_s = 0.0

    def append(
        self, events: Sequence[Event], arrival_time_us: int | Sequence[int], new_tokens: Sequence[NewToken]
    ) -> int:
        if self.slow_s:
            threading.Event().wait(self.slow_s)
        if not self.go.is_set():
            self.held.set()
            self.go.wait()
        return super().append(events, arrival_time_us, new_tokens)


def test_scoring_sheds_on_a_slow_disk_and_takes_calls_again_when_it_is_fast(tmp_path: Path) -> None:
    settings, stream = settings_in(tmp_path), Stream(seed=61)
    stores = Stores.open(settings)
    stores.log.close()
    log = HeldLog.open(settings.places.log, writable=True, entity_names=settings.schema_.entity_names)
    assert isinstance(log, HeldLog)

    async def go() -> None:
        here = Inside(settings, ScoringProcess(settings, replace(stores, log=log)))
        process, batcher = here.process, here.process.batcher
        process.scorer.recover()
        batcher.start(asyncio.get_running_loop())
        log.go.set()
        for _ in range(10):
            await here.score(stream, 5)
        before = log.head()

        log.go.clear()
        log.held.clear()
        held_up = asyncio.create_task(here.score(stream, 5))
        await asyncio.get_running_loop().run_in_executor(None, log.held.wait)
        while batcher.wait_s() < 0.5:  # what lasts is foreseen to last
            await asyncio.sleep(0)
        with pytest.raises(TooLate):
            copy_context().run(batcher.check, 0.5)
        assert not held_up.done(), "a reply means that the event is on disk"
        assert log.head() == before
        log.go.set()
        assert all(isinstance(answer, Answer) for answer in await held_up)
        assert log.head() == before + 5

        log.slow_s = 0.05
        for _ in range(10):
            await here.score(stream, 1)
        beside = asyncio.create_task(here.score(stream, 1))
        await asyncio.sleep(0)
        with pytest.raises(TooLate):
            copy_context().run(batcher.check, 0.03)
        await beside

        log.slow_s = 0.0
        for _ in range(100):
            copy_context().run(batcher.check, 5.0)
            await here.score(stream, 1)
        beside = asyncio.create_task(here.score(stream, 1))
        await asyncio.sleep(0)
        copy_context().run(batcher.check, 2.0)
        await beside
        await batcher.close()
        process.close()

    asyncio.run(go())
