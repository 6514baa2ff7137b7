"""What scores and takes in: transactions, outcomes of payments, labels; from wire, call, to wire."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import grpc

from fraud.errors import FraudError, InvalidInput, LimitExceeded
from fraud.labels.exclusions import Exclusion
from fraud.registry.exclusions import touched_by
from fraud.registry.view import Registry
from fraud.serving.bands import seen
from fraud.serving.batcher import Answer, Batcher
from fraud.serving.convert import decision_to_wire, label_from_wire, report_from_wire, row_error
from fraud.serving.edge import Check, Edge
from fraud.serving.feedback import Feedback, Retraction, Taken
from fraud.serving.intake import TransactionIntake
from fraud.serving.queries import Queries
from fraud.serving.roles import READERS, calling, rule
from fraud.serving.scorer import Scorer
from fraud.settings.server import Server
from fraud.v1 import labels_pb2, scoring_pb2

SCORING = "fraud.v1.ScoringService"
LABELS = "fraud.v1.LabelService"
SCORING_ACCESS = {
    "Score": rule("scorer", rows="transaction"),
    "ScoreBatch": rule("scorer", rows="transactions"),
    "GetDecision": rule("scorer", "analyst", "operator", "auditor"),
    "ListDecisions": READERS,
    "ReportOutcomes": rule("scorer", rows="reports"),
}
LABELS_ACCESS = {
    "SubmitLabels": rule("analyst", rows="labels"),
    "ListBatches": READERS,
    "RetractBatch": rule("analyst", "operator"),
}


def check_model(model: str, models: Collection[str]) -> None:
    """Refuse a model that is not hosted.

    Raises:
        InvalidInput: it is none of `models`.
    """
    if model not in models:
        raise InvalidInput("model", f"{model!r} is not hosted here", f"send one of: {', '.join(models)}")


class ScoringServicer:
    """The methods of `fraud.v1.ScoringService` that score and take in."""

    def __init__(
        self,
        limits: Server,
        intake: TransactionIntake,
        scorer: Scorer,
        batcher: Batcher,
        feedback: Feedback,
    ) -> None:
        self._limits = limits
        self._intake = intake
        self._scorer = scorer
        self._batcher = batcher
        self._feedback = feedback

    def handlers(self, edge: Edge) -> grpc.GenericRpcHandler:
        """Return the service's methods, wrapped by the edge."""
        methods: dict[str, tuple[Any, Callable[[Any], Awaitable[Any]]]] = {
            "Score": (scoring_pb2.ScoreRequest, self.score),
            "ScoreBatch": (scoring_pb2.ScoreBatchRequest, self.score_batch),
            "ReportOutcomes": (scoring_pb2.ReportOutcomesRequest, self.report_outcomes),
        }
        return handler(
            edge,
            SCORING,
            methods,
            checked=("Score", "ScoreBatch"),
            apart=("ReportOutcomes",),
            check=self._batcher.check,
        )

    async def score(self, request: scoring_pb2.ScoreRequest) -> scoring_pb2.ScoreResponse:
        """Score one transaction."""
        transaction = self._intake.read(request.transaction, self._scorer.now_for_intake())
        answers = await self._batcher.score((transaction,), with_reasons=request.with_reasons)
        answer = answers[0]
        if isinstance(answer, FraudError):
            raise answer
        return scoring_pb2.ScoreResponse(decision=seen(_to_wire(answer), self._limits.bands))

    async def score_batch(self, request: scoring_pb2.ScoreBatchRequest) -> scoring_pb2.ScoreBatchResponse:
        """Score transactions in order; a bad row gets its error, the others are scored."""
        check_rows(
            "transactions", len(request.transactions), self._limits.batch_rows_max, "server.batch_rows_max"
        )
        now_us = self._scorer.now_for_intake()
        results: list[Answer | FraudError | None] = []
        good = []
        for wire in request.transactions:
            try:
                good.append(self._intake.read(wire, now_us))
                results.append(None)
            except InvalidInput as error:
                results.append(error)
        answers = iter(
            await self._batcher.score(tuple(good), with_reasons=request.with_reasons) if good else ()
        )
        return scoring_pb2.ScoreBatchResponse(
            results=[self._result(next(answers) if result is None else result) for result in results]
        )

    async def report_outcomes(
        self, request: scoring_pb2.ReportOutcomesRequest
    ) -> scoring_pb2.ReportOutcomesResponse:
        """Log what became of payments."""
        check_rows("reports", len(request.reports), self._limits.batch_rows_max, "server.batch_rows_max")
        reports = [report_from_wire(report) for report in request.reports]
        taken: Taken = await self._batcher.feed(lambda: self._feedback.take_outcomes(reports), len(reports))
        return scoring_pb2.ReportOutcomesResponse(
            accepted=taken.accepted, waiting=taken.waiting, refused=_refused(taken)
        )

    def _result(self, answer: Answer | FraudError) -> scoring_pb2.ScoreResult:
        if isinstance(answer, FraudError):
            return scoring_pb2.ScoreResult(error=row_error(answer))
        return scoring_pb2.ScoreResult(decision=seen(_to_wire(answer), self._limits.bands))


class LabelServicer:
    """The methods of `fraud.v1.LabelService` that take in and take back."""

    def __init__(
        self, limits: Server, registry: Registry, batcher: Batcher, feedback: Feedback, queries: Queries
    ) -> None:
        self._limits = limits
        self._registry = registry
        self._batcher = batcher
        self._feedback = feedback
        self._queries = queries
        self._two_exclude = "ExcludeData" in limits.two_person.methods

    def handlers(self, edge: Edge) -> grpc.GenericRpcHandler:
        """Return the service's methods, wrapped by the edge."""
        methods: dict[str, tuple[Any, Callable[[Any], Awaitable[Any]]]] = {
            "SubmitLabels": (labels_pb2.SubmitLabelsRequest, self.submit_labels),
            "RetractBatch": (labels_pb2.RetractBatchRequest, self.retract_batch),
        }
        return handler(edge, LABELS, methods, apart=("SubmitLabels",))

    async def submit_labels(self, request: labels_pb2.SubmitLabelsRequest) -> labels_pb2.SubmitLabelsResponse:
        """Take one part of a label batch."""
        check_rows("labels", len(request.labels), self._limits.label_rows_max, "server.label_rows_max")
        self._feedback.check_source(request.source, calling())
        labels = [label_from_wire(label) for label in request.labels]
        taken: Taken = await self._batcher.feed(
            lambda: self._feedback.take_labels(
                request.batch_id, request.part, request.source, request.submitter, labels
            ),
            len(labels),
        )
        return labels_pb2.SubmitLabelsResponse(
            accepted=taken.accepted,
            waiting=taken.waiting,
            refused=_refused(taken),
            repeated=taken.repeated,
            digest=taken.digest,
        )

    async def retract_batch(self, request: labels_pb2.RetractBatchRequest) -> labels_pb2.RetractBatchResponse:
        """Take a label batch back, and say which versions learned from it."""
        # Who calls is known here, whose batch it is on the scoring thread, where no part comes in between.
        caller = calling()
        # Who takes away what others handed in excludes it: where that takes two, nobody does it here alone.
        own_only = caller is not None and ("operator" not in caller.roles or self._two_exclude)
        done: Retraction = await self._batcher.feed(
            lambda: self._feedback.retract_batch(
                request.batch_id, request.submitter, request.reason, own_only=own_only
            ),
            1,
        )
        data = Exclusion("labels", batch_id=request.batch_id)
        state = await asyncio.to_thread(self._registry.refresh)
        touched = await self._queries.survey(touched_by, state, data, done.parts[0].position)
        return labels_pb2.RetractBatchResponse(
            labels=done.labels,
            repeated=done.repeated,
            versions=[version for version in list(state.versions) if version in touched],
        )


def handler(
    edge: Edge,
    service: str,
    methods: dict[str, tuple[Any, Callable[[Any], Awaitable[Any]]]],
    *,
    checked: Collection[str] = (),
    apart: Collection[str] = (),
    check: Check | None = None,
) -> grpc.GenericRpcHandler:
    """Return a service's generic handler: method name to wrapped call.

    `check` is asked before a call of the methods `checked` is decoded; calls of the
    methods `apart` wait at the door apart from all others.
    """
    wrapped = {
        name: edge.method(service, name, request, call, check if name in checked else None)
        for name, (request, call) in methods.items()
    }
    if apart:
        edge.apart[service] = {name: wrapped[name] for name in apart}
    return grpc.method_handlers_generic_handler(service, wrapped)


def check_rows(field: str, rows: int, rows_max: int, setting: str) -> None:
    """Refuse a batch whole when it has more rows than the setting allows.

    Raises:
        LimitExceeded: more than `rows_max` rows, or none.
    """
    if rows == 0:
        raise LimitExceeded(field, "is empty", "send at least one row")
    if rows > rows_max:
        raise LimitExceeded(field, f"has {rows} rows", f"send at most {rows_max} a call ({setting})")


def _to_wire(answer: Answer) -> scoring_pb2.Decision:
    return decision_to_wire(answer.scored, answer.arrival_time_us, answer.reasons)


def _refused(taken: Taken) -> list[scoring_pb2.RefusedRow]:
    return [
        scoring_pb2.RefusedRow(
            index=row.index, transaction_id=row.transaction_id, field=row.field, reason=row.reason
        )
        for row in taken.refused
    ]
