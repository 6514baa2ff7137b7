"""EraseEntity: from wire, call, to wire."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from fraud.errors import InvalidInput
from fraud.serving.edge import Edge
from fraud.serving.eraser import Eraser, ErasureReport
from fraud.serving.models import MODELS, check_signed
from fraud.serving.servicers import handler
from fraud.settings import Settings
from fraud.v1 import models_pb2


class ErasureServicer:
    """The method of `fraud.v1.ModelService` that erases a person."""

    def __init__(self, settings: Settings, eraser: Eraser) -> None:
        self._eraser = eraser
        self._backups = settings.retention.backups

    def handlers(self, edge: Edge) -> grpc.GenericRpcHandler:
        """Return the method, wrapped by the edge."""
        methods: dict[str, tuple[Any, Callable[[Any], Awaitable[Any]]]] = {
            "EraseEntity": (models_pb2.EraseEntityRequest, self.erase_entity),
        }
        return handler(edge, MODELS, methods)

    async def erase_entity(self, request: models_pb2.EraseEntityRequest) -> models_pb2.EraseEntityResponse:
        """Erase an entity, say what that would mean, or how far it has come."""
        if request.HasField("surrogate") == bool(request.token):
            raise InvalidInput("token", "and surrogate: exactly one is wanted", "send the token to erase it")
        if request.HasField("surrogate"):
            return self._to_wire(await self._eraser.ask(request.entity, request.surrogate))
        if request.dry_run:
            return self._to_wire(await self._eraser.plan(request.entity, request.token))
        check_signed(request.actor, request.reason, "the erasure")
        return self._to_wire(
            await self._eraser.erase(
                request.entity, request.token, actor=request.actor, reason=request.reason
            )
        )

    def _to_wire(self, report: ErasureReport) -> models_pb2.EraseEntityResponse:
        return models_pb2.EraseEntityResponse(
            entity=report.entity,
            surrogate=report.surrogate,
            transactions=report.transactions,
            fields=report.fields,
            comments=report.comments,
            linked=[
                models_pb2.LinkedEntities(entity=it.entity, erased=len(it.own), kept=it.shared)
                for it in report.linked
            ],
            complete=report.complete,
            waiting_for=report.waiting_for,
            ledger_seq=report.ledger_seq,
            repeated=report.repeated,
            backups=self._backups,
        )
