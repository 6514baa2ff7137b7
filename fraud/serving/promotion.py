"""Promotes a version in the name of a person: `Promote` of `fraud.v1.ModelService`.

request ─► does the gate stand behind it now? no → refused, or passed over by an override
        ─► two-person rule: asked for by another? no → asked for, and nothing more
        ─► bundle read, self-test → one ledger entry, compare-and-swap → the follower applies it at once
        ─► challengers that are no newer wait no longer
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc

from fraud.errors import InvalidInput, NotAllowedNow, StaleHead
from fraud.registry.approval import unapproved
from fraud.registry.exclusions import check_clean, check_expected
from fraud.registry.ledger import RegistryState
from fraud.registry.upkeep import check_kept
from fraud.registry.version import VersionState
from fraud.registry.view import Registry
from fraud.serving.batcher import Batcher
from fraud.serving.champions import Champion
from fraud.serving.edge import Edge
from fraud.serving.follower import ChampionLoader, LedgerFollower
from fraud.serving.models import MODELS, check_signed
from fraud.serving.scorer import Scorer
from fraud.serving.second_person import SecondPerson
from fraud.serving.servicers import handler
from fraud.settings import Settings
from fraud.v1 import models_pb2

_LOOKS_MAX: Final = 10
"""How often the ledger may grow between looking and writing before we give up."""


class PromotionServicer:
    """The method by which a person promotes."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        scorer: Scorer,
        batcher: Batcher,
        loader: ChampionLoader,
        follower: LedgerFollower,
        second: SecondPerson,
    ) -> None:
        self._models = tuple(settings.models)
        self._probation_us = settings.probation_us
        self._registry = registry
        self._scorer = scorer
        self._batcher = batcher
        self._loader = loader
        self._follower = follower
        self._second = second

    def handlers(self, edge: Edge) -> grpc.GenericRpcHandler:
        """Return the method, wrapped by the edge."""
        methods: dict[str, tuple[Any, Callable[[Any], Awaitable[Any]]]] = {
            "Promote": (models_pb2.PromoteRequest, self.promote),
        }
        return handler(edge, MODELS, methods)

    async def promote(self, request: models_pb2.PromoteRequest) -> models_pb2.PromoteResponse:
        """Make a version the champion: on return it serves, or the log says why not, or it was asked for."""
        started = time.perf_counter()
        check_signed(request.actor, request.reason, "the promotion")
        reply = await asyncio.to_thread(self._promote, request)
        if reply.asked_seq:
            return reply
        await self._follower.poll(self._batcher)
        reply.applied = self._follower.serving(reply.model) == reply.to_version
        if reply.applied:
            reply.superseded.extend(await asyncio.to_thread(self._supersede, request))
        reply.seconds = time.perf_counter() - started
        return reply

    def _promote(self, request: models_pb2.PromoteRequest) -> models_pb2.PromoteResponse:
        """Look, decide and write; once more when somebody wrote in between."""
        champion: Champion | None = None
        for _ in range(_LOOKS_MAX):
            state = self._registry.refresh()
            # The registry's state goes on growing under our eyes; this is the entry we decided at.
            seq = state.seq
            version, passed_over = self._choose(state, request)
            champion = champion or self._loader.load(version.version)
            expected = state.champion(version.model)
            what = {"version": version.version, "expected": expected, "override": passed_over}
            permit = self._second.permit("Promote", what, actor=request.actor, reason=request.reason)
            reply = models_pb2.PromoteResponse(
                model=version.model,
                from_version=expected,
                to_version=version.version,
                policy_version=champion.policy_version,
                overridden=passed_over,
            )
            if permit.waiting is not None:
                reply.asked_seq, reply.asked_until_us = permit.waiting.seq, permit.waiting.until_us
                return reply
            body: dict[str, Any] = {
                "model": version.model,
                "version": version.version,
                "expected": expected,
                "probation_us": self._probation_us,
                **permit.body,
            }
            if passed_over:
                body |= {"override": True, "overridden": passed_over}
            else:
                body["verdict"] = version.verdicts[-1].seq
            try:
                reply.ledger_seq = self._append("Promoted", body, request, request.reason, expected_head=seq)
            except StaleHead:
                continue
            return reply
        raise StaleHead(f"{request.version} was not promoted: the ledger is busy; ask again")

    def _choose(self, state: RegistryState, request: models_pb2.PromoteRequest) -> tuple[VersionState, str]:
        """Return the version, and what an override passes over ("" for nothing)."""
        version = state.version(request.version)
        if version.model not in self._models:
            raise InvalidInput(
                "version",
                f"{version.version} is of model {version.model!r}, which is not hosted here",
                f"name one of: {', '.join(self._models)}",
            )
        if version.status == "champion":
            raise NotAllowedNow(f"{version.version} is the champion of {version.model!r} already")
        if request.instead_of:
            check_expected(state, version.model, version.version, request.instead_of)
        check_clean(state, version.version)
        check_kept(state, version.version)
        missing = unapproved(state, version)
        if missing and not request.override:
            back = "; 'fraud rollback --to' puts it back" if version.status == "former champion" else ""
            raise NotAllowedNow(
                f"{missing}, so the gate does not stand behind it{back}; see 'fraud show {version.version}', "
                "or promote it with --override, which is kept on the record"
            )
        return version, missing

    def _supersede(self, request: models_pb2.PromoteRequest) -> list[str]:
        """Drop the challengers that are no newer than the promoted version; return them."""
        state = self._registry.refresh()
        promoted = state.version(request.version)
        dropped = []
        for each in state.pending(promoted.model):
            if each.cut_time_us > promoted.cut_time_us:
                continue
            why = f"superseded by {promoted.version}"
            try:
                self._append("VersionDropped", {"version": each.version, "why": why}, request, why)
            except NotAllowedNow:
                continue  # it is no challenger any more; somebody was first
            dropped.append(each.version)
        return dropped

    def _append(
        self,
        kind: str,
        body: dict[str, Any],
        request: models_pb2.PromoteRequest,
        reason: str,
        expected_head: int | None = None,
    ) -> int:
        entry = self._registry.store.append(
            kind,
            body,
            actor=request.actor,
            reason=reason,
            time_us=self._scorer.now_us(),
            expected_head=expected_head,
        )
        return entry.seq
