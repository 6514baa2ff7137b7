"""`fraud.v1.AccessService`: who the caller is to the server, and what waits for a second person."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from fraud.registry.chain import canonical_json
from fraud.registry.view import Registry
from fraud.serving.edge import Edge
from fraud.serving.roles import ANYBODY, READERS, calling
from fraud.serving.servicers import handler
from fraud.v1 import access_pb2

ACCESS = "fraud.v1.AccessService"
ACCESS_ACCESS = {"WhoAmI": ANYBODY, "ListAsked": READERS}


class AccessServicer:
    """Answers about the caller and about the two-person rule."""

    def __init__(self, registry: Registry, now_us: Callable[[], int]) -> None:
        self._registry = registry
        self._now_us = now_us

    def handlers(self, edge: Edge) -> grpc.GenericRpcHandler:
        """Return the service's methods, wrapped by the edge."""
        methods: dict[str, tuple[Any, Callable[[Any], Awaitable[Any]]]] = {
            "WhoAmI": (access_pb2.WhoAmIRequest, self.who_am_i),
            "ListAsked": (access_pb2.ListAskedRequest, self.list_asked),
        }
        return handler(edge, ACCESS, methods)

    async def who_am_i(self, request: access_pb2.WhoAmIRequest) -> access_pb2.WhoAmIResponse:
        """Return who calls."""
        del request
        caller = calling()
        if caller is None:
            return access_pb2.WhoAmIResponse(raw_scores=True)
        return access_pb2.WhoAmIResponse(
            name=caller.name, roles=sorted(caller.roles), raw_scores=caller.raw_scores
        )

    async def list_asked(self, request: access_pb2.ListAskedRequest) -> access_pb2.ListAskedResponse:
        """Return what was asked for, newest first; what is open alone, or all."""
        return await asyncio.to_thread(self._asked, request)

    def _asked(self, request: access_pb2.ListAskedRequest) -> access_pb2.ListAskedResponse:
        state, now_us = self._registry.refresh(), self._now_us()
        return access_pb2.ListAskedResponse(
            asked=[
                access_pb2.Asked(
                    ledger_seq=it.seq,
                    time_us=it.time_us,
                    method=it.method,
                    what_json=canonical_json(it.what),
                    actor=it.actor,
                    reason=it.reason,
                    until_us=it.until_us,
                    done_seq=it.done_seq,
                )
                for it in reversed(list(state.asked.values()))
                if request.all or it.is_open(now_us)
            ]
        )
