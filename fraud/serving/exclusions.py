"""ListExclusions: what is cut out, and how far the repair after it has come.

exclusions of the ledger  +  Applied entries of the event log  +  bundles that are kept  → steps
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from fraud.registry.view import Registry
from fraud.serving.edge import Edge
from fraud.serving.models import MODELS, promotions_serve
from fraud.serving.queries import Queries
from fraud.serving.repair_steps import also_hidden_by, crowning_seqs, described, repair_steps
from fraud.serving.replacements import Replacements
from fraud.serving.servicers import handler
from fraud.settings import Settings
from fraud.v1 import models_pb2


class ExclusionServicer:
    """The method of `fraud.v1.ModelService` that lists exclusions."""

    def __init__(
        self, settings: Settings, registry: Registry, queries: Queries, replacements: Replacements
    ) -> None:
        self._models = tuple(settings.models)
        self._registry = registry
        self._queries = queries
        self._replacements = replacements

    def handlers(self, edge: Edge) -> grpc.GenericRpcHandler:
        """Return the method, wrapped by the edge."""
        methods: dict[str, tuple[Any, Callable[[Any], Awaitable[Any]]]] = {
            "ListExclusions": (models_pb2.ListExclusionsRequest, self.list_exclusions),
        }
        return handler(edge, MODELS, methods)

    async def list_exclusions(
        self, request: models_pb2.ListExclusionsRequest
    ) -> models_pb2.ListExclusionsResponse:
        """Return exclusions with how far their repair has come, newest first."""
        state = await asyncio.to_thread(self._registry.refresh)
        seq = request.exclusion_seq
        exclusions = [state.exclusion(seq)] if seq else list(reversed(list(state.exclusions.values())))
        applied = await self._queries.applied()
        seqs = crowning_seqs(state, self._models)
        ledger = await asyncio.to_thread(self._registry.store.find, seqs)
        followed = promotions_serve(state, await self._queries.last_applied(), self._models)

        def statuses() -> list[models_pb2.ExclusionStatus]:
            kept = self._replacements.kept(state)
            hidden = {it.seq: also_hidden_by(it, state) for it in exclusions}
            return [
                models_pb2.ExclusionStatus(
                    exclusion_seq=it.seq,
                    time_us=it.time_us,
                    actor=it.actor,
                    reason=it.reason,
                    selection=described(it.data),
                    labels=it.labels,
                    transactions=it.transactions,
                    muted=it.muted,
                    undone_seq=it.undone_seq,
                    tainted=[] if it.muted else [name for name in list(state.versions) if name in it.touched],
                    steps=repair_steps(
                        it,
                        state,
                        applied,
                        ledger,
                        models=self._models,
                        kept=kept,
                        promotions_serve=followed,
                    ),
                    also_hidden_by=hidden[it.seq][0],
                    all_hidden=hidden[it.seq][1],
                )
                for it in exclusions
            ]

        return models_pb2.ListExclusionsResponse(exclusions=await self._queries.survey(statuses))
