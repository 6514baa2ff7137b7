"""When what lets callers in ends is a metric: certificates as the server uses them, and identities."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import grpc
from cryptography import x509

from fraud.clock import DAY_US, WallClock
from fraud.monitoring.scorer_metrics import ScorerMetrics
from fraud.serving.credentials import Credential, last_ends
from fraud.serving.entrance import Entrance
from fraud.serving.tls import Certificates
from fraud.settings import load_settings
from fraud.settings.access import Tls
from tests.serving.authority import NOW_US, Authority, Guarded
from tests.serving.worlds import START_S
from tests.waiting import wait_until

NAME = "fraud_access_end_timestamp_seconds"


def end_s(certificate: bytes) -> float:
    """Return when the first certificate of a file ends, s UTC."""
    return x509.load_pem_x509_certificates(certificate)[0].not_valid_after_utc.timestamp()


def test_a_chain_ends_with_its_first_and_who_signs_clients_with_the_last(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path)
    short = guarded.authority.issue("between", days=5).certificate
    (tmp_path / "server.pem").write_bytes((tmp_path / "server.pem").read_bytes() + short)
    former = guarded.authority.issue("former", days=-1).certificate
    (tmp_path / "clients.pem").write_bytes(former + guarded.authority.ca)
    served, key = tmp_path / "server.pem", tmp_path / "server.key"
    certificates = Certificates(Tls(certificate=served, key=key, clients=tmp_path / "clients.pem"))
    assert certificates.ends_us == {}
    certificates.credentials()
    assert {what: end_us / 1e6 for what, end_us in certificates.ends_us.items()} == {
        "certificate": end_s(short),
        "clients": end_s(guarded.authority.ca),
    }
    alone = Certificates(Tls(certificate=served, key=key))
    alone.credentials()
    assert set(alone.ends_us) == {"certificate"}


def test_an_identity_ends_with_its_last_credential_that_was_not_revoked() -> None:
    def made(name: str, expires_us: int, revoked_us: int = 0) -> Credential:
        id_ = f"{name}{expires_us}"
        return Credential(id_, name, ("scorer",), "d", "", 1, "a test", expires_us, revoked_us)

    rows = [made("shop", 50), made("shop", 90), made("feed", 60), made("feed", 0), made("gone", 5)]
    rows += [made("lost", 0, revoked_us=7), made("lost", 70)]
    rows.append(made("away", 0, revoked_us=8))
    assert last_ends(rows) == {"shop": 90, "feed": 0, "gone": 5, "lost": 70}


def test_what_is_renewed_counts_no_more_and_what_never_ends_has_no_series(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path, Authority("authority"))
    first = (tmp_path / "server.pem").read_bytes()
    day_us = WallClock().now_us() // DAY_US * DAY_US
    guarded.add("shop", "scorer", expires_us=day_us + 2 * DAY_US)
    guarded.add("feed", "analyst", expires_us=day_us + 3 * DAY_US)
    guarded.add("jane", "operator")
    metrics = ScorerMetrics(["card"], ["analyst"])
    settings = load_settings(tmp_path / "fraud.toml", guarded.environment())

    def shown(what: str) -> float | None:
        return metrics.registry.get_sample_value(NAME, {"what": what})

    async def until(holds: Callable[[], object]) -> None:
        await asyncio.to_thread(wait_until, holds)

    async def played() -> None:
        entrance, server, stopping = Entrance(settings.server, metrics), grpc.aio.server(), asyncio.Event()
        port = entrance.bind(server)
        await server.start()
        watching = asyncio.create_task(entrance.watch(stopping))
        await until(lambda: shown("identity") == (day_us + 2 * DAY_US) / 1e6)
        assert shown("certificate") == end_s(first)
        assert shown("clients") is None
        guarded.desk.add("shop", ["scorer"], now_us=NOW_US, expires_us=day_us + 9 * DAY_US)
        await until(lambda: shown("identity") == (day_us + 3 * DAY_US) / 1e6)
        guarded.desk.add("feed", ["analyst"], now_us=NOW_US, expires_us=0)
        await until(lambda: shown("identity") == (day_us + 9 * DAY_US) / 1e6)
        for it in guarded.desk.credentials():
            if it.name == "shop":
                guarded.desk.revoke(it.id, now_us=NOW_US)
        await until(lambda: shown("identity") is None)
        renewed = guarded.authority.issue("fraud", days=60, alternative=["localhost"])
        guarded.place(renewed)
        await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port), timeout=START_S)
        await until(lambda: shown("certificate") == end_s(renewed.certificate))
        stopping.set()
        await watching
        await server.stop(None)

    asyncio.run(played())


def test_without_tls_and_identities_nothing_is_shown(tmp_path: Path) -> None:
    Guarded(tmp_path)
    metrics = ScorerMetrics(["card"], ["analyst"])
    entrance = Entrance(load_settings(tmp_path / "fraud.toml", {}).server, metrics)
    asyncio.run(asyncio.wait_for(entrance.watch(asyncio.Event()), timeout=START_S))
    assert all(sample.name != NAME for family in metrics.registry.collect() for sample in family.samples)
