"""The server's certificate, its key, and who signs clients: read again at a handshake when the files changed.

    handshake ─► files as before? use what there is : read → do key and certificate fit? → take them
                                                     else keep what there is, and say so once

Files are replaced one after the other, so for a moment they need not fit each
other; the next handshake looks again, and so does the start, for a few seconds.
Connections that stand keep what they began with, for at most `connection_age`.
"""

import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import grpc
import structlog
from cryptography import x509

from fraud.clock import SECOND_US
from fraud.errors import ConfigError
from fraud.monitoring.rotation import Stamp, settled, stamp_of
from fraud.settings.access import Tls

_log = structlog.get_logger("fraud.serving.tls")


@dataclass(frozen=True, slots=True)
class Held:
    """What the files held when they were read: for gRPC, and when it ends, µs UTC.

    `ends_us` has `certificate`, where the first of the server's chain ends, and `clients`, where the
    last of those who sign clients does: until then it lets somebody in.
    """

    configuration: grpc.ServerCertificateConfiguration
    ends_us: Mapping[str, int] = field(default_factory=dict)


class Certificates:
    """The certificate files of one server."""

    def __init__(self, tls: Tls) -> None:
        """`tls` must name a certificate."""
        assert tls.certificate is not None
        assert tls.key is not None
        self._certificate, self._key, self._clients = tls.certificate, tls.key, tls.clients
        self._stamp: Stamp = ()
        self._ends_us: Mapping[str, int] = {}

    @property
    def ends_us(self) -> Mapping[str, int]:
        """When what the server shows and trusts ends, as `Held` has it; of what cannot be told nothing."""
        return self._ends_us

    def credentials(self, within_s: float = 0.0) -> grpc.ServerCredentials:
        """Return credentials that follow the files; those that do not fit are looked at again for `within_s`.

        Raises:
            ConfigError: a file is missing, is no PEM, or key and certificate do not fit.
        """
        self._stamp, first = settled(self._first, within_s)
        self._ends_us = first.ends_us
        # The types know nothing of None, by which gRPC is told that nothing has changed.
        fetch = cast("Callable[[], grpc.ServerCertificateConfiguration]", self._at_handshake)
        return grpc.dynamic_ssl_server_credentials(
            first.configuration, fetch, require_client_authentication=self._clients is not None
        )

    def _first(self) -> tuple[Stamp, Held]:
        """Return what the files hold, with the state they are in."""
        stamp = self._look()
        fresh = self._read()
        if self._look() != stamp:
            raise ConfigError("server.tls: the files changed while they were read; start again")
        return stamp, fresh

    def _at_handshake(self) -> grpc.ServerCertificateConfiguration | None:
        """Return the files' content when it is new, None to go on; runs in a thread of gRPC."""
        stamp = self._look()
        if stamp == self._stamp:
            return None
        self._stamp = stamp
        try:
            fresh = self._read()
        except ConfigError as error:
            _log.error("certificates stay as they were", why=error)
            return None
        if self._look() != stamp:  # changed while we read: what we hold may be half of each
            return None
        self._ends_us = fresh.ends_us
        _log.info("certificate read again", certificate=str(self._certificate))
        return fresh.configuration

    def _files(self) -> Iterator[tuple[str, Path]]:
        yield "certificate", self._certificate
        yield "key", self._key
        if self._clients is not None:
            yield "clients", self._clients

    def _look(self) -> Stamp:
        return stamp_of(path for _, path in self._files())

    def _read(self) -> Held:
        content: dict[str, bytes] = {}
        for name, path in self._files():
            try:
                content[name] = path.read_bytes()
            except OSError as error:
                raise ConfigError(
                    f"server.tls.{name}: {path}: {error.strerror}; give a file that the scorer may read"
                ) from None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # A password is never asked for at a terminal: a key that has one is refused.
            context.load_cert_chain(self._certificate, self._key, password="")
        except (ssl.SSLError, OSError, ValueError) as error:
            raise ConfigError(
                f"server.tls.certificate, server.tls.key: {self._certificate} and {self._key} do not fit "
                f"({error}); give a PEM certificate and its own key, without a password"
            ) from None
        if self._clients is not None:
            try:
                context.load_verify_locations(cadata=content["clients"].decode("ascii"))
            except (ssl.SSLError, ValueError) as error:
                raise ConfigError(
                    f"server.tls.clients: {self._clients} holds no certificates ({error}); give PEM of who "
                    "signs client certificates"
                ) from None
        configuration = grpc.ssl_server_certificate_configuration(
            [(content["key"], content["certificate"])], root_certificates=content.get("clients")
        )
        ends = {
            "certificate": min(ends_of(content["certificate"]), default=0),
            "clients": max(ends_of(content.get("clients", b"")), default=0),
        }
        return Held(configuration, {what: end_us for what, end_us in ends.items() if end_us})


def ends_of(pem: bytes) -> list[int]:
    """Return when each certificate of a PEM file ends, µs UTC; none where one cannot be read."""
    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError:  # OpenSSL may take what is not quite in order
        return []
    return [round(it.not_valid_after_utc.timestamp()) * SECOND_US for it in found]
