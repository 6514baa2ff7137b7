"""Certificates: who shows one is known by it, and the server's own are changed without a failed call."""

import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2
from structlog.testing import capture_logs

from fraud.errors import ConfigError, FraudError, Unauthenticated, Unavailable
from fraud.serving.tls import Certificates, Held
from fraud.settings.access import Tls
from tests.serving.authority import NOW_US, Authority, Guarded, Issued
from tests.serving.worlds import START_S, Process, Stream, serving
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Guarded:
    guarded = Guarded(tmp_path_factory.mktemp("mutual"))
    (guarded.folder / "clients.pem").write_bytes(guarded.authority.ca)
    guarded.add("jane", "operator")
    for name, rights, subject in (
        ("shop", ["scorer"], "cn:shop"),
        ("feed", ["analyst"], "san:feed.example"),
    ):
        guarded.desk.add(name, rights, subject=subject, now_us=NOW_US, expires_us=0)
    return guarded


@pytest.fixture(scope="module")
def process(guarded: Guarded) -> Iterator[Process]:
    environment = guarded.environment(
        FRAUD__SERVER__TLS__CLIENTS="clients.pem", FRAUD__SERVER__IDENTITIES__REFLECTION="true"
    )
    with serving(guarded.folder, **environment) as process:
        with guarded.client(process, own=guarded.authority.issue("probe")) as client:
            client.wait_ready(START_S)
        yield process


def whom(guarded: Guarded, process: Process, own: Issued | None, token: str = "") -> str:
    """Return whom the server takes a caller for."""
    with guarded.client(process, token, own=own) as client:
        return client.who_am_i().name


def test_a_certificate_says_who_calls_by_common_or_alternative_name(
    process: Process, guarded: Guarded
) -> None:
    assert whom(guarded, process, guarded.authority.issue("shop")) == "shop"
    assert whom(guarded, process, guarded.authority.issue("x", alternative=["feed.example"])) == "feed"


def test_an_alternative_name_is_no_common_name(process: Process, guarded: Guarded) -> None:
    issued = guarded.authority.issue("feed.example", alternative=["shop"])
    with pytest.raises(Unauthenticated, match=r"san:shop, cn:feed\.example belongs to no identity"):
        whom(guarded, process, issued)


def test_a_token_decides_alone_where_both_are_shown(process: Process, guarded: Guarded) -> None:
    shop = guarded.authority.issue("shop")
    assert whom(guarded, process, shop, guarded.tokens["jane"]) == "jane"
    with pytest.raises(Unauthenticated, match="not known here"):
        whom(guarded, process, shop, "fraud_1_2")


def test_without_a_good_certificate_nobody_comes_in_even_with_a_token(
    process: Process, guarded: Guarded
) -> None:
    token = guarded.tokens["jane"]
    for own in (None, Authority("other").issue("shop"), guarded.authority.issue("shop", days=-1)):
        with pytest.raises(Unavailable):
            whom(guarded, process, own, token)
    assert whom(guarded, process, guarded.authority.issue("shop"), token) == "jane"


def test_a_revoked_subject_is_refused_until_it_is_let_in_anew(process: Process, guarded: Guarded) -> None:
    made, _ = guarded.desk.add("till", ["scorer"], subject="cn:till", now_us=NOW_US, expires_us=0)
    with guarded.client(process, own=guarded.authority.issue("till")) as client:

        def known() -> bool:
            try:
                return client.who_am_i().name == "till"
            except Unauthenticated:
                return False

        wait_until(known)
        guarded.desk.revoke(made.id, now_us=NOW_US)
        wait_until(lambda: not known())
        guarded.desk.add("till", ["scorer"], subject="cn:till", now_us=NOW_US, expires_us=0)
        wait_until(known)


def test_a_bound_token_is_of_no_use_on_a_connection_of_somebody_else(
    tmp_path: Path, guarded: Guarded
) -> None:
    own = Guarded(tmp_path, guarded.authority)
    (tmp_path / "clients.pem").write_bytes(own.authority.ca)
    for name in ("jane", "shop"):
        own.add(name, "operator")
        own.desk.add(name, ["operator"], subject=f"cn:{name}", now_us=NOW_US, expires_us=0)
    environment = own.environment(
        FRAUD__SERVER__TLS__CLIENTS="clients.pem", FRAUD__SERVER__IDENTITIES__TOKENS_BOUND="true"
    )
    jane, shop, stranger = (own.authority.issue(name) for name in ("jane", "shop", "stranger"))
    with serving(tmp_path, **environment) as process:
        with own.client(process, own=jane) as client:
            client.wait_ready(START_S)
        assert whom(own, process, jane, own.tokens["jane"]) == "jane"
        assert whom(own, process, jane) == "jane", "a certificate by itself is as good as ever"
        with pytest.raises(Unauthenticated, match="the token is of jane, the certificate of shop"):
            whom(own, process, shop, own.tokens["jane"])
        with pytest.raises(Unauthenticated, match="belongs to no identity"):
            whom(own, process, stranger, own.tokens["jane"])


def test_who_signs_clients_is_changed_while_the_server_runs(tmp_path: Path, guarded: Guarded) -> None:
    own, other = Guarded(tmp_path, guarded.authority), Authority("other")
    signers = tmp_path / "clients.pem"
    signers.write_bytes(own.authority.ca)
    own.desk.add("shop", ["scorer"], subject="cn:shop", now_us=NOW_US, expires_us=0)
    former, new = own.authority.issue("shop"), other.issue("shop")

    with serving(tmp_path, **own.environment(FRAUD__SERVER__TLS__CLIENTS="clients.pem")) as process:

        def is_known(issued: Issued) -> bool:
            try:
                return whom(own, process, issued) == "shop"
            except Unavailable:
                return False

        wait_until(lambda: is_known(former))
        assert not is_known(new)
        signers.write_bytes(other.ca)
        wait_until(lambda: is_known(new))
        assert not is_known(former), "whoever shows a certificate of before is let in no more"


def test_reflection_lists_the_services_to_whoever_has_a_role(process: Process, guarded: Guarded) -> None:
    def services(name: str) -> set[str]:
        with guarded.client(process, own=guarded.authority.issue(name)) as client:
            asked: Any = client._channel.stream_stream(
                "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
                response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
            )
            (reply,) = asked(
                iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=START_S
            )
        return {each.name for each in reply.list_services_response.service}

    assert {"fraud.v1.ScoringService", "fraud.v1.AccessService", "grpc.health.v1.Health"} <= services("shop")
    with pytest.raises(grpc.RpcError) as caught:
        services("stranger")
    refused: Any = caught.value
    assert refused.code() is grpc.StatusCode.UNAUTHENTICATED


def served(process: Process) -> str:
    """Return the certificate that a new connection is shown, PEM."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return ssl.get_server_certificate(("127.0.0.1", process.port), timeout=START_S)


def test_the_certificate_is_changed_under_load_without_a_failed_call(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path)
    guarded.add("shop", "scorer")
    first = (tmp_path / "server.pem").read_text()
    failed: list[FraudError] = []
    answered = [0, 0]
    done = threading.Event()
    with serving(tmp_path, **guarded.environment()) as process:
        new = Authority("new authority")

        def load(thread: int) -> None:
            stream = Stream(seed=50 + thread)
            both = guarded.authority.ca + new.ca
            while not done.is_set():
                # A connection for every ten calls: handshakes go on all the time.
                with guarded.client(process, guarded.tokens["shop"], ca=both) as client:
                    for _ in range(10):
                        try:
                            client.score(stream.next())
                        except FraudError as error:
                            failed.append(error)
                        answered[thread] += 1

        threads = [threading.Thread(target=load, args=(thread,)) for thread in range(2)]
        for thread in threads:
            thread.start()
        try:
            wait_until(lambda: min(answered) >= 30)
            with guarded.client(process, guarded.tokens["shop"]) as standing:
                standing.who_am_i()
                # First the certificate alone: for that moment the files do not fit, and the old ones serve.
                issued = new.issue("fraud", alternative=["localhost"])
                guarded.place(Issued(issued.certificate, (tmp_path / "server.key").read_bytes()))
                assert served(process) == first
                guarded.place(issued)
                wait_until(lambda: served(process) == issued.certificate.decode())
                assert standing.who_am_i().name == "shop"
            reached = max(answered)
            wait_until(lambda: min(answered) >= reached + 30)
        finally:
            done.set()
            for thread in threads:
                thread.join()
        assert not failed
        with guarded.client(process, guarded.tokens["shop"]) as old, pytest.raises(Unavailable):
            old.who_am_i()
        with guarded.client(process, guarded.tokens["shop"], ca=new.ca) as fresh:
            assert fresh.who_am_i().name == "shop"


def test_a_key_that_comes_while_the_pair_is_read_is_taken_at_the_next_handshake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded = Guarded(tmp_path)
    certificates = Certificates(Tls(certificate=tmp_path / "server.pem", key=tmp_path / "server.key"))
    certificates.credentials()
    issued = guarded.authority.issue("fraud", alternative=["localhost"])
    guarded.place(Issued(issued.certificate, (tmp_path / "server.key").read_bytes()))
    read = certificates._read

    def read_then_replaced() -> Held:
        try:
            return read()
        finally:
            guarded.place(issued)

    with monkeypatch.context() as replaced:
        replaced.setattr(certificates, "_read", read_then_replaced)
        assert certificates._at_handshake() is None, "they did not fit"
    assert certificates._at_handshake() is not None
    assert certificates._at_handshake() is None, "nothing has changed since"


def test_files_that_do_not_fit_are_told_once(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path)
    certificates = Certificates(Tls(certificate=tmp_path / "server.pem", key=tmp_path / "server.key"))
    certificates.credentials()
    (tmp_path / "server.key").unlink()
    with capture_logs() as told:
        for _ in range(3):
            assert certificates._at_handshake() is None
    assert [it["event"] for it in told] == ["certificates stay as they were"]
    guarded.place(guarded.authority.issue("fraud", alternative=["localhost"]))
    assert certificates._at_handshake() is not None


@pytest.mark.parametrize(
    ("break_", "message"),
    [
        (lambda folder: (folder / "server.key").unlink(), "server.tls.key: .*No such file.*may read"),
        (lambda folder: (folder / "server.pem").write_text("x"), "server.tls.certificate, .*do not fit"),
        (
            lambda folder: (folder / "server.key").write_bytes(Authority().issue("other").key),
            "do not fit .*its own key",
        ),
        (lambda folder: (folder / "clients.pem").write_text("x"), "server.tls.clients: .*holds no cert"),
    ],
)
def test_what_cannot_serve_is_an_error_at_start_that_names_the_file(
    tmp_path: Path, break_: object, message: str
) -> None:
    guarded = Guarded(tmp_path)
    (tmp_path / "clients.pem").write_bytes(guarded.authority.ca)
    tls = Tls(
        certificate=tmp_path / "server.pem", key=tmp_path / "server.key", clients=tmp_path / "clients.pem"
    )
    Certificates(tls).credentials()
    assert callable(break_)
    break_(tmp_path)
    with pytest.raises(ConfigError, match=message):
        Certificates(tls).credentials()
