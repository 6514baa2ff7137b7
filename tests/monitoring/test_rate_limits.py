"""Calls over their caller's own rate are counted apart, beside the status that they end with."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest

from fraud.monitoring.scorer_metrics import ScorerMetrics
from fraud.serving.doorkeeper import Doorkeeper
from fraud.serving.identities import IdentityFile
from fraud.serving.identity_desk import IdentityDesk
from fraud.serving.rates import RateLimits
from fraud.serving.roles import rule
from fraud.settings.access import Rates

METHOD = {"grpc_type": "unary", "grpc_service": "t.Known", "grpc_method": "One"}


async def one(raw: bytes, _: Any) -> bytes:
    return raw


def called(folder: Path, *, beyond: int) -> ScorerMetrics:
    """Call twice, which an identity may, once as nobody, and `beyond` times more than it may."""
    _, token = IdentityDesk(folder / "identities.json", made_by="a test").add(
        "shop", ["scorer"], now_us=1, expires_us=0
    )
    metrics = ScorerMetrics(["card"], ["analyst"])
    limits = RateLimits(Rates(calls_per_second=0.001, burst="2000s"))  # type: ignore[arg-type]
    file = IdentityFile(folder / "identities.json", ())
    keeper = Doorkeeper({"t.Known": {"One": rule("scorer")}}, file, limits, metrics, lambda: 5)

    async def go() -> None:
        server = grpc.aio.server(interceptors=[keeper])
        made: dict[str, Any] = {"One": grpc.unary_unary_rpc_method_handler(one, request_deserializer=bytes)}
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("t.Known", made)])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call: Any = channel.unary_unary("/t.Known/One")
            shop = (("authorization", f"Bearer {token}"),)
            for _ in range(2):
                await call(b"", metadata=shop)
            for metadata in ((), *[shop] * beyond):
                with pytest.raises(grpc.aio.AioRpcError):
                    await call(b"", metadata=metadata)
        await server.stop(None)

    asyncio.run(go())
    return metrics


def test_a_call_over_its_callers_rate_is_counted_apart_and_another_refusal_is_not(tmp_path: Path) -> None:
    registry = called(tmp_path, beyond=3).registry
    assert registry.get_sample_value("fraud_rate_limited_total", METHOD) == 3
    handled = {**METHOD, "grpc_code": "RESOURCE_EXHAUSTED"}
    assert registry.get_sample_value("grpc_server_handled_total", handled) == 3
    handled["grpc_code"] = "UNAUTHENTICATED"
    assert registry.get_sample_value("grpc_server_handled_total", handled) == 1


def test_before_the_first_it_is_0() -> None:
    metrics = ScorerMetrics(["card"], ["analyst"])
    metrics.call("t.Known", "One")
    assert metrics.registry.get_sample_value("fraud_rate_limited_total", METHOD) == 0
