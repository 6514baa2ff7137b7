"""`fraud.v1.ModelService`: which version serves and served, its evidence, retrains on request."""

import json
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from fraud.clock import Clock
from fraud.errors import InvalidInput
from fraud.records import Applied, Entry
from fraud.registry.ledger import VersionState
from fraud.registry.view import Registry
from fraud.serving.edge import Edge
from fraud.serving.queries import Queries
from fraud.serving.scorer import Scorer
from fraud.serving.servicers import handler
from fraud.settings import Settings
from fraud.v1 import models_pb2

MODELS = "fraud.v1.ModelService"


class ModelServicer:
    """Answers from the ledger (what is intended) and the event log (what was applied)."""

    def __init__(
        self, settings: Settings, registry: Registry, queries: Queries, scorer: Scorer, clock: Clock
    ) -> None:
        self._models = tuple(settings.models)
        self._page_size_max = settings.server.page_size_max
        self._registry = registry
        self._queries = queries
        self._scorer = scorer
        self._clock = clock
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="ledger")

    def handlers(self, edge: Edge) -> grpc.GenericRpcHandler:
        """Return the service's methods, wrapped by the edge."""
        methods: dict[str, tuple[Any, Callable[[Any], Awaitable[Any]]]] = {
            "GetChampion": (models_pb2.GetChampionRequest, self.get_champion),
            "ListVersions": (models_pb2.ListVersionsRequest, self.list_versions),
            "GetVersion": (models_pb2.GetVersionRequest, self.get_version),
            "TriggerRetrain": (models_pb2.TriggerRetrainRequest, self.trigger_retrain),
            "GetRetrain": (models_pb2.GetRetrainRequest, self.get_retrain),
        }
        return handler(edge, MODELS, methods)

    async def get_champion(self, request: models_pb2.GetChampionRequest) -> models_pb2.GetChampionResponse:
        """Return what served at a moment: the last entry applied by then."""
        self._check_model(request.model)
        state = self._registry.refresh()
        at_us = request.at_us or self._scorer.now_us()
        entry = _applied_at(await self._queries.applied(), request.model, at_us)
        intended = state.champion_at(request.model, at_us)
        reply = models_pb2.GetChampionResponse(model=request.model, intended_version=intended)
        if entry is not None and isinstance(entry.event, Applied):
            reply.version = entry.event.version
            reply.policy_version = entry.event.policy_version
            reply.since_us = entry.arrival_time_us
            reply.ledger_seq = entry.event.ledger_seq
        return reply

    async def list_versions(self, request: models_pb2.ListVersionsRequest) -> models_pb2.ListVersionsResponse:
        """Return a page of versions, newest first."""
        if request.model:
            self._check_model(request.model)
        if not 0 <= request.page_size <= self._page_size_max:
            raise InvalidInput(
                "page_size",
                f"is {request.page_size}",
                f"send 0 to {self._page_size_max} (server.page_size_max)",
            )
        if request.page_token and not request.page_token.isdigit():
            raise InvalidInput(
                "page_token", f"{request.page_token!r} is none", "send the one of the page before"
            )
        start = int(request.page_token or 0)
        size = request.page_size or min(100, self._page_size_max)
        versions = [
            version
            for version in reversed(self._registry.refresh().versions.values())
            if request.model in ("", version.model)
        ]
        page = versions[start : start + size]
        more = start + size < len(versions)
        return models_pb2.ListVersionsResponse(
            versions=[_to_wire(version) for version in page],
            next_page_token=str(start + size) if more else "",
        )

    async def get_version(self, request: models_pb2.GetVersionRequest) -> models_pb2.GetVersionResponse:
        """Return a version with its manifest and verdicts."""
        version = self._registry.refresh().version(request.version)
        return models_pb2.GetVersionResponse(
            version=_to_wire(version),
            manifest_json=json.dumps(version.manifest, sort_keys=True),
            verdicts_json=[json.dumps(verdict.report, sort_keys=True) for verdict in version.verdicts],
        )

    async def trigger_retrain(
        self, request: models_pb2.TriggerRetrainRequest
    ) -> models_pb2.TriggerRetrainResponse:
        """Put a retrain on the ledger, cut at the log's present head."""
        if request.model:
            self._check_model(request.model)
        if not request.actor or not request.reason:
            field = "reason" if request.actor else "actor"
            raise InvalidInput(field, "is empty", "say who asks for the retrain, and why; both are kept")
        body = {
            "model": request.model,
            "cut_position": self._scorer.log.head(),
            "cut_time_us": self._scorer.now_us(),
            "trigger": "by hand",
        }
        entry = self._registry.store.append(
            "RetrainRequested",
            body,
            actor=request.actor,
            reason=request.reason,
            time_us=self._scorer.now_us(),
        )
        return models_pb2.TriggerRetrainResponse(request_seq=entry.seq)

    async def get_retrain(self, request: models_pb2.GetRetrainRequest) -> models_pb2.GetRetrainResponse:
        """Return what became of a retrain, and whether its promotions serve."""
        request_state = self._registry.refresh().request(request.request_seq)
        last = await self._queries.applied()
        handled: dict[str, int] = {}
        for entry in last:
            if isinstance(entry.event, Applied):
                handled[entry.event.model] = entry.event.ledger_seq
        state = self._registry.state
        applied = all(
            (reign := state.reign(model)) is None or handled.get(model, 0) >= reign.seq
            for model in self._models
        )
        return models_pb2.GetRetrainResponse(
            state=models_pb2.GetRetrainResponse.State.Value(request_state.state),
            text=request_state.error or request_state.reason,
            verdicts=[
                models_pb2.CycleVerdict(
                    model=verdict["model"],
                    version=verdict["version"],
                    verdict=verdict["verdict"],
                    reason=verdict["reason"],
                )
                for verdict in request_state.verdicts
            ],
            applied=applied,
        )

    def _check_model(self, model: str) -> None:
        if model not in self._models:
            raise InvalidInput(
                "model", f"{model!r} is not hosted here", f"send one of: {', '.join(self._models)}"
            )


def _applied_at(entries: list[Entry], model: str, at_us: int) -> Entry | None:
    """Return the last entry that put something in service for a model by then."""
    found = None
    for entry in entries:
        event = entry.event
        if isinstance(event, Applied) and event.model == model and not event.refused:
            if entry.arrival_time_us > at_us:
                break
            found = entry
    return found


def _to_wire(version: VersionState) -> models_pb2.Version:
    return models_pb2.Version(
        version=version.version,
        model=version.model,
        recipe=version.recipe,
        digest=version.digest,
        parent=version.parent,
        created_us=version.created_us,
        status=version.status,
        verdict=version.verdict,
    )
