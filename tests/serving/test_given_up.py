"""What nobody waits for any more is passed over, and holds its place until then."""

import asyncio
import math
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fraud.errors import Overloaded, TooLate
from fraud.serving.batcher import Batcher
from fraud.serving.shedding import Pace, set_answer_by
from tests.serving.test_lanes import _calling, _held
from tests.serving.test_limits import Slow, limits, payment
from tests.serving.test_recovery import Inside, inside
from tests.serving.worlds import START_S, settings_in
from tests.waiting import wait_until

LONG_S = 1_000.0


async def _given_up(calls: list["asyncio.Task[Any]"]) -> None:
    """Let calls begin, give them up, and wait until they know."""
    await asyncio.sleep(0)
    for call in calls:
        call.cancel()
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(it, asyncio.CancelledError) for it in ended)


async def _until(answer_by_s: float, call: Callable[[], Awaitable[Any]]) -> Any:
    """Make a call whose caller waits until a monotonic time; return its answer or error."""
    set_answer_by(answer_by_s)
    return (await asyncio.gather(call(), return_exceptions=True))[0]


def test_scores_that_were_given_up_hold_their_places_until_they_are_passed_over() -> None:
    async def go() -> tuple[Any, list[list[str]]]:
        engine = Slow()
        batcher = Batcher(engine, limits(128, 5))
        first = await _held(engine, batcher)
        two = (payment("gone"), payment("too"))
        gone = [asyncio.create_task(batcher.score(two, with_reasons=False)) for _ in range(2)]
        await _given_up(gone)
        assert batcher.queued_rows == 5, "they still wait, and hold memory"
        more = batcher.score((payment("more"),), with_reasons=False)
        refused = (await asyncio.gather(more, return_exceptions=True))[0]
        engine.go.set()
        await first
        await asyncio.to_thread(wait_until, lambda: batcher.queued_rows == 0)
        await batcher.score((payment("after"),), with_reasons=False)
        await batcher.close()
        return refused, engine.batches

    refused, batches = asyncio.run(go())
    assert isinstance(refused, Overloaded)
    assert "5 rows wait already" in str(refused)
    assert batches == [["first"], ["after"]]


def test_labels_whose_deadline_passed_while_they_waited_are_not_logged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Batcher, "_check_turn", lambda *_: None)  # or they would not come to wait

    async def go() -> tuple[Any, list[str]]:
        engine = Slow()
        batcher = Batcher(engine, limits(128, 100))
        first = await _held(engine, batcher)
        ran: list[str] = []
        late = asyncio.create_task(
            _until(time.monotonic() - 1e-3, lambda: batcher.feed(lambda: ran.append("late"), 3))
        )
        good = asyncio.create_task(batcher.feed(lambda: ran.append("in time"), 3))
        await asyncio.sleep(0)
        engine.go.set()
        await asyncio.gather(first, late, good)
        await batcher.close()
        assert batcher.fed_rows == 0
        return await late, ran

    late, ran = asyncio.run(go())
    assert isinstance(late, TooLate)
    assert ran == ["in time"]


def test_while_the_thread_is_held_up_labels_are_refused_by_their_deadline_and_later_taken_again() -> None:
    async def go() -> list[str]:
        engine = Slow()
        batcher = Batcher(engine, limits(128, 100))
        first = await _held(engine, batcher)
        ran: list[str] = []
        began = time.monotonic()
        while batcher.wait_s() < 0.02:  # a stall is foreseen to last as long again
            await asyncio.sleep(0)
            assert time.monotonic() - began < START_S

        def feed(name: str, answer_by_s: float) -> Awaitable[Any]:
            return asyncio.create_task(_until(answer_by_s, lambda: batcher.feed(lambda: ran.append(name), 1)))

        short = feed("short", time.monotonic() + 0.01)
        patient = feed("without a deadline", math.inf)
        while batcher.fed_rows == 0:
            await asyncio.sleep(0)
        engine.go.set()
        await asyncio.gather(first, patient)
        refused = await short
        assert isinstance(refused, TooLate)
        assert "its turn would come in" in str(refused), "at once, and not when it had waited"
        assert await feed("later", time.monotonic() + LONG_S) is None
        await batcher.close()
        return ran

    assert asyncio.run(go()) == ["without a deadline", "later"]


def test_labels_are_refused_where_what_their_caller_sent_before_takes_too_long() -> None:
    async def go() -> tuple[list[Any], Pace]:
        engine = Slow()
        batcher = Batcher(engine, limits(128, 100))
        first = await _held(engine, batcher)
        batcher._fed_pace.fixed_s = 3 * LONG_S  # as after a disk that was very slow

        def feed(name: str) -> "asyncio.Task[Any]":
            call = _calling(name, lambda: batcher.feed(lambda: name, 1))
            return asyncio.create_task(_until(time.monotonic() + LONG_S, lambda: call))

        feeds = [feed(name) for name in ("bank", "bank", "desk")]
        await asyncio.sleep(0)
        engine.go.set()
        results = list(await asyncio.gather(*feeds))
        await first
        for _ in range(50):
            assert await feed("bank") == "bank"
        await batcher.close()
        return results, batcher._fed_pace

    results, pace = asyncio.run(go())
    assert [results[0], results[2]] == ["bank", "desk"]
    assert isinstance(results[1], TooLate)
    assert pace.fixed_s < LONG_S, "it is learned again from what is let in"


def test_queries_that_were_given_up_hold_their_places_until_they_are_passed_over(tmp_path: Path) -> None:
    async def body(here: Inside) -> None:
        queries, go, ran = here.process.queries, threading.Event(), list[str]()
        look = asyncio.create_task(queries.survey(go.wait))
        await asyncio.sleep(0)
        await _given_up([asyncio.create_task(queries.survey(ran.append, "gone")) for _ in range(2)])
        more = asyncio.create_task(queries.survey(ran.append, "more"))
        await asyncio.sleep(0)
        go.set()
        await look
        with pytest.raises(Overloaded, match=r"3 queries wait already"):
            await more
        await asyncio.to_thread(wait_until, lambda: queries._calls.held_by_all == 0)
        await queries.survey(ran.append, "after")
        assert ran == ["after"]

    inside(settings_in(tmp_path, FRAUD__SERVER__READ_CALLS_MAX="3"), body)


def test_a_query_whose_deadline_passed_while_it_waited_is_passed_over(tmp_path: Path) -> None:
    async def body(here: Inside) -> None:
        queries, ran = here.process.queries, list[str]()
        late = await asyncio.create_task(
            _until(time.monotonic() - 1e-3, lambda: queries.survey(ran.append, "late"))
        )
        assert isinstance(late, TooLate)
        in_time = time.monotonic() + LONG_S
        assert await asyncio.create_task(_until(in_time, lambda: queries.survey(str, 7))) == "7"
        assert ran == []

    inside(settings_in(tmp_path), body)
