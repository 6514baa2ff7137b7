"""The one seam every call passes: request id, status of errors, metrics, log.

Methods are wrapped once, when the server is built, so that a call pays for no
look-ups. This is where identity and roles will be checked: `Edge.method`
knows service and method before the first call and the metadata at each.
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc
import structlog
from google.protobuf.message import DecodeError, Message

from fraud.errors import FraudError, LimitExceeded, Overloaded, Unavailable
from fraud.monitoring.scorer_metrics import CallMetrics, ScorerMetrics
from fraud.serving.convert import status_of

_log = structlog.get_logger("fraud.serving.edge")

Request = TypeVar("Request", bound=Message)
Context = grpc.aio.ServicerContext[Any, Any]
REQUEST_ID = "x-request-id"


class Edge:
    """Wraps servicer methods for one server."""

    def __init__(
        self, metrics: ScorerMetrics, message_bytes_max: int, streams_max: int, *, log_calls: bool
    ) -> None:
        self._metrics = metrics
        self._message_bytes_max = message_bytes_max
        self._streams_max = streams_max
        self._open = 0
        self._log_calls = log_calls
        self._last_call_s = 0.0
        self.closed = ""
        """Why no call is taken now: the process restores its state, or drains. "" when calls are taken."""

    def method(
        self,
        service: str,
        name: str,
        request: type[Request],
        call: Callable[[Request], Awaitable[Message]],
    ) -> Any:
        """Return the gRPC handler of one method; `call` takes the request and returns the reply."""
        metrics = self._metrics.call(service, name)
        limit = self._message_bytes_max

        def decode(raw: bytes) -> Request | FraudError:
            if len(raw) > limit:
                return LimitExceeded(
                    "message", f"has {len(raw)} bytes", f"send at most {limit} (server.message_bytes_max)"
                )
            try:
                return request.FromString(raw)
            except DecodeError:
                return LimitExceeded("message", "cannot be decoded", f"send a {request.DESCRIPTOR.full_name}")

        async def handle(message: Request | FraudError, context: Context) -> Message:
            started = self._begin(metrics)
            try:
                if self.closed:
                    raise Unavailable(self.closed)
                if isinstance(message, FraudError):
                    raise message
                if self._open > self._streams_max:
                    raise self._too_many()
                reply = await call(message)
            except FraudError as error:
                code = status_of(error)
                metrics.handled(code.name, time.perf_counter() - started)
                self._note(service, name, context, error)
                await context.abort(code, f"{error} [{error.code}]")
                raise
            except asyncio.CancelledError:
                # The caller's deadline passed, or it hung up; what is logged stays logged.
                metrics.handled("CANCELLED", time.perf_counter() - started)
                raise
            except Exception as error:
                incident = uuid.uuid4().hex[:12]
                metrics.handled("INTERNAL", time.perf_counter() - started)
                _log.exception("unexpected error", incident=incident, rpc=f"{service}/{name}")
                await context.abort(
                    grpc.StatusCode.INTERNAL,
                    f"unexpected error; tell the operator incident {incident}",
                )
                raise AssertionError from error
            finally:
                self._open -= 1
            metrics.handled("OK", time.perf_counter() - started)
            if self._log_calls:
                self._note(service, name, context, None)
            return reply

        return grpc.unary_unary_rpc_method_handler(
            handle, request_deserializer=decode, response_serializer=_encode
        )

    def _begin(self, metrics: CallMetrics) -> float:
        metrics.started()
        self._open += 1
        self._last_call_s = time.perf_counter()
        return self._last_call_s

    def quiet(self, seconds: float) -> bool:
        """Tell whether no call is open, and none has come for so long."""
        return self._open == 0 and time.perf_counter() - self._last_call_s >= seconds

    def _too_many(self) -> Overloaded:
        return Overloaded(
            f"{self._open} calls are open (server.streams_max = {self._streams_max}); try again with back-off"
        )

    def _note(self, service: str, name: str, context: Context, error: FraudError | None) -> None:
        metadata = dict(context.invocation_metadata() or ())
        _log.info(
            "call",
            rpc=f"{service}/{name}",
            request_id=metadata.get(REQUEST_ID) or uuid.uuid4().hex[:12],
            peer=context.peer(),
            code="OK" if error is None else error.code,
            error=None if error is None else str(error),
        )


def _encode(reply: Message) -> bytes:
    return reply.SerializeToString()
