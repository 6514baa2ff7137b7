"""The way in: address and TLS, the doorkeeper, and the file of identities that is read again.

identities off → no interceptor at all · no certificate → a plain port
"""

import asyncio
import contextlib
import errno
import socket
from typing import Any, Final

import grpc
from grpc_reflection.v1alpha import reflection

from fraud.clock import WallClock
from fraud.errors import ConfigError, FraudError, Unavailable
from fraud.monitoring.endpoint import is_late
from fraud.monitoring.rotation import SETTLE_S
from fraud.monitoring.scorer_metrics import ScorerMetrics
from fraud.serving.access import ACCESS, ACCESS_ACCESS
from fraud.serving.doorkeeper import OPEN_SERVICE, Access, Doorkeeper
from fraud.serving.identities import IdentityFile
from fraud.serving.listings import POLICIES
from fraud.serving.models import MODELS, MODELS_ACCESS
from fraud.serving.policies import POLICIES_ACCESS
from fraud.serving.rates import RateLimits
from fraud.serving.roles import ANYBODY
from fraud.serving.servicers import LABELS, LABELS_ACCESS, SCORING, SCORING_ACCESS
from fraud.serving.tls import Certificates
from fraud.settings.server import Server

KEEPALIVE_ANSWER_MS: Final = 20_000
"""A connection that has not answered by then is closed, and its calls with it."""
RULES: Final[Access] = {
    SCORING: SCORING_ACCESS,
    LABELS: LABELS_ACCESS,
    MODELS: MODELS_ACCESS,
    POLICIES: POLICIES_ACCESS,
    ACCESS: ACCESS_ACCESS,
    reflection.SERVICE_NAME: {"ServerReflectionInfo": ANYBODY},
}
"""Complete by test: every method of every service stands here, and health is the one that is open."""


METADATA_BYTES_MAX: Final = 16 * 2**10
"""Of a call's metadata: a token, a request id and what proxies add are far below; gRPC refuses more."""


class Entrance:
    """Who comes in, and where; of one server."""

    def __init__(self, settings: Server, metrics: ScorerMetrics) -> None:
        """Read identities and certificates.

        Raises:
            ConfigError: a file is missing or is not what it should be.
        """
        self._settings = settings
        self._metrics = metrics
        self._certificates = Certificates(settings.tls) if settings.tls.certificate is not None else None
        given = settings.identities
        self._identities = None if given.file is None else IdentityFile(given.file, given.raw_scores)
        self.interceptors: tuple[grpc.aio.ServerInterceptor, ...] = ()
        if self._identities is not None:
            doorkeeper = Doorkeeper(
                RULES,
                self._identities,
                RateLimits(settings.rates),
                metrics,
                WallClock().now_us,
                tokens_bound=given.tokens_bound,
            )
            self.interceptors = (doorkeeper,)

    @property
    def options(self) -> list[tuple[str, Any]]:
        """Options of the gRPC server."""
        options: list[tuple[str, Any]] = [
            # The edge refuses by name above the limit; the transport only far above it.
            ("grpc.max_receive_message_length", self._settings.message_bytes_max * 4),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
            # What is reset here never reaches Python, whose refusals cost nearly as much as answers.
            ("grpc.server.max_pending_requests", self._settings.pending_calls_max),
            ("grpc.server.max_pending_requests_hard_limit", self._settings.pending_calls_max),
            ("grpc.keepalive_time_ms", _ms(self._settings.keepalive)),
            ("grpc.keepalive_timeout_ms", KEEPALIVE_ANSWER_MS),
            ("grpc.max_metadata_size", METADATA_BYTES_MAX),
            ("grpc.absolute_max_metadata_size", METADATA_BYTES_MAX),
            # The edge counts a call once its request is there. What is sent a byte at a time, or never, is
            # bounded here: so many connections, so many calls on each, and an end to both.
            ("grpc.max_allowed_incoming_connections", self._settings.connections_max),
            ("grpc.max_concurrent_streams", self._settings.connection_streams_max),
            ("grpc.server_handshake_timeout_ms", _ms(self._settings.handshake)),
            ("grpc.max_connection_idle_ms", _ms(self._settings.connection_idle)),
            ("grpc.max_connection_age_ms", _ms(self._settings.tls.connection_age)),
            ("grpc.max_connection_age_grace_ms", _ms(self._settings.slow_call)),
        ]
        return options

    def reflect(self, server: grpc.aio.Server) -> None:
        """Let callers list the methods, unless identities are on and reflection is not."""
        if self._identities is None or self._settings.identities.reflection:
            reflection.enable_server_reflection((*RULES, OPEN_SERVICE), server)

    def bind(self, server: grpc.aio.Server) -> int:
        """Listen; return the port.

        Raises:
            ConfigError: the address is not ours, or a certificate cannot be used.
            Unavailable: the port is taken.
        """
        host, port = self._settings.host, self._settings.port
        credentials = None if self._certificates is None else self._certificates.credentials(SETTLE_S)
        try:
            if credentials is None:
                return server.add_insecure_port(f"{host}:{port}")
            return server.add_secure_port(f"{host}:{port}", credentials)
        except RuntimeError:
            raise _cannot_listen(host, port) from None

    async def watch(self, stopping: asyncio.Event) -> None:
        """Read the identities again when their file changes, and show when access ends, until stopping."""
        every_s = self._settings.identities.reload_every / 1e6
        guarded = self._identities is not None or self._certificates is not None
        while guarded and not stopping.is_set():
            self._metrics.show_access(self._ends_us())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), timeout=every_s)
            if self._identities is not None:
                self._identities.refresh()

    def _ends_us(self) -> dict[str, int]:
        """Return when what lets callers in ends, µs UTC, by what it is; what does not end is left out."""
        ends = dict(self._certificates.ends_us) if self._certificates is not None else {}
        identity = self._identities.held.end_us if self._identities is not None else 0
        return ends | {"identity": identity} if identity else ends


def _cannot_listen(host: str, port: int) -> FraudError:
    """Return why, which gRPC does not tell: a port may be free again soon, a wrong host stays wrong."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as probe:
            probe.bind(address)
    except OSError as error:
        if is_late(error):
            return Unavailable(
                f"server: cannot listen on {host}:{port} yet ({error.strerror}); the address or its name is "
                "not there: wait until it is, or give a host of this machine"
            )
        if error.errno != errno.EADDRINUSE:
            return ConfigError(
                f"server: cannot listen on {host}:{port} ({error.strerror}); give a host of this machine and "
                "a port that its user may have"
            )
    return Unavailable(f"server: {host}:{port} is taken; end what has it, or choose another server.port")


def _ms(duration_us: int) -> int:
    """Milliseconds for gRPC, which reads them as an int32; 0 would mean none."""
    return min(max(1, duration_us // 1_000), 2**31 - 1)
