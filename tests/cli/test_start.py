"""What passes by itself ends a start with status 1, so that it is tried again; what stays, with status 2."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import grpc
import pytest
from prometheus_client import CollectorRegistry

from fraud.errors import ConfigError, Unavailable
from fraud.monitoring.endpoint import serve_metrics
from fraud.monitoring.rotation import settled
from fraud.monitoring.scorer_metrics import ScorerMetrics
from fraud.serving import tls
from fraud.serving.entrance import Entrance
from fraud.settings.server import Server
from tests.serving.authority import Guarded
from tests.serving.worlds import settings_in

METRICS = ScorerMetrics(["card"], ["analyst"])


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody else listens."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def bind(server: Server) -> int:
    async def go() -> int:
        return Entrance(server, METRICS).bind(grpc.aio.server())

    return asyncio.run(go())


def test_a_port_that_is_taken_may_be_free_soon(taken: int) -> None:
    with pytest.raises(Unavailable, match=rf"server: 127.0.0.1:{taken} is taken; .*server.port"):
        bind(Server(port=taken))
    with pytest.raises(Unavailable, match=rf"on 127.0.0.1:{taken} .*choose another port"):
        serve_metrics(CollectorRegistry(), "127.0.0.1", taken)


def test_an_address_that_this_machine_has_not_may_come() -> None:
    with pytest.raises(Unavailable, match=r"192\.0\.2\.1:50051 yet .*give a host of this machine"):
        bind(Server(host="192.0.2.1", insecure=True))
    with pytest.raises(Unavailable, match=r"192\.0\.2\.1:9464 .* yet; .*give a host of this machine"):
        serve_metrics(CollectorRegistry(), "192.0.2.1", 9464)


def test_a_name_that_nobody_has_stays_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ConfigError, match=r"nobody\.example:9464 .*give a host of this machine"):
        serve_metrics(CollectorRegistry(), "nobody.example", 9464)


def test_a_certificate_that_is_just_being_renewed_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded = Guarded(tmp_path)
    renewed = guarded.authority.issue("fraud", alternative=["localhost"])
    (tmp_path / "server.pem").write_bytes(renewed.certificate)

    def wait(_: float) -> None:
        guarded.place(renewed)

    monkeypatch.setattr(tls, "settled", partial(settled, wait=wait))
    files = {"certificate": tmp_path / "server.pem", "key": tmp_path / "server.key"}
    assert bind(Server.model_validate({"port": 0, "tls": files})) > 0


@pytest.mark.process
@pytest.mark.parametrize("key", ["SERVER__PORT", "MONITORING__SCORER_PORT"])
def test_the_scorer_ends_with_a_status_that_starts_it_again(tmp_path: Path, taken: int, key: str) -> None:
    settings_in(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "fraud.cli", "--config", str(tmp_path / "fraud.toml"), "serve"],
        env={**os.environ, f"FRAUD__{key}": str(taken)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert f"127.0.0.1:{taken}" in done.stderr
    assert "'fraud doctor'" in done.stderr
