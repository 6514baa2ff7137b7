"""The one seam every call passes: request id, status of errors, metrics, log.

Methods are wrapped once, when the server is built, so that a call pays for no
look-ups. Who calls, and whether they may, `Doorkeeper` has settled before; here
what they ask for is signed in their name.
"""

import asyncio
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, TypeVar

import grpc
import structlog
from google.protobuf.message import DecodeError, Message

from fraud.errors import FraudError, InvalidInput, LimitExceeded, Overloaded, Unavailable
from fraud.monitoring.scorer_metrics import CallMetrics, ScorerMetrics
from fraud.serving.convert import answer_of, status_of
from fraud.serving.fairness import WaitingRoom
from fraud.serving.roles import Caller, calling, name_of
from fraud.serving.shedding import set_answer_by
from fraud.serving.sparing import Sparing

_log = structlog.get_logger("fraud.serving.edge")

Request = TypeVar("Request", bound=Message)
Context = grpc.aio.ServicerContext[Any, Any]
REQUEST_ID = "x-request-id"
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:/+=-]{1,64}")
"""Ids that the log repeats; for any other the call gets one of its own."""
Check = Callable[[float | None], None]
"""Refuses a call by what its caller still waits, in seconds; None: for ever."""
REFUSALS_PER_S: Final = 1.0
"""Lines of the log about an overload; a line for each refusal would be a load of its own."""
_EARLY_S: Final = 0.005
"""How long before the deadline as it came here a caller may give up because of it."""
SIGNATURES: Final = ("actor", "submitter")
"""Fields of a request that say who makes it."""


@dataclass(slots=True)
class Sealed(Generic[Request]):
    """A request as it came, decoded when somebody looks into it."""

    raw: bytes
    decode: Callable[[bytes], Request | FraudError]
    message: Request | FraudError | None = None

    def open(self) -> Request | FraudError:
        """Return the message, or what is wrong with it."""
        if self.message is None:
            self.message = self.decode(self.raw)
        return self.message


class Edge:
    """Wraps servicer methods for one server."""

    def __init__(
        self, metrics: ScorerMetrics, message_bytes_max: int, streams_max: int, *, log_calls: bool
    ) -> None:
        self._metrics = metrics
        self._message_bytes_max = message_bytes_max
        self._open = WaitingRoom(streams_max)
        self._log_calls = log_calls
        self._last_call_s = 0.0
        self._refusals = Sparing(REFUSALS_PER_S)
        self.apart: dict[str, dict[str, Any]] = {}
        """Handlers by service and method whose calls wait at the door apart from all others."""
        self.closed = ""
        """Why no call is taken now: the process restores its state, or drains. "" when calls are taken."""

    def method(
        self,
        service: str,
        name: str,
        request: type[Request],
        call: Callable[[Request], Awaitable[Message]],
        check: Check | None = None,
    ) -> Any:
        """Return the gRPC handler of one method; `call` takes the request and returns the reply.

        `check` is asked before the request is decoded.
        """
        metrics = self._metrics.call(service, name)
        decode: Callable[[bytes], Any] = decoder(request, self._message_bytes_max)
        if check is not None:
            decode = sealer(decode)
        signed = signature_of(request)

        async def handle(message: Request | FraudError | Sealed[Request], context: Context) -> Message:
            started, full = self._begin(metrics), not self._enter(context)
            try:
                asked = self._admitted(message, check, context, full=full)
                if signed and (caller := calling()) is not None:
                    sign(asked, signed, caller)
                reply = await call(asked)
            except FraudError as error:
                code = status_of(error)
                metrics.handled(code.name, time.perf_counter() - started)
                if isinstance(error, Overloaded):
                    self._tell_refusal(service, name, error)
                else:
                    self._note(service, name, context, error)
                await context.abort(code, f"{answer_of(error)} [{error.code}]")
                raise
            except asyncio.CancelledError:
                # What is logged stays logged.
                took_s = time.perf_counter() - started
                metrics.handled(given_up(context.time_remaining(), took_s), took_s)
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
            metrics.handled("OK", time.perf_counter() - started)
            if self._log_calls:
                self._note(service, name, context, None)
            return reply

        return grpc.unary_unary_rpc_method_handler(
            handle, request_deserializer=decode, response_serializer=_encode
        )

    def _begin(self, metrics: CallMetrics) -> float:
        metrics.started()
        self._last_call_s = time.perf_counter()
        return self._last_call_s

    def _enter(self, context: Context) -> bool:
        """Count a call in until its reply has gone, or nobody is there to read it; False without room."""
        who = name_of(calling())
        if self._open.free(who) < 1:
            return False
        self._open.enter(who)
        leave: Any = partial(self._leave, who)  # the stubs name a class that there is not
        context.add_done_callback(leave)
        return True

    def _leave(self, who: str | None, _: Context) -> None:
        self._open.leave(who)

    def _admitted(
        self,
        message: Request | FraudError | Sealed[Request],
        check: Check | None,
        context: Context,
        *,
        full: bool,
    ) -> Request:
        """Return what is asked, read only when it may be answered.

        Raises:
            FraudError: no call is taken now, too many are open, it would be late, or it cannot be read.
        """
        if self.closed:
            raise Unavailable(self.closed)
        if full:
            raise self._too_many(name_of(calling()))
        left_s = context.time_remaining()
        if check is not None:
            check(left_s)
        elif left_s is not None:
            set_answer_by(time.monotonic() + left_s)
        asked = message.open() if isinstance(message, Sealed) else message
        if isinstance(asked, FraudError):
            raise asked
        return asked

    def quiet(self, seconds: float) -> bool:
        """Tell whether no call is open, every reply has gone, and no call has come for so long."""
        return self._open.held_by_all == 0 and time.perf_counter() - self._last_call_s >= seconds

    def _too_many(self, who: str | None) -> Overloaded:
        return Overloaded(
            f"{self._open.held_by_all} calls are open, {self._open.held(who)} of them yours, those whose "
            f"replies were not read among them (server.streams_max = {self._open.most}); read what was "
            "answered, and try again with back-off"
        )

    def _tell_refusal(self, service: str, name: str, error: Overloaded) -> None:
        untold = self._refusals.untold(time.monotonic_ns() // 1_000)
        if untold is not None:
            _log.warning("overload", refused=untold + 1, last=f"{service}/{name}", why=error.told)

    def _note(self, service: str, name: str, context: Context, error: FraudError | None) -> None:
        caller = calling()
        _log.info(
            "call",
            rpc=f"{service}/{name}",
            identity=None if caller is None else caller.name,
            request_id=request_id_in(context.invocation_metadata() or ()),
            peer=context.peer(),
            code="OK" if error is None else error.code,
            error=error,
        )


def given_up(remaining_s: float | None, took_s: float) -> str:
    """Return the status of a call that was cancelled: its deadline passed, or its caller hung up.

    A deadline travels rounded up, by a hundredth at most, and the caller's word may be here before it.

    >>> given_up(0.0, 0.1), given_up(5.0, 0.1), given_up(None, 0.1)
    ('DEADLINE_EXCEEDED', 'CANCELLED', 'CANCELLED')
    """
    passed = remaining_s is not None and remaining_s <= _EARLY_S + took_s / 99
    return "DEADLINE_EXCEEDED" if passed else "CANCELLED"


def request_id_in(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """Return the caller's id of a call where it looks like one, else a new one.

    >>> request_id_in([("x-request-id", "7f3a-11")])
    '7f3a-11'
    >>> len(request_id_in([("x-request-id", "card of Ann Smith")]))
    12
    """
    for key, value in metadata:
        if key == REQUEST_ID and isinstance(value, str) and _REQUEST_ID.fullmatch(value):
            return value
    return uuid.uuid4().hex[:12]


def decoder(request: type[Request], bytes_max: int) -> Callable[[bytes], Request | FraudError]:
    """Return what reads a request from its bytes; it returns what is wrong with them rather than raise it."""

    def decode(raw: bytes) -> Request | FraudError:
        if len(raw) > bytes_max:
            return LimitExceeded(
                "message", f"has {len(raw)} bytes", f"send at most {bytes_max} (server.message_bytes_max)"
            )
        try:
            return request.FromString(raw)
        except DecodeError:
            return LimitExceeded("message", "cannot be decoded", f"send a {request.DESCRIPTOR.full_name}")

    return decode


def sealer(decode: Callable[[bytes], Request | FraudError]) -> Callable[[bytes], Sealed[Request]]:
    """Return what keeps a request as it came until somebody looks into it."""
    return lambda raw: Sealed(raw, decode)


def signature_of(request: type[Message]) -> str:
    """Return the field of a request that says who makes it, "" when it has none."""
    return next((field for field in SIGNATURES if field in request.DESCRIPTOR.fields_by_name), "")


def sign(message: Message, field: str, caller: Caller) -> None:
    """Write the caller's name into the message.

    Raises:
        InvalidInput: another name stands there.
    """
    given = getattr(message, field)
    if given and given != caller.name:
        raise InvalidInput(
            field, f"says {given!r}, but {caller.name} calls", "leave it empty: who calls is what is kept"
        )
    setattr(message, field, caller.name)


def _encode(reply: Message) -> bytes:
    return reply.SerializeToString()
