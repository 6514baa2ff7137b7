"""GetDecision and ListDecisions: what was decided, why, and what is known of it since.

log, else archive → decision  +  bundle and rules of then → reasons  +  labels of both → what is known
"""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from fraud.errors import InvalidInput
from fraud.records import Outcome, Scored
from fraud.serving.bands import seen
from fraud.serving.convert import entities_to_wire, entry_to_wire, known, label_to_wire
from fraud.serving.edge import Edge
from fraud.serving.queries import Queries
from fraud.serving.reasons import ReasonsDesk
from fraud.serving.roles import READERS, calling
from fraud.serving.servicers import SCORING, check_model, check_rows, handler
from fraud.settings import Settings
from fraud.v1 import scoring_pb2


class DecisionServicer:
    """The methods of `fraud.v1.ScoringService` that look back."""

    def __init__(self, settings: Settings, desk: ReasonsDesk, queries: Queries) -> None:
        self._models = tuple(settings.models)
        self._entities = settings.schema_.entity_names
        self._bands = settings.server.bands
        self._desk = desk
        self._queries = queries

    def handlers(self, edge: Edge) -> grpc.GenericRpcHandler:
        """Return the methods, wrapped by the edge."""
        methods: dict[str, tuple[Any, Callable[[Any], Awaitable[Any]]]] = {
            "GetDecision": (scoring_pb2.GetDecisionRequest, self.get_decision),
            "ListDecisions": (scoring_pb2.ListDecisionsRequest, self.list_decisions),
        }
        return handler(edge, SCORING, methods)

    async def get_decision(self, request: scoring_pb2.GetDecisionRequest) -> scoring_pb2.GetDecisionResponse:
        """Return a stored decision with its reasons."""
        entry = await self._queries.decision(request.transaction_id)
        assert isinstance(entry.event, Scored)
        with self._queries.place():
            reasons = await self._desk.explain_one(entry)
        response = scoring_pb2.GetDecisionResponse(decision=seen(entry_to_wire(entry, reasons), self._bands))
        caller = calling()
        # Who only asks for scores would learn from labels which frauds went unseen.
        if request.with_facts and (caller is None or caller.roles & READERS.roles):
            labels = await self._queries.labels_of(request.transaction_id)
            response.entities.extend(entities_to_wire(entry.event, self._entities))
            response.labels.extend(label_to_wire(each) for each in labels)
        return response

    async def list_decisions(
        self, request: scoring_pb2.ListDecisionsRequest
    ) -> scoring_pb2.ListDecisionsResponse:
        """Return a page of decisions, oldest first."""
        if request.model:
            check_model(request.model, self._models)
        if len(request.outcomes) > len(Outcome):
            check_rows("outcomes", len(request.outcomes), len(Outcome), "none twice")
        outcomes = [_outcome(number) for number in request.outcomes]
        page = await self._queries.decisions(
            outcomes, request.since_us, request.model, request.page_token, request.page_size
        )
        return scoring_pb2.ListDecisionsResponse(
            decisions=[seen(entry_to_wire(entry), self._bands) for entry in page.rows],
            next_page_token=page.next_token,
        )


def _outcome(number: int) -> Outcome:
    outcome = known(Outcome, number)
    if outcome is Outcome.UNSPECIFIED:
        names = ", ".join(each.name for each in Outcome if each)
        raise InvalidInput("outcomes", f"{number} is none", f"send any of: {names}; or none, for all")
    return outcome
