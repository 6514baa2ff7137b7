"""How a call that nobody waits for any more is counted: its deadline passed, or its caller hung up."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from prometheus_client import CollectorRegistry

from fraud.monitoring.scorer_metrics import GRPC_CODES, ScorerMetrics
from fraud.serving import edge
from fraud.serving.edge import Edge, given_up
from fraud.v1 import scoring_pb2

SERVICE, METHOD = "fraud.v1.ScoringService", "Score"
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
        await asyncio.wait_for(came.wait(), 30)
        await asyncio.wait_for(end(call), 30)
        await asyncio.wait_for(gone.wait(), 30)
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
