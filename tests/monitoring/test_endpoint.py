"""Who may read the metrics over a network: TLS, certificates of readers, a token, and files that change."""

import os
import socket
import ssl
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge

from fraud.errors import ConfigError
from fraud.monitoring import endpoint
from fraud.monitoring.endpoint import Guard, MetricsServer, serve_metrics
from fraud.monitoring.scrape import Endpoint, scrape
from fraud.settings.access import ClientSection, TlsFiles
from fraud.settings.monitoring import Monitoring
from tests.serving.authority import Authority, Issued
from tests.serving.worlds import START_S
from tests.waiting import wait_until

OURS, OTHERS = Authority(), Authority("others")
SERVER = OURS.issue("metrics", alternative=["localhost"])


def put(folder: Path, name: str, content: bytes) -> Path:
    """Write a file in place of the one before, as tools that renew certificates do."""
    draft = folder / f"{name}.new"
    draft.write_bytes(content)
    draft.replace(folder / name)
    return folder / name


def guarded(folder: Path, *, clients: bool = False, token: bytes = b"") -> Monitoring:
    given = TlsFiles(
        certificate=put(folder, "server.pem", SERVER.certificate),
        key=put(folder, "server.key", SERVER.key),
        clients=put(folder, "clients.pem", OURS.ca) if clients else None,
    )
    return Monitoring(tls=given, token_file=put(folder, "token", token) if token else None)


@contextmanager
def served(monitoring: Monitoring) -> Iterator[MetricsServer]:
    registry = CollectorRegistry()
    Gauge("fraud_answer", "An answer.", registry=registry).set(42)
    server = serve_metrics(registry, "127.0.0.1", 0, Guard(monitoring))
    try:
        yield server
    finally:
        server.close()


def reader(
    folder: Path, *, ca: bytes = OURS.ca, own: Issued | None = None, name: str = "localhost"
) -> ClientSection:
    shown = {}
    if own is not None:
        shown["certificate"] = put(folder, "reader.pem", own.certificate)
        shown["key"] = put(folder, "reader.key", own.key)
    return ClientSection(ca=put(folder, "ca.pem", ca), server_name=name, **shown)


def answer(monitoring: Monitoring, client: ClientSection, server: MetricsServer) -> float | None:
    found = scrape(Endpoint.of(monitoring, client, server.port))
    return None if found is None else found.value("fraud_answer")


def test_a_reader_who_trusts_the_authority_and_shows_the_token_reads(tmp_path: Path) -> None:
    monitoring = guarded(tmp_path, token=b"let-me-in\n")
    with served(monitoring) as server:
        assert answer(monitoring, reader(tmp_path), server) == 42


@pytest.mark.parametrize("why", ["no token", "wrong token", "in clear", "another authority", "another name"])
def test_nobody_else_reads(tmp_path: Path, why: str) -> None:
    monitoring = guarded(tmp_path, token=b"let-me-in")
    with served(monitoring) as server:
        client, asked = reader(tmp_path), monitoring
        match why:
            case "no token":
                asked = monitoring.model_copy(update={"token_file": None})
            case "wrong token":
                wrong = put(tmp_path, "wrong", b"let-me-ix")
                asked = monitoring.model_copy(update={"token_file": wrong})
            case "in clear":
                asked = monitoring.model_copy(update={"tls": TlsFiles()})
            case "another authority":
                client = reader(tmp_path, ca=OTHERS.ca)
            case _:
                client = reader(tmp_path, name="elsewhere.example")
        assert answer(asked, client, server) is None
        assert answer(monitoring, reader(tmp_path), server) == 42, "and it was not the server's fault"


CERTIFICATES: dict[str, Callable[[], Issued | None]] = {
    "none": lambda: None,
    "of others": lambda: OTHERS.issue("reader"),
    "expired": lambda: OURS.issue("reader", days=-1),
}


@pytest.mark.parametrize("which", CERTIFICATES)
def test_readers_show_a_certificate_where_that_is_wanted(tmp_path: Path, which: str) -> None:
    monitoring = guarded(tmp_path, clients=True)
    with served(monitoring) as server:
        assert answer(monitoring, reader(tmp_path, own=CERTIFICATES[which]()), server) is None
        assert answer(monitoring, reader(tmp_path, own=OURS.issue("reader")), server) == 42


def test_a_renewed_certificate_and_token_are_taken_and_broken_ones_are_not(tmp_path: Path) -> None:
    monitoring = guarded(tmp_path, token=b"first")
    with served(monitoring) as server:
        renewed = OTHERS.issue("metrics", alternative=["localhost"])
        put(tmp_path, "server.pem", renewed.certificate)
        assert answer(monitoring, reader(tmp_path), server) == 42, "half of a pair is waited for"
        put(tmp_path, "server.key", renewed.key)
        assert answer(monitoring, reader(tmp_path), server) is None
        assert answer(monitoring, reader(tmp_path, ca=OTHERS.ca), server) == 42
        old = monitoring.model_copy(update={"token_file": put(tmp_path, "old", b"first")})
        put(tmp_path, "token", b"second")
        assert answer(monitoring, reader(tmp_path, ca=OTHERS.ca), server) == 42
        assert answer(old, reader(tmp_path, ca=OTHERS.ca), server) is None
        put(tmp_path, "token", b"")
        now = monitoring.model_copy(update={"token_file": put(tmp_path, "now", b"second")})
        assert answer(now, reader(tmp_path, ca=OTHERS.ca), server) == 42, "an empty token lets nobody else in"


def test_who_connects_and_says_nothing_holds_up_nobody(tmp_path: Path) -> None:
    monitoring = guarded(tmp_path, token=b"let-me-in")
    with served(monitoring) as server, socket.create_connection(("127.0.0.1", server.port)):
        assert answer(monitoring, reader(tmp_path), server) == 42


def test_old_protocols_are_not_spoken(tmp_path: Path) -> None:
    monitoring = guarded(tmp_path)
    with served(monitoring) as server, socket.create_connection(("127.0.0.1", server.port)) as plain:
        context = ssl.create_default_context(cadata=OURS.ca.decode())
        with context.wrap_socket(plain, server_hostname="localhost") as spoken:
            assert spoken.version() in ("TLSv1.2", "TLSv1.3")
    with served(monitoring) as server, pytest.raises(OSError, match=r"."):
        urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=START_S)


@pytest.mark.parametrize("broken", ["server.pem", "server.key", "clients.pem", "token"])
def test_a_file_that_cannot_be_used_is_named_at_the_start(tmp_path: Path, broken: str) -> None:
    monitoring = guarded(tmp_path, clients=True, token=b"let-me-in")
    os.truncate(tmp_path / broken, 0)
    with pytest.raises(ConfigError, match=rf"monitoring.*{broken}"):
        Guard(monitoring, 0.0)
    (tmp_path / broken).unlink()
    with pytest.raises(ConfigError, match=broken):
        Guard(monitoring, 0.0)


def dripping(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(b"GET / HTTP/1.1\r\nA: ")
    return connection


def hung_up(connection: socket.socket) -> bool:
    """Tell whether the other side has closed, waiting for it."""
    connection.settimeout(START_S)
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_readers_have_an_end_and_more_than_fit_are_turned_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitoring = Monitoring(token_file=put(tmp_path, "token", b"let-me-in"), readers_max=2)
    begun: list[threading.Timer] = []

    def noted(seconds: float, call: Callable[..., None], given: list[Any]) -> threading.Timer:
        assert seconds == endpoint.DEADLINE_S
        begun.append(threading.Timer(10**6, call, given))
        return begun[-1]

    monkeypatch.setattr(endpoint, "Timer", noted)
    with served(monitoring) as server:
        slow = [dripping(server.port) for _ in range(2)]
        wait_until(lambda: len(begun) == 2)
        with dripping(server.port) as third:
            assert hung_up(third)
        for timer in begun:
            # As when the time is over, however much the reader says.
            timer.function(*timer.args)
        assert all(hung_up(connection) for connection in slow)
        wait_until(lambda: server._server._places._value == 2)
        assert answer(monitoring, ClientSection(), server) == 42
        for connection in slow:
            connection.close()
