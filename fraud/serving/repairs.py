"""Rollback, ExcludeData and UndoExclusion: from wire, call, to wire."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from fraud.clock import LATEST_US
from fraud.errors import InvalidInput
from fraud.serving.edge import Edge
from fraud.serving.excluding import Excluding, SelectionGiven
from fraud.serving.models import MODELS, check_signed
from fraud.serving.rollback import RollbackOrder, RollbackPlan, Rollbacks
from fraud.serving.servicers import check_model, handler
from fraud.settings import Settings
from fraud.v1 import models_pb2


class RepairServicer:
    """The methods of `fraud.v1.ModelService` that mend what polluted data has done."""

    def __init__(self, settings: Settings, rollbacks: Rollbacks, excluding: Excluding) -> None:
        self._models = tuple(settings.models)
        self._rollbacks = rollbacks
        self._excluding = excluding

    def handlers(self, edge: Edge) -> grpc.GenericRpcHandler:
        """Return the methods, wrapped by the edge."""
        methods: dict[str, tuple[Any, Callable[[Any], Awaitable[Any]]]] = {
            "Rollback": (models_pb2.RollbackRequest, self.rollback),
            "ExcludeData": (models_pb2.ExcludeDataRequest, self.exclude_data),
            "UndoExclusion": (models_pb2.UndoExclusionRequest, self.undo_exclusion),
        }
        return handler(edge, MODELS, methods)

    async def rollback(self, request: models_pb2.RollbackRequest) -> models_pb2.RollbackResponse:
        """Put a former champion back in service, or say what that would mean."""
        check_model(request.model, self._models)
        _check_times(before_us=request.before_us, mute_labels_since_us=request.mute_labels_since_us)
        order = RollbackOrder(
            request.model,
            request.before_us,
            request.version,
            request.mute_labels_since_us,
            request.actor,
            request.reason,
        )
        if request.dry_run:
            return _plan_to_wire(await self._rollbacks.plan(order))
        check_signed(request.actor, request.reason, "the rollback")
        done = await self._rollbacks.carry_out(order)
        reply = _plan_to_wire(done.plan)
        if done.waiting is not None:
            reply.asked_seq, reply.asked_until_us = done.waiting.seq, done.waiting.until_us
        reply.ledger_seq, reply.mute_seq = done.ledger_seq, done.mute_seq
        reply.applied, reply.seconds = done.applied, done.seconds
        return reply

    async def exclude_data(self, request: models_pb2.ExcludeDataRequest) -> models_pb2.ExcludeDataResponse:
        """Cut data out, or say what that would set in motion."""
        given = request.selection
        _check_times(**{"selection.from_us": given.from_us, "selection.to_us": given.to_us})
        selection = SelectionGiven(
            given.batch_id,
            given.source,
            given.submitter,
            given.transactions,
            given.from_us,
            given.to_us,
            dict(given.where),
        )
        if request.dry_run:
            seq, plan, waiting = 0, await self._excluding.plan(selection), None
        else:
            check_signed(request.actor, request.reason, "the exclusion")
            seq, plan, waiting = await self._excluding.carry_out(
                selection, actor=request.actor, reason=request.reason, retrain=not request.no_retrain
            )
        return models_pb2.ExcludeDataResponse(
            exclusion_seq=seq,
            in_force_seq=plan.in_force_seq,
            labels=plan.labels,
            transactions=plan.transactions,
            tainted=plan.tainted,
            replacements=[
                models_pb2.Replacement(model=model, from_version=former, to_version=follower)
                for model, former, follower in plan.replacements
            ],
            asked_seq=0 if waiting is None else waiting.seq,
            asked_until_us=0 if waiting is None else waiting.until_us,
        )

    async def undo_exclusion(
        self, request: models_pb2.UndoExclusionRequest
    ) -> models_pb2.UndoExclusionResponse:
        """Let excluded data count again."""
        check_signed(request.actor, request.reason, "undoing it")
        seq, waiting = await self._excluding.undo(
            request.exclusion_seq, actor=request.actor, reason=request.reason
        )
        return models_pb2.UndoExclusionResponse(
            ledger_seq=seq,
            asked_seq=0 if waiting is None else waiting.seq,
            asked_until_us=0 if waiting is None else waiting.until_us,
        )


def _check_times(**times_us: int) -> None:
    for field, time_us in times_us.items():
        if not 0 <= time_us <= LATEST_US:
            raise InvalidInput(field, f"is {time_us}", "send microseconds since 1970 UTC, or 0 for none")


def _plan_to_wire(plan: RollbackPlan) -> models_pb2.RollbackResponse:
    return models_pb2.RollbackResponse(
        model=plan.model,
        from_version=plan.from_version,
        to_version=plan.to_version,
        policy_version=plan.policy_version,
        muted_labels=plan.muted_labels,
        forecasts=[
            models_pb2.AlertForecast(
                view=it.view, version=it.version, rows=it.rows, alerts=it.alerts, declines=it.declines
            )
            for it in plan.forecasts
        ],
    )
