"""The interceptor by itself: what no rule names is refused, streams too, and nothing is decoded before."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from fraud.monitoring.scorer_metrics import ScorerMetrics
from fraud.serving import doorkeeper
from fraud.serving.doorkeeper import REFUSALS_PER_S, Doorkeeper
from fraud.serving.identities import IdentityFile
from fraud.serving.identity_desk import IdentityDesk
from fraud.serving.rates import RateLimits
from fraud.serving.roles import Rule, calling, rule
from fraud.settings.access import Rates
from tests.serving.worlds import settings_in

RULES: Mapping[str, Mapping[str, Rule]] = {"t.Known": {"One": rule("operator"), "Stream": rule("auditor")}}
OK, DENIED, UNKNOWN = (
    grpc.StatusCode.OK,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
)
LIMITED = grpc.StatusCode.RESOURCE_EXHAUSTED
decoded: list[bytes] = []


def decode(raw: bytes) -> bytes:
    decoded.append(raw)
    return raw


async def one(_: bytes, __: Any) -> bytes:
    caller = calling()
    assert caller is not None
    return caller.name.encode()


async def stream(_: Any, __: Any) -> AsyncIterator[bytes]:
    caller = calling()
    yield b"nobody" if caller is None else caller.name.encode()


def handlers() -> list[grpc.GenericRpcHandler]:
    made: dict[str, Any] = {
        "One": grpc.unary_unary_rpc_method_handler(one, request_deserializer=decode),
        "Stream": grpc.stream_stream_rpc_method_handler(stream),
        "Watch": grpc.unary_stream_rpc_method_handler(stream),
    }
    services = ("t.Known", "t.Forgotten", "grpc.health.v1.Health")
    return [grpc.method_handlers_generic_handler(service, made) for service in services]


@pytest.fixture
def tokens(tmp_path: Path) -> dict[str, str]:
    desk = IdentityDesk(tmp_path / "identities.json", made_by="a test")
    return {
        name: desk.add(name, [name], now_us=1, expires_us=0)[1] for name in ("operator", "auditor", "scorer")
    }


def outcome(
    tmp_path: Path,
    path: str,
    token: str,
    *,
    streams: bool = False,
    times: int = 1,
    rates: Rates = Rates(),  # noqa: B008 — frozen
) -> tuple[grpc.StatusCode, bytes]:
    """Call a method behind a doorkeeper; return how the last call ended, and the first reply.

    A stream that ends while its caller still writes is now and then told as INTERNAL by the client
    library; then it is called again.
    """
    settings = settings_in(tmp_path)
    metrics = ScorerMetrics(
        ("card",), ("analyst",), ("card",), tmp_path, alarms=settings.monitoring.alarms, counting=True
    )
    file = IdentityFile(tmp_path / "identities.json", ())
    keeper = Doorkeeper(RULES, file, RateLimits(rates), metrics, lambda: 5)

    async def go() -> tuple[grpc.StatusCode, bytes]:
        server = grpc.aio.server(interceptors=[keeper])
        server.add_generic_rpc_handlers(handlers())
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                try:
                    single: Any = channel.unary_unary(path)
                    for _ in range(times - 1):
                        with pytest.raises(grpc.aio.AioRpcError):
                            await single(b"hello", metadata=metadata)
                    if not streams:
                        return OK, await single(b"hello", metadata=metadata)
                    many: Any = channel.stream_stream(path)
                    return OK, await many(iter([b"hello"]), metadata=metadata).read()
                except grpc.aio.AioRpcError as error:
                    if streams and error.code() is grpc.StatusCode.INTERNAL:
                        return await go()
                    return error.code(), b""
        finally:
            await server.stop(None)

    return asyncio.run(go())


def test_the_method_runs_in_the_name_of_who_calls(tmp_path: Path, tokens: dict[str, str]) -> None:
    assert outcome(tmp_path, "/t.Known/One", tokens["operator"]) == (OK, b"operator")
    assert outcome(tmp_path, "/t.Known/Stream", tokens["auditor"], streams=True) == (OK, b"auditor")


def test_what_no_rule_names_is_refused_to_everybody(tmp_path: Path, tokens: dict[str, str]) -> None:
    for token in tokens.values():
        assert outcome(tmp_path, "/t.Forgotten/One", token)[0] is DENIED
        assert outcome(tmp_path, "/t.Forgotten/Stream", token, streams=True)[0] is DENIED
        assert outcome(tmp_path, "/t.Known/Watch", token, streams=True)[0] is DENIED


def test_what_a_caller_may_not_call_counts_against_its_rate(tmp_path: Path, tokens: dict[str, str]) -> None:
    rates = Rates(calls_per_second=1e-3)
    assert outcome(tmp_path, "/t.Known/One", tokens["scorer"], rates=rates)[0] is DENIED
    assert outcome(tmp_path, "/t.Known/One", tokens["scorer"], rates=rates, times=2)[0] is LIMITED
    assert outcome(tmp_path, "/t.Known/One", tokens["operator"], rates=rates) == (OK, b"operator")


def test_streams_ask_for_their_role_too(tmp_path: Path, tokens: dict[str, str]) -> None:
    assert outcome(tmp_path, "/t.Known/Stream", tokens["operator"], streams=True)[0] is DENIED
    assert outcome(tmp_path, "/t.Known/Stream", "", streams=True)[0] is UNKNOWN


def test_nothing_a_stranger_sends_is_decoded(tmp_path: Path, tokens: dict[str, str]) -> None:
    decoded.clear()
    assert outcome(tmp_path, "/t.Known/One", "")[0] is UNKNOWN
    assert outcome(tmp_path, "/t.Known/One", tokens["scorer"])[0] is DENIED
    assert not decoded
    outcome(tmp_path, "/t.Known/One", tokens["operator"])
    assert decoded == [b"hello"]


def test_health_is_open_and_a_method_there_is_not_is_unimplemented(
    tmp_path: Path, tokens: dict[str, str]
) -> None:
    assert outcome(tmp_path, "/grpc.health.v1.Health/Stream", "", streams=True) == (OK, b"nobody")
    assert outcome(tmp_path, "/t.Known/Nothing", tokens["operator"])[0] is grpc.StatusCode.UNIMPLEMENTED


def test_a_flood_of_strangers_is_told_in_few_lines_with_their_number(
    tmp_path: Path, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines, flood = int(REFUSALS_PER_S), 3 * int(REFUSALS_PER_S)
    seconds = [0.0] * flood + [1.0]
    monkeypatch.setattr(doorkeeper, "_monotonic_us", lambda: int(seconds.pop(0) * 1e6))
    with capture_logs() as told:
        outcome(tmp_path, "/t.Known/One", tokens["scorer"], times=flood + 1)
    refused = [line for line in told if line["event"] == "refused"]
    assert [line["untold"] for line in refused] == [0] * lines + [flood - lines]
