"""The connection to a service: one channel, deadlines, retries, errors by their class."""

import contextlib
import time
import uuid
from collections.abc import Callable
from typing import Any, Self, TypeVar

import grpc
from google.protobuf.message import Message

from fraud import errors
from fraud.client.credentials import Credentials
from fraud.errors import ConfigError, Damaged, FraudError, InvalidInput, OtherFormat, Overloaded, Unavailable
from fraud.settings.access import is_loopback

Reply = TypeVar("Reply", bound=Message)
_RESET = grpc.StatusCode.CANCELLED
"""We cancel none: the transport of the server reset the call unread (`server.pending_calls_max`)."""
_RETRIED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, _RESET)
_PAUSE_FIRST_S = 0.01
_LOOK_AGAIN_S = 0.02
_RECONNECT = (("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 1_000))
"""A service that has come up is found within about a second; gRPC's own pauses grow to two minutes, while
`wait_ready` and every call would take it for one that is down."""
_PUSHBACK = "grpc-retry-pushback-ms"
REQUEST_ID = "x-request-id"
"""Metadata under which a call and its retries stand in the server's log."""

_BY_CODE: dict[str, type[FraudError]] = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, FraudError) and kind is not FraudError
} | {OtherFormat.code: Damaged}
"""Which formats those are of the server's data only its message says, so here it is what it is a kind of."""


class Connection:
    """One channel to a service; may be shared by threads."""

    def __init__(
        self,
        target: str,
        deadline_s: float,
        retries: int,
        message_bytes_max: int,
        credentials: Credentials,
    ) -> None:
        options: list[tuple[str, Any]] = [
            ("grpc.max_receive_message_length", message_bytes_max),
            ("grpc.max_send_message_length", message_bytes_max),
            ("grpc.enable_retries", 0),
            *_RECONNECT,
        ]
        if credentials.tls is None or is_loopback(_host_of(target)):
            # A proxy of the environment would read the token, and knows nothing of this machine's loopback.
            options.append(("grpc.enable_http_proxy", 0))
        self._channel = _channel(target, credentials, options)
        self._metadata = (("authorization", f"Bearer {credentials.token}"),) if credentials.token else ()
        self._target = target
        self._deadline_s = deadline_s
        self._retries = retries
        self._calls: dict[str, Callable[..., Any]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Wait until the service says it is serving: for the connection, its answer, and that this is yes.

        Raises:
            Unavailable: it does not within `timeout_s`.
        """
        from grpc_health.v1 import health_pb2

        check = self._raw("grpc.health.v1.Health/Check", health_pb2.HealthCheckResponse)
        end = time.monotonic() + timeout_s
        while (left_s := end - time.monotonic()) > 0:
            # The call itself waits for the connection: grpc.channel_ready_future would look from a thread of
            # its own, five times a second.
            with contextlib.suppress(grpc.RpcError):
                reply = check(health_pb2.HealthCheckRequest(), timeout=left_s, wait_for_ready=True)
                if reply.status == health_pb2.HealthCheckResponse.SERVING:
                    return
            time.sleep(min(_LOOK_AGAIN_S, max(0.0, end - time.monotonic())))
        raise Unavailable(f"{self._target} is not serving after {timeout_s:g} s; see 'fraud doctor'")

    def _call(self, method: str, request: Message, reply: type[Reply], *, retried: bool = True) -> Reply:
        """Call a method; `retried` False where a second arrival would not be a no-op."""
        call = self._raw(f"fraud.v1.{method}", reply)
        end = time.monotonic() + self._deadline_s
        pause_s = _PAUSE_FIRST_S
        metadata = (*self._metadata, (REQUEST_ID, uuid.uuid4().hex))
        retries = self._retries if retried else 0
        for attempt in range(retries + 1):
            left_s = end - time.monotonic()
            try:
                return call(request, timeout=max(left_s, 0.001), metadata=metadata)
            except grpc.RpcError as error:
                pause_s = max(pause_s, _pushback_s(error))
                worth_it = error.code() in _RETRIED and attempt < retries
                if not worth_it or end - time.monotonic() <= pause_s:
                    raise _error(error, self._target) from None
            time.sleep(pause_s)
            pause_s *= 2
        raise AssertionError("the loop returns or raises")

    def _raw(self, path: str, reply: type[Reply]) -> Callable[..., Reply]:
        call = self._calls.get(path)
        if call is None:
            call = self._calls[path] = self._channel.unary_unary(
                f"/{path}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=reply.FromString,
            )
        return call


def _host_of(target: str) -> str:
    return target.rpartition(":")[0]


def _channel(target: str, credentials: Credentials, options: list[tuple[str, Any]]) -> grpc.Channel:
    """Connect.

    Raises:
        ConfigError: a token would go over a network in clear.
    """
    tls = credentials.tls
    if tls is None:
        if credentials.token and not is_loopback(_host_of(target)):
            raise ConfigError(
                f"client.ca: is not given, so the token would go to {target} in clear, and whoever listens "
                "would have it; give the certificate of who signs the server's"
            )
        return grpc.insecure_channel(target, options=options)
    if tls.server_name:
        options = [*options, ("grpc.ssl_target_name_override", tls.server_name)]
    secure = grpc.ssl_channel_credentials(
        root_certificates=tls.ca or None,
        private_key=tls.key or None,
        certificate_chain=tls.certificate or None,
    )
    return grpc.secure_channel(target, secure, options=options)


def _pushback_s(error: Any) -> float:
    """Return how long the server asks us to stay away, 0 when it does not say."""
    for key, value in error.trailing_metadata() or ():
        if key == _PUSHBACK and str(value).isdigit():
            return int(value) / 1_000
    return 0.0


def _error(error: Any, target: str) -> FraudError:
    """Return our error for a failed call: its class by the code at the end of the message."""
    status, details = error.code(), error.details() or ""
    text, _, code = details.removesuffix("]").rpartition(" [")
    kind = _BY_CODE.get(code)
    if kind is None:
        if status in (grpc.StatusCode.RESOURCE_EXHAUSTED, _RESET):
            return Overloaded(f"{target}: {details}")
        return Unavailable(f"{target}: {status.name}: {details}")
    if issubclass(kind, InvalidInput):
        field, _, rest = text.partition(": ")
        problem, _, remedy = rest.partition("; ")
        return kind(field, problem, remedy)
    return kind(text)
