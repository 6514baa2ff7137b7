"""The HTTP endpoint at which Prometheus reads a process: plain on loopback, else with TLS and who may read.

    accept ─► files changed? take them : go on ─► handshake, in the reader's thread ─► token right? ─► metrics

Certificates and token are read again when their files change; what does not fit is
told once and what there was stays. A reader that is slow holds up nobody else, and has
an end; more than `monitoring.readers_max` at once are turned away.
"""

import contextlib
import errno
import hmac
import socket
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import BoundedSemaphore, Thread, Timer
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from fraud.errors import ConfigError, Unavailable
from fraud.monitoring.rotation import SETTLE_S, settled, stamp_of
from fraud.settings.monitoring import Monitoring

_log = structlog.get_logger("fraud.monitoring.endpoint")
TIMEOUT_S: Final = 10.0
"""A reader that says nothing for so long is let go."""
DEADLINE_S: Final = 30.0
"""One that is not done by then, too, whatever it says."""
App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Guard:
    """Who may read an endpoint: its TLS, certificates of readers, a bearer token; each if configured."""

    def __init__(self, monitoring: Monitoring, within_s: float = SETTLE_S) -> None:
        """Read the files; those that do not fit are looked at again for `within_s` seconds.

        Raises:
            ConfigError: one is missing, or certificate and key do not fit.
        """
        tls = monitoring.tls
        self._tls, self._token_file = tls, monitoring.token_file
        self.readers_max = monitoring.readers_max
        named = (tls.certificate, tls.key, tls.clients, monitoring.token_file)
        self._files = [path for path in named if path is not None]
        self._stamp, (self.context, self._token) = settled(
            lambda: (stamp_of(self._files), self._read()), within_s
        )

    def renew(self) -> None:
        """Take the files when they have changed and fit; else keep what there is and say so once."""
        stamp = stamp_of(self._files)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self.context, self._token = self._read()
            _log.info("certificates and token of the metrics read again")
        except ConfigError as error:
            _log.error("certificates and token of the metrics stay as they were", why=error)

    def admits(self, authorization: str) -> bool:
        """Tell whether a header of this value may read."""
        wanted = b"" if self._token is None else b"Bearer " + self._token
        return self._token is None or hmac.compare_digest(authorization.encode("latin-1"), wanted)

    def _read(self) -> tuple[ssl.SSLContext | None, bytes | None]:
        content = {}
        # Each by itself first: TLS does not say which of them it could not read.
        for path in self._files:
            try:
                content[path] = path.read_bytes()
            except OSError as error:
                raise ConfigError(
                    f"monitoring: {path}: {error.strerror}; give a file that scorer and retrainer may read"
                ) from None
        token = None if self._token_file is None else content[self._token_file].strip()
        if token == b"":
            raise ConfigError(f"monitoring.token_file: {self._token_file} is empty; write a token into it")
        return self._context(), token

    def _context(self) -> ssl.SSLContext | None:
        tls = self._tls
        if tls.certificate is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # A password is never asked for at a terminal: a key that has one is refused.
            context.load_cert_chain(tls.certificate, tls.key, password="")
            if tls.clients is not None:
                context.load_verify_locations(tls.clients)
                context.verify_mode = ssl.CERT_REQUIRED
        except (ssl.SSLError, OSError, ValueError) as error:
            raise ConfigError(
                f"monitoring.tls: {', '.join(map(str, self._files))} cannot be used ({error}); give PEM: a "
                "certificate, its own key without a password, and who signs clients"
            ) from None
        return context


class _Quiet(WSGIRequestHandler):
    """Writes no line per request."""

    timeout = TIMEOUT_S

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 — its name there
        """Write nothing."""


class _Server(ThreadingWSGIServer):
    """Serves in a thread per reader, where the handshake happens, too."""

    def __init__(self, address: tuple[str, int], family: socket.AddressFamily, guard: Guard) -> None:
        self.address_family = family
        self._guard = guard
        self._places = BoundedSemaphore(guard.readers_max)
        WSGIServer.__init__(self, address, _Quiet)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; what is said on it comes later."""
        connection, address = super().get_request()
        connection.settimeout(TIMEOUT_S)
        self._guard.renew()
        if self._guard.context is not None:
            connection = self._guard.context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Give a reader a place, if there is one."""
        del request
        free = self._places.acquire(blocking=False)
        if not free:
            _log.info("metrics were not read: too many readers", peer=str(client_address[0]))
        return free

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give the reader a thread."""
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread could be started
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a reader for so long at most, and take its place back."""
        end = Timer(DEADLINE_S, _hang_up, [request])
        end.daemon = True
        end.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self._places.release()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands, then answer."""
        if isinstance(request, ssl.SSLSocket):
            request.do_handshake()
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Note a reader that was turned away, or hung up."""
        del request
        _log.info("metrics were not read", peer=str(client_address[0]), exc_info=True)


def _hang_up(connection: socket.socket) -> None:
    # Below TLS, which its own thread is in the middle of.
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


@dataclass(slots=True)
class MetricsServer:
    """A bound HTTP endpoint; `port` is the one it got, −1 when metrics are off."""

    port: int
    _server: Any = None
    _thread: Thread | None = None

    def close(self) -> None:
        """Stop serving and free the port; again is no error."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = self._thread = None


def serve_metrics(
    registry: CollectorRegistry, host: str, port: int, guard: Guard | None = None
) -> MetricsServer:
    """Serve a registry at `/metrics`; port 0 takes any free one, −1 serves nothing.

    Without a `guard` whoever comes may read.

    Raises:
        ConfigError: the host is not ours.
        Unavailable: the port is taken, or the host's address is not there yet.
    """
    if port == -1:
        return MetricsServer(-1)
    guard = guard or Guard(Monitoring())
    try:
        family, _, _, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        server = _Server((str(address[0]), port), family, guard)
    except OSError as error:
        why = f"monitoring: metrics cannot be served on {host}:{port} ({error.strerror})"
        if error.errno == errno.EADDRINUSE:
            raise Unavailable(f"{why}; end what has it, or choose another port (0: any free one)") from None
        if is_late(error):
            raise Unavailable(
                f"{why} yet; the address or its name is not there: wait until it is, or give a host of this "
                "machine"
            ) from None
        raise ConfigError(f"{why}; give a host of this machine, or the port -1 for none") from None
    server.set_app(_guarded(make_wsgi_app(registry), guard))
    thread = Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    return MetricsServer(server.server_port, server, thread)


def is_late(error: OSError) -> bool:
    """Tell whether an address, or its name, may only not be there yet: as at the boot of a machine."""
    unnamed = isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN
    return unnamed or error.errno == errno.EADDRNOTAVAIL


def _guarded(app: Any, guard: Guard) -> App:
    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if not guard.admits(environ.get("HTTP_AUTHORIZATION", "")):
            start("401 Unauthorized", [("WWW-Authenticate", "Bearer")])
            return [b"# show the token of monitoring.token_file as a bearer token\n"]
        reply: Iterable[bytes] = app(environ, start)
        return reply

    return answer
