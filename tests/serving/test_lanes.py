"""On the scoring thread: labels beside scores, callers in turn, and nothing for whoever waits no more."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from fraud.errors import Overloaded, TooLate
from fraud.serving.batcher import Batcher
from fraud.serving.fairness import EARNED_MAX_S
from fraud.serving.roles import Caller, call_is_by
from fraud.serving.shedding import answer_by, set_answer_by
from fraud.settings.server import Server
from tests.serving.test_limits import Slow, limits, payment
from tests.serving.worlds import START_S
from tests.waiting import wait_until


async def _calling(name: str, call: Callable[[], Awaitable[Any]]) -> Any:
    call_is_by(Caller(name, frozenset(), raw_scores=False))
    return await call()


async def _held(engine: Slow, batcher: Batcher) -> "asyncio.Task[Any]":
    """Start the batcher and let its first batch wait; return its call."""
    batcher.start(asyncio.get_running_loop())
    first = asyncio.create_task(batcher.score((payment("first"),), with_reasons=False))
    await asyncio.get_running_loop().run_in_executor(None, engine.entered.wait)
    return first


def test_a_flood_of_one_caller_leaves_the_next_batch_to_others_too() -> None:
    async def go() -> list[list[str]]:
        engine = Slow()
        batcher = Batcher(engine, limits(128, 1_000))
        first = await _held(engine, batcher)

        def ask(name: str, number: int) -> "asyncio.Task[Any]":
            transactions = (payment(f"{name}{number}"),)
            return asyncio.create_task(
                _calling(name, lambda: batcher.score(transactions, with_reasons=False))
            )

        calls = [ask("flood", number) for number in range(700)] + [ask("shop", number) for number in range(5)]
        await asyncio.sleep(0)
        engine.go.set()
        await asyncio.gather(first, *calls)
        await batcher.close()
        return engine.batches

    batches = asyncio.run(go())
    assert [name for name in batches[1] if name.startswith("shop")] == [f"shop{n}" for n in range(5)]
    assert [n for batch in batches for n in batch if n.startswith("flood")] == [
        f"flood{n}" for n in range(700)
    ]


def flooded(
    given: Server, ask: Callable[[Batcher, str], Awaitable[Any]], flood: int, others: int
) -> tuple[list[Any], list[Any]]:
    """While a batch is held, let one caller ask so often and another after it; return what both got."""

    async def go() -> tuple[list[Any], list[Any]]:
        engine = Slow()
        batcher = Batcher(engine, given)
        first = await _held(engine, batcher)
        calls = []
        for name, count in (("flood", flood), ("other", others)):
            call = partial(ask, batcher, name)
            tasks = [asyncio.create_task(_calling(name, call)) for _ in range(count)]
            await asyncio.sleep(0)
            calls.append(tasks)
        engine.go.set()
        got = [await asyncio.gather(*tasks, return_exceptions=True) for tasks in calls]
        await first
        await batcher.close()
        assert batcher.queued_rows == batcher.fed_rows == 0
        return got[0], got[1]

    return asyncio.run(go())


def test_one_caller_never_takes_the_last_place() -> None:
    def ask(batcher: Batcher, name: str) -> Awaitable[Any]:
        return batcher.score((payment(name),), with_reasons=False)

    floods, shops = flooded(limits(128, 100), ask, 200, 10)
    refused = [error for error in floods if isinstance(error, Overloaded)]
    assert 100 < len(refused) < 200
    assert "server.queue_rows_max = 100" in str(refused[0])
    assert not any(isinstance(each, BaseException) for each in shops)


def test_labels_wait_in_a_queue_of_their_own_within_its_bounds() -> None:
    async def go() -> tuple[list[Any], Any, list[str]]:
        engine = Slow()
        batcher = Batcher(engine, limits(128, 2, label_queue_rows_max=30, label_calls_max=4))
        first = await _held(engine, batcher)
        done: list[str] = []
        rows = (10, 10, 11, 10, 10)  # the third and the last are one label too many
        fed = [asyncio.create_task(batcher.feed(lambda: done.append("fed"), n)) for n in rows]
        await asyncio.sleep(0)
        assert batcher.fed_rows == 30
        scored = asyncio.create_task(batcher.score((payment("beside"),), with_reasons=False))
        await asyncio.sleep(0)
        engine.go.set()
        results = await asyncio.gather(*fed, return_exceptions=True)
        await asyncio.gather(first, scored)
        await batcher.close()
        assert batcher.fed_rows == 0
        return results, await scored, done

    results, _, done = asyncio.run(go())
    assert [isinstance(result, Overloaded) for result in results] == [False, False, True, False, True]
    assert "server.label_queue_rows_max = 30" in str(results[2])
    assert done == ["fed"] * 3


def test_one_feed_never_takes_the_last_place_of_another() -> None:
    def ask(batcher: Batcher, name: str) -> Awaitable[Any]:
        return batcher.feed(lambda: name, 1)

    floods, banks = flooded(limits(128, 100, label_calls_max=20), ask, 40, 2)
    refused = [error for error in floods if isinstance(error, Overloaded)]
    assert 20 < len(refused) < 40
    assert "16 of 16 yours (server.label_queue_rows_max = 50000, server.label_calls_max = 20)" in str(
        refused[-1]
    )
    assert banks == ["other", "other"]


def test_who_gives_up_frees_no_place_before_the_work_is_passed_over_and_nothing_of_it_runs() -> None:
    async def go() -> tuple[list[str], Any]:
        engine = Slow()
        batcher = Batcher(engine, limits(128, 100, label_calls_max=2))
        first = await _held(engine, batcher)
        ran: list[str] = []
        gone = [
            asyncio.create_task(batcher.feed(lambda: ran.append("fed"), 1)),
            asyncio.create_task(batcher.feed(lambda: ran.append("fed"), 1)),
            asyncio.create_task(batcher.run(lambda: ran.append("run"))),
        ]
        await asyncio.sleep(0)
        for call in gone:
            call.cancel()
        assert all(
            isinstance(it, asyncio.CancelledError)
            for it in await asyncio.gather(*gone, return_exceptions=True)
        )
        assert batcher.fed_rows == 2, "they still wait, and hold memory"
        refused = (await asyncio.gather(batcher.feed(lambda: None, 1), return_exceptions=True))[0]
        engine.go.set()
        await first
        await asyncio.to_thread(wait_until, lambda: batcher.fed_rows == 0)
        assert await batcher.feed(lambda: "after", 1) == "after"
        await batcher.close()
        return ran, refused

    ran, refused = asyncio.run(go())
    assert ran == []
    assert isinstance(refused, Overloaded)


def test_labels_get_their_share_between_batches_while_payments_always_wait() -> None:
    """A hundred calls among scores that never cease: a fifth of the time, what was saved up, and one."""

    spent: list[float] = []

    class Steady(Slow):
        """Notes at each batch when it was, and how many labels came before it."""

        last = (0.0, 0)

        def score(self, works: Any, delivery: Any) -> None:
            end = time.monotonic() + 0.001
            while time.monotonic() < end:
                pass
            self.last = time.monotonic(), len(spent)
            super().score(works, delivery)

    async def go() -> tuple[list[float], float]:
        engine = Steady()
        batcher = Batcher(engine, limits(1, 10_000, label_share=0.2))
        first = await _held(engine, batcher)

        def log_labels() -> None:
            started = time.monotonic()
            while time.monotonic() < started + 0.002:
                pass
            spent.append(time.monotonic() - started)

        fed = [asyncio.create_task(batcher.feed(log_labels, 1)) for _ in range(100)]
        scores = [
            asyncio.create_task(batcher.score((payment(str(n)),), with_reasons=False)) for n in range(150)
        ]
        await asyncio.sleep(0)
        began = time.monotonic()
        engine.go.set()
        await asyncio.gather(first, *scores, *fed)
        await batcher.close()
        assert len(spent) == 100
        last_s, among = engine.last
        return spent[:among], last_s - began

    among, elapsed = asyncio.run(go())
    assert 1 <= len(among) < 100
    assert sum(among) <= 0.2 * elapsed + EARNED_MAX_S + max(among)


def test_a_call_whose_deadline_passed_while_it_waited_is_not_scored() -> None:
    async def go() -> tuple[Any, list[list[str]]]:
        engine = Slow()
        batcher = Batcher(engine, limits(1, 100))
        first = await _held(engine, batcher)

        async def late() -> Any:
            set_answer_by(time.monotonic() - 0.001)
            return await batcher.score((payment("late"),), with_reasons=False)

        call = asyncio.create_task(late())
        await asyncio.sleep(0)
        engine.go.set()
        results = await asyncio.gather(call, return_exceptions=True)
        await first
        await batcher.close()
        return results[0], engine.batches

    result, batches = asyncio.run(go())
    assert isinstance(result, TooLate)
    assert batches == [["first"]]


def test_while_a_batch_is_held_up_calls_are_refused_by_their_deadline_and_later_taken_again() -> None:
    async def go() -> None:
        engine = Slow()
        batcher = Batcher(engine, limits(1, 100, wait_max=1_000_000_000))
        first = await _held(engine, batcher)
        began = time.monotonic()
        while batcher.wait_s() < 0.02:  # a stall is foreseen to last as long again
            await asyncio.sleep(0)
        assert time.monotonic() - began < START_S
        with pytest.raises(TooLate, match=r"server\.wait_max"):
            batcher.check(0.02)
        batcher.check(math.inf)
        batcher.check(None)
        engine.go.set()
        await first
        began = time.monotonic()
        while batcher.wait_s() > 0.01:  # one after the other: each is let in because nothing waits
            assert time.monotonic() - began < START_S
            try:
                batcher.check(5.0)
            except TooLate:
                await asyncio.sleep(0)
                continue
            await batcher.score((payment("next"),), with_reasons=False)
        batcher.check(0.02)
        await batcher.close()

    asyncio.run(go())


def test_a_batch_is_judged_by_all_its_rows() -> None:
    async def go() -> None:
        engine = Slow()
        batcher = Batcher(engine, limits(1, 100, wait_max=1))
        first = await _held(engine, batcher)
        with pytest.raises(TooLate):
            await batcher.score((payment("a"), payment("b")), with_reasons=False)
        assert batcher.queued_rows == 1
        engine.go.set()
        await first
        await batcher.close()

    asyncio.run(go())


def test_a_call_without_a_deadline_is_of_use_for_wait_max() -> None:
    async def go() -> None:
        batcher = Batcher(Slow(), limits(1, 100, wait_max=2_000_000))
        for left_s, is_of_use_s in ((None, 2.0), (60.0, 60.0)):
            before_s = time.monotonic()
            batcher.check(left_s)
            assert before_s + is_of_use_s <= answer_by() <= time.monotonic() + is_of_use_s

    asyncio.run(go())
