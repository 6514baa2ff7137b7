"""How calls are counted: those that nobody waits for any more, and those whose replies nobody reads."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from functools import partial
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from prometheus_client import CollectorRegistry

from fraud.errors import NotFound
from fraud.monitoring.scorer_metrics import GRPC_CODES, ScorerMetrics
from fraud.serving import edge
from fraud.serving.edge import Edge, given_up
from fraud.serving.roles import Caller, call_is_by
from fraud.serving.shedding import answer_by
from fraud.v1 import scoring_pb2
from tests.serving.unread import Unread
from tests.serving.worlds import START_S
from tests.waiting import wait_until

SERVICE, METHOD = "fraud.v1.ScoringService", "Score"
PATH = f"/{SERVICE}/{METHOD}"
ENDED_S = 0.0
"""`Edge.quiet` for so long: no call is open, whenever the last one came."""
Call = grpc.aio.UnaryUnaryCall[bytes, bytes]


def counted(registry: CollectorRegistry) -> dict[str, float]:
    """Calls answered, by status."""
    labels = {"grpc_type": "unary", "grpc_service": SERVICE, "grpc_method": METHOD}
    found = {
        code: registry.get_sample_value("grpc_server_handled_total", {**labels, "grpc_code": code})
        for code in GRPC_CODES
    }
    return {code: count for code, count in found.items() if count}


async def cancelled(end: Callable[[Call], Awaitable[None]], timeout_s: float | None) -> dict[str, float]:
    """Send a call that is never answered, end it from the caller's side, and return how it was counted."""
    metrics = ScorerMetrics(["card"], ["analyst"])
    counting = Edge(metrics, 1_000, 10, log_calls=False)
    came, gone = asyncio.Event(), asyncio.Event()

    async def unanswered(_: scoring_pb2.ScoreRequest) -> Message:
        came.set()
        try:
            await asyncio.Event().wait()
        finally:
            gone.set()
        raise AssertionError

    handler = counting.method(SERVICE, METHOD, scoring_pb2.ScoreRequest, unanswered)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        method: Any = channel.unary_unary(f"/{SERVICE}/{METHOD}")
        call: Call = method(b"", timeout=timeout_s)
        await asyncio.wait_for(came.wait(), START_S)
        await asyncio.wait_for(end(call), START_S)
        await asyncio.wait_for(gone.wait(), START_S)
    await server.stop(None)
    return counted(metrics.registry)


async def wait_for_the_deadline(call: Call) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


async def hang_up(call: Call) -> None:
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


# Long enough for the call to reach us before its deadline, on a machine that has other things to do.
@pytest.mark.parametrize("timeout_s", [4.0, 5.345])
def test_a_call_that_runs_out_of_time_counts_as_an_error_of_ours(
    timeout_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "_EARLY_S", 1.0)  # by which a slow machine sees it later than we do
    assert asyncio.run(cancelled(wait_for_the_deadline, timeout_s)) == {"DEADLINE_EXCEEDED": 1}


@pytest.mark.parametrize("timeout_s", [None, 20.0])
def test_a_caller_that_hangs_up_counts_as_such(timeout_s: float | None) -> None:
    assert asyncio.run(cancelled(hang_up, timeout_s)) == {"CANCELLED": 1}


@pytest.mark.parametrize(
    ("remaining_s", "took_s", "code"),
    [
        (0.0, 0.1, "DEADLINE_EXCEEDED"),
        (0.004, 0.1, "DEADLINE_EXCEEDED"),
        (0.012, 1.0, "DEADLINE_EXCEEDED"),
        (0.02, 0.1, "CANCELLED"),
        (None, 60.0, "CANCELLED"),
    ],
)
def test_a_caller_may_see_its_deadline_pass_a_little_before_we_do(
    remaining_s: float | None, took_s: float, code: str
) -> None:
    assert given_up(remaining_s, took_s) == code


Answers = Callable[[scoring_pb2.ScoreRequest], Awaitable[Message]]


async def a_page(_: scoring_pb2.ScoreRequest) -> Message:
    """Return a reply of a megabyte: of a client that reads nothing the sockets hold but a few."""
    return scoring_pb2.ListDecisionsResponse(next_page_token="x" * 2**20)


@asynccontextmanager
async def served(answers: Answers, streams_max: int) -> AsyncIterator[tuple[Edge, int]]:
    """Serve one method behind an edge; whoever says a name in `authorization` calls in that name."""
    serving = Edge(ScorerMetrics(["card"], ["analyst"]), 1_000, streams_max, log_calls=False)
    handler = serving.method(SERVICE, METHOD, scoring_pb2.ScoreRequest, answers)

    async def named(message: Any, context: Any) -> Any:
        for key, value in context.invocation_metadata():
            if key == "authorization":
                call_is_by(Caller(value, frozenset(), raw_scores=False))
        return await handler.unary_unary(message, context)

    method = grpc.unary_unary_rpc_method_handler(
        named, handler.request_deserializer, handler.response_serializer
    )
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: method}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield serving, port
    finally:
        await server.stop(None)


async def until(holds: Callable[[], object]) -> None:
    await asyncio.to_thread(wait_until, holds)


async def ask(port: int, name: str, timeout_s: float | None = None) -> grpc.StatusCode:
    """Make one call that is read; return how it ended."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        method: Any = channel.unary_unary(PATH)
        metadata = (("authorization", name),) if name else ()
        try:
            await method(b"", timeout=timeout_s, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            return error.code()
        return grpc.StatusCode.OK


def test_a_call_is_open_until_its_reply_was_read_or_its_caller_is_gone() -> None:
    async def go() -> None:
        async with served(a_page, 4) as (serving, port):
            for end in (Unread.give_up, Unread.close):
                with closing(Unread(port, PATH, 9)) as unread:
                    await until(lambda: serving._open.held_by_all == 4)
                    assert await ask(port, "") is grpc.StatusCode.RESOURCE_EXHAUSTED
                    assert not serving.quiet(ENDED_S)
                    end(unread)
                    await until(lambda: serving.quiet(ENDED_S))
                    assert await ask(port, "") is grpc.StatusCode.OK
                    await until(lambda: serving.quiet(ENDED_S))

    asyncio.run(go())


@pytest.mark.parametrize("window", [0, 2**30])
def test_replies_that_one_caller_does_not_read_take_the_last_place_of_no_other(window: int) -> None:
    """Nor do its refusals, which nobody reads either where the connection itself is not read."""

    async def go() -> None:
        async with served(a_page, 20) as (serving, port):
            with closing(Unread(port, PATH, 100, authorization="flood", window=window)):
                registry = serving._metrics.registry
                await until(lambda: sum(counted(registry).values()) == 100)
                assert await ask(port, "flood") is grpc.StatusCode.RESOURCE_EXHAUSTED
                assert await ask(port, "other") is grpc.StatusCode.OK
                assert serving._open.held("flood") == 16
            await until(lambda: serving.quiet(ENDED_S))

    asyncio.run(go())


def test_no_end_of_a_call_keeps_its_place() -> None:
    began = asyncio.Event()

    async def unanswered(_: scoring_pb2.ScoreRequest) -> Message:
        began.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def refused(_: scoring_pb2.ScoreRequest) -> Message:
        raise NotFound("there is none")

    async def broken(_: scoring_pb2.ScoreRequest) -> Message:
        raise RuntimeError("unexpected")

    ends: list[tuple[Answers, float | None, str]] = [
        (a_page, None, "OK"),
        (refused, None, "NOT_FOUND"),
        (broken, None, "INTERNAL"),
        (unanswered, 1.0, "DEADLINE_EXCEEDED"),
    ]

    async def go() -> None:
        for answers, timeout_s, code in ends:
            async with served(answers, 1) as (serving, port):
                for _ in range(2):
                    assert (await ask(port, "", timeout_s)).name == code
                    await until(partial(serving.quiet, ENDED_S))
        began.clear()
        async with served(unanswered, 1) as (serving, port):
            call = asyncio.create_task(ask(port, ""))
            await began.wait()
            assert not serving.quiet(ENDED_S)
            call.cancel()
            await until(lambda: serving.quiet(ENDED_S))

    asyncio.run(go())


def test_a_call_knows_its_deadline_also_where_nothing_is_checked_before() -> None:
    found: list[float] = []

    async def note(_: scoring_pb2.ScoreRequest) -> Message:
        found.append(answer_by())
        return scoring_pb2.ScoreResponse()

    async def go() -> None:
        async with served(note, 10) as (_, port):
            assert await ask(port, "") is grpc.StatusCode.OK
            assert await ask(port, "", 1_000.0) is grpc.StatusCode.OK

    asyncio.run(go())
    assert found[0] == math.inf
    assert 0 < found[1] - time.monotonic() <= 1_011, "a deadline travels rounded up, by a hundredth"
