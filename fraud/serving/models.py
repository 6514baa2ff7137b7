"""`fraud.v1.ModelService`: which version serves and served, its evidence, retrains on request."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import grpc

from fraud.errors import InvalidInput
from fraud.eventlog.log import EventLog
from fraud.guard.finding import check_names
from fraud.labels.batches import COMMENT_LENGTH_MAX, ID_LENGTH_MAX
from fraud.records import Entry
from fraud.registry.approval import awaits_approval
from fraud.registry.ledger import RegistryState
from fraud.registry.probation import probation_of
from fraud.registry.version import VersionState
from fraud.registry.view import Registry
from fraud.serving.edge import Edge
from fraud.serving.paging import position_of, size_of
from fraud.serving.queries import Queries
from fraud.serving.roles import READERS, rule
from fraud.serving.service_record import applied_of
from fraud.serving.servicers import check_model, handler
from fraud.serving.shadows import InShadow
from fraud.settings import Settings
from fraud.v1 import models_pb2

MODELS = "fraud.v1.ModelService"
_OPERATOR = rule("operator")
MODELS_ACCESS = {
    "GetChampion": READERS,
    "ListVersions": READERS,
    "GetVersion": READERS,
    "GetRetrain": READERS,
    "GetHistory": READERS,
    "GetLineage": READERS,
    "ListExclusions": READERS,
    "TriggerRetrain": _OPERATOR,
    "Promote": _OPERATOR,
    "Rollback": _OPERATOR,
    "ExcludeData": _OPERATOR,
    "UndoExclusion": _OPERATOR,
    "EraseEntity": _OPERATOR,
}
"""The methods of the service, those of its other servicers included."""


class InShadows(Protocol):
    """Who scores in shadow."""

    def of(self, model: str) -> Sequence[InShadow]:
        """Return what is in shadow for a model."""
        ...


class Present(Protocol):
    """What is so now: a scorer knows, or a folder at rest (`fraud.serving.at_rest`)."""

    @property
    def log(self) -> EventLog:
        """The event log."""
        ...

    @property
    def shadows(self) -> InShadows:
        """Who scores in shadow."""
        ...

    def now_us(self) -> int:
        """Return now by the clock of the service, µs UTC."""
        ...


class ModelServicer:
    """Answers from the ledger (what is intended) and the event log (what was applied)."""

    def __init__(self, settings: Settings, registry: Registry, queries: Queries, scorer: Present) -> None:
        self._models = tuple(settings.models)
        self._page_size_max = settings.server.page_size_max
        self._by_approval = settings.gate.mode == "approval"
        self._registry = registry
        self._queries = queries
        self._scorer = scorer

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
        check_model(request.model, self._models)
        state = await asyncio.to_thread(self._registry.refresh)
        at_us = request.at_us or self._scorer.now_us()
        entry = await self._queries.served_at(request.model, at_us)
        intended = state.champion_at(request.model, at_us)
        reply = models_pb2.GetChampionResponse(model=request.model, intended_version=intended)
        if entry is not None:
            event = applied_of(entry)
            reply.version = event.version
            reply.policy_version = event.policy_version
            reply.since_us = entry.arrival_time_us
            reply.ledger_seq = event.ledger_seq
        return reply

    async def list_versions(self, request: models_pb2.ListVersionsRequest) -> models_pb2.ListVersionsResponse:
        """Return a page of versions, newest first."""
        if request.model:
            check_model(request.model, self._models)
        size = size_of(request.page_size, self._page_size_max)
        start = position_of(request.page_token)
        state = await asyncio.to_thread(self._registry.refresh)
        versions = [
            version
            for version in reversed(list(state.versions.values()))
            if request.model in ("", version.model)
        ]
        page = versions[start : start + size]
        more = start + size < len(versions)
        return models_pb2.ListVersionsResponse(
            versions=[self._to_wire(state, version) for version in page],
            next_page_token=str(start + size) if more else "",
        )

    async def get_version(self, request: models_pb2.GetVersionRequest) -> models_pb2.GetVersionResponse:
        """Return a version with its manifest and verdicts."""
        state = await asyncio.to_thread(self._registry.refresh)
        version = state.version(request.version)
        manifest, *verdicts = await self._queries.survey(_documents, version)
        return models_pb2.GetVersionResponse(
            version=self._to_wire(state, version), manifest_json=manifest, verdicts_json=verdicts
        )

    def _to_wire(self, state: RegistryState, version: VersionState) -> models_pb2.Version:
        on = probation_of(state, version.model)
        until_us = on.until_us if on is not None and on.version == version.version else 0
        held = [it for it in state.probations.get(version.model, ()) if it.version == version.version]
        return models_pb2.Version(
            version=version.version,
            model=version.model,
            recipe=version.recipe,
            digest=version.digest,
            parent=version.parent,
            created_us=version.created_us,
            status=version.status,
            verdict=version.verdict,
            tainted_by=state.tainted_by(version.version),
            awaiting_approval=self._by_approval and awaits_approval(state, version),
            shadow=self._shadow(version),
            probation_until_us=until_us,
            probation=held[-1].result if held else "",
        )

    def _shadow(self, version: VersionState) -> str:
        held = self._scorer.shadows.of(version.model)
        return next((it.slot for it in held if it.champion.version == version.version), "")

    async def trigger_retrain(
        self, request: models_pb2.TriggerRetrainRequest
    ) -> models_pb2.TriggerRetrainResponse:
        """Put a retrain on the ledger, cut at the log's present head."""
        if request.model:
            check_model(request.model, self._models)
        check_signed(request.actor, request.reason, "the retrain")
        check_names(request.guard_overrides)
        body: dict[str, Any] = {
            "model": request.model,
            "cut_position": self._scorer.log.head(),
            "cut_time_us": self._scorer.now_us(),
            "trigger": "by hand",
        }
        if request.guard_overrides:
            body["guard_overrides"] = list(request.guard_overrides)
        entry = await asyncio.to_thread(
            self._registry.store.append,
            "RetrainRequested",
            body,
            actor=request.actor,
            reason=request.reason,
            time_us=self._scorer.now_us(),
        )
        return models_pb2.TriggerRetrainResponse(request_seq=entry.seq)

    async def get_retrain(self, request: models_pb2.GetRetrainRequest) -> models_pb2.GetRetrainResponse:
        """Return what became of a retrain, and whether its promotions serve."""
        state = await asyncio.to_thread(self._registry.refresh)
        request_state = state.request(request.request_seq)
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
            applied=promotions_serve(self._registry.state, await self._queries.last_applied(), self._models),
        )


def check_signed(actor: str, reason: str, what: str) -> None:
    """Refuse what goes on the record without saying who wants it, and why.

    Raises:
        InvalidInput: actor or reason is empty or too long.
    """
    given = (("actor", actor, ID_LENGTH_MAX), ("reason", reason, COMMENT_LENGTH_MAX))
    for field, text, length_max in given:
        if not text.strip():
            raise InvalidInput(field, "is empty", f"say who asks for {what}, and why; both are kept")
        if len(text) > length_max:
            raise InvalidInput(field, f"has {len(text)} characters", f"send 1 to {length_max}")


def _documents(version: VersionState) -> list[str]:
    """Spell a version's manifest, then the report of each verdict; long where many batches taught it."""
    return [
        json.dumps(each, sort_keys=True)
        for each in (version.manifest, *(verdict.report for verdict in version.verdicts))
    ]


def promotions_serve(state: RegistryState, last_applied: Mapping[str, Entry], models: Iterable[str]) -> bool:
    """Tell whether the scorer has put into effect, or refused, what the ledger intends for every model."""
    for model in models:
        reign, last = state.reign(model), last_applied.get(model)
        if reign is not None and (last is None or applied_of(last).ledger_seq < reign.seq):
            return False
    return True
