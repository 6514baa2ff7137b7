"""The interceptor that every call passes when identities are on: who, may they, how often.

    metadata, certificate ─► Caller ─► call bucket ─► rule of the method
    ─► only now is the message decoded ─► row bucket ─► the method, in the caller's name

A method that no table names is refused to everybody. Health alone is open: what
restarts or balances the service must see it without a secret, and it tells
nothing but SERVING. With identities off there is no interceptor at all.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final

import grpc
import structlog

from fraud.errors import FraudError, PermissionDenied, RateLimited, Unauthenticated
from fraud.monitoring.scorer_metrics import ScorerMetrics
from fraud.serving.convert import status_of
from fraud.serving.edge import Sealed
from fraud.serving.identities import IdentityFile
from fraud.serving.rates import RateLimits
from fraud.serving.roles import Caller, Rule, call_is_by
from fraud.serving.sparing import Sparing

_log = structlog.get_logger("fraud.serving.doorkeeper")
OPEN_SERVICE: Final = "grpc.health.v1.Health"
AUTHORIZATION: Final = "authorization"
PUSHBACK: Final = "grpc-retry-pushback-ms"
"""Trailing metadata that gRPC clients know: when to come again."""
REFUSALS_PER_S: Final = 10.0
"""Refusals that get a line of the log; of those beyond, a later line says how many. Metrics count all."""
_NOBODY: Final = Rule(frozenset())

Access = Mapping[str, Mapping[str, Rule]]
"""Service → method → rule."""


class Doorkeeper(grpc.aio.ServerInterceptor):
    """Keeps the door of one server; on the event loop."""

    def __init__(
        self,
        access: Access,
        identities: IdentityFile,
        rates: RateLimits,
        metrics: ScorerMetrics,
        wall_us: Callable[[], int],
        *,
        tokens_bound: bool = False,
    ) -> None:
        """`wall_us` tells the time by which credentials expire, whatever clock the service has.

        `tokens_bound`: a token is good on connections that show a certificate of the same identity.
        """
        self._tokens_bound = tokens_bound
        self._access = access
        self._identities = identities
        self._rates = None if rates.unlimited else rates
        self._metrics = metrics
        self._wall_us = wall_us
        self._guarded: dict[str, Any] = {}
        self._lines = Sparing(REFUSALS_PER_S)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the handler of a method behind the door; None where the server has no such method."""
        path = handler_call_details.method
        found = self._guarded.get(path)
        if found is None:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None
            found = self._guarded[path] = self._guard(path, handler)
        return found

    def _guard(self, path: str, handler: Any) -> Any:
        service, _, method = path.strip("/").partition("/")
        if service == OPEN_SERVICE:
            return handler
        rule = self._access.get(service, {}).get(method, _NOBODY)
        if not handler.response_streaming:
            assert not handler.request_streaming, f"{path}: streams of requests are not guarded yet"
            return grpc.unary_unary_rpc_method_handler(
                self._unary(service, method, rule, handler),
                request_deserializer=None,
                response_serializer=handler.response_serializer,
            )
        made = (
            grpc.stream_stream_rpc_method_handler
            if handler.request_streaming
            else grpc.unary_stream_rpc_method_handler
        )
        return made(
            self._stream(service, method, rule, handler.stream_stream or handler.unary_stream),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _unary(self, service: str, method: str, rule: Rule, handler: Any) -> Any:
        decode, call = handler.request_deserializer, handler.unary_unary
        metrics = self._metrics.call(service, method)
        rows, rates = rule.rows, self._rates

        async def guarded(raw: bytes, context: Any) -> Any:
            started = time.perf_counter()
            try:
                caller = self._admit(service, method, rule, context)
                message = decode(raw)
                if rates is not None and rows:
                    opened = message.open() if isinstance(message, Sealed) else message
                    if not isinstance(opened, FraudError):
                        rates.take_rows(caller.name, _count(getattr(opened, rows)), _monotonic_us())
            except FraudError as error:
                metrics.started()
                metrics.handled(status_of(error).name, time.perf_counter() - started)
                if isinstance(error, RateLimited):
                    metrics.limited()
                await self._refuse(f"{service}/{method}", context, error)
            call_is_by(caller)
            return await call(message, context)

        return guarded

    def _stream(self, service: str, method: str, rule: Rule, call: Any) -> Any:
        async def guarded(requests: Any, context: Any) -> AsyncIterator[Any]:
            try:
                caller = self._admit(service, method, rule, context)
            except FraudError as error:
                await self._refuse(f"{service}/{method}", context, error)
            call_is_by(caller)
            async for reply in call(requests, context):
                yield reply

        return guarded

    def _admit(self, service: str, method: str, rule: Rule, context: Any) -> Caller:
        """Return who calls, when they may.

        Raises:
            Unauthenticated: nobody that is known.
            RateLimited: somebody who calls too often, whatever may be called.
            PermissionDenied: somebody whose roles do not cover the method.
        """
        held, now_us = self._identities.held, self._wall_us()
        for key, value in context.invocation_metadata() or ():
            if key == AUTHORIZATION:
                caller = held.of_token(value, now_us)
                if self._tokens_bound:
                    _check_bound(caller, held.of_certificate(context.auth_context(), now_us))
                break
        else:
            caller = held.of_certificate(context.auth_context(), now_us)
        if self._rates is not None:  # what is refused next costs as much to refuse
            self._rates.take_call(caller.name, _monotonic_us())
        if rule.roles.isdisjoint(caller.roles):
            raise PermissionDenied(
                f"{caller.name} ({', '.join(sorted(caller.roles))}) may not call {service}/{method}; "
                f"it takes the role {' or '.join(sorted(rule.roles)) or 'of nobody: no rule allows it'}"
            )
        return caller

    async def _refuse(self, rpc: str, context: Any, error: FraudError) -> None:
        """End the call with an error; never returns."""
        untold = self._lines.untold(_monotonic_us())
        if untold is not None:
            _log.warning("refused", rpc=rpc, peer=context.peer(), code=error.code, why=error, untold=untold)
        trailing: tuple[tuple[str, str], ...] = ()
        if isinstance(error, RateLimited):
            trailing = ((PUSHBACK, str(-(-error.wait_us // 1_000))),)
        await context.abort(status_of(error), f"{error} [{error.code}]", trailing_metadata=trailing)


def _check_bound(caller: Caller, shown: Caller) -> None:
    """Refuse a token that is shown over a connection of another identity.

    Raises:
        Unauthenticated: the certificate belongs to another one.
    """
    if caller.name != shown.name:
        raise Unauthenticated(
            f"the token is of {caller.name}, the certificate of {shown.name}; tokens are bound here "
            "(server.identities.tokens_bound): show both of one identity"
        )


def _monotonic_us() -> int:
    return time.monotonic_ns() // 1_000


def _count(value: Any) -> int:
    """The rows in a field: as many as a repeated one has, one for a message."""
    return len(value) if hasattr(value, "__len__") else 1
