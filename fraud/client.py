"""The Python client: a deadline, retries that are safe, an answer when there is none.

    client = Client("127.0.0.1:50051", deadline_s=0.2, on_failure="APPROVE")
    decision = client.score(transaction)

A retry sends the same transaction id, so the service scores it once however
often it arrives. When no answer comes within the deadline, `on_failure` decides:
an outcome makes a local decision marked `NO_ANSWER` (fail open with APPROVE,
fail closed with DECLINE or REVIEW); None raises.
"""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self, cast

import grpc
from google.protobuf.message import Message

from fraud import errors
from fraud.errors import FraudError, InvalidInput, Overloaded, Unavailable
from fraud.records import Label, OutcomeReport
from fraud.v1 import labels_pb2, models_pb2, scoring_pb2
from fraud.v1.transaction_pb2 import Transaction

OutcomeName = Literal["APPROVE", "CHALLENGE", "REVIEW", "DECLINE"]
_RETRIED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
_PAUSE_FIRST_S = 0.01
REQUEST_ID = "x-request-id"
"""Metadata under which a call and its retries stand in the server's log."""

_BY_CODE: dict[str, type[FraudError]] = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, FraudError) and kind is not FraudError
}


class Client:
    """One connection to a service; may be shared by threads. Close it, or use `with`."""

    def __init__(
        self,
        target: str,
        *,
        deadline_s: float = 1.0,
        retries: int = 3,
        on_failure: OutcomeName | None = None,
        message_bytes_max: int = 64 * 2**20,
    ) -> None:
        """Connect to `target` (host:port); `deadline_s` covers a call with its retries."""
        self._channel = grpc.insecure_channel(
            target,
            options=[
                ("grpc.max_receive_message_length", message_bytes_max),
                ("grpc.max_send_message_length", message_bytes_max),
                ("grpc.enable_retries", 0),
            ],
        )
        self._target = target
        self._deadline_s = deadline_s
        self._retries = retries
        self._on_failure = on_failure
        self._calls: dict[str, Callable[..., Any]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Wait until the service says it is serving.

        Raises:
            Unavailable: it does not within `timeout_s`.
        """
        from grpc_health.v1 import health_pb2

        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            try:
                grpc.channel_ready_future(self._channel).result(timeout=max(0.01, end - time.monotonic()))
                reply = self._raw("grpc.health.v1.Health/Check", health_pb2.HealthCheckResponse)(
                    health_pb2.HealthCheckRequest(), timeout=max(0.01, end - time.monotonic())
                )
                if reply.status == health_pb2.HealthCheckResponse.SERVING:
                    return
            except (grpc.RpcError, grpc.FutureTimeoutError):
                pass
            time.sleep(0.02)
        raise Unavailable(f"{self._target} is not serving after {timeout_s:g} s; see 'fraud doctor'")

    def score(
        self, transaction: Transaction | Mapping[str, Any], *, with_reasons: bool = False
    ) -> scoring_pb2.Decision:
        """Return the decision on one transaction, a message or a mapping of its fields.

        Raises:
            InvalidInput: a field is wrong; the message names it.
            Unavailable: no answer within the deadline, and no `on_failure` is set.
        """
        message = to_message(transaction)
        request = scoring_pb2.ScoreRequest(transaction=message, with_reasons=with_reasons)
        try:
            reply: scoring_pb2.ScoreResponse = self._call(
                "ScoringService/Score", request, scoring_pb2.ScoreResponse
            )
        except (Unavailable, Overloaded):
            if self._on_failure is None:
                raise
            return scoring_pb2.Decision(
                transaction_id=message.transaction_id,
                outcome=scoring_pb2.Outcome.Value(self._on_failure),
                propensity=1.0,
                limits=["NO_ANSWER"],
                model=message.model,
            )
        return reply.decision

    def score_batch(
        self, transactions: Sequence[Transaction | Mapping[str, Any]], *, with_reasons: bool = False
    ) -> list[scoring_pb2.ScoreResult]:
        """Return a decision or an error for each transaction, in order."""
        request = scoring_pb2.ScoreBatchRequest(
            transactions=[to_message(transaction) for transaction in transactions], with_reasons=with_reasons
        )
        reply = self._call("ScoringService/ScoreBatch", request, scoring_pb2.ScoreBatchResponse)
        return list(reply.results)

    def get_decision(self, transaction_id: str) -> scoring_pb2.Decision:
        """Return a stored decision with its reasons.

        Raises:
            NotFound: no such transaction.
        """
        request = scoring_pb2.GetDecisionRequest(transaction_id=transaction_id)
        reply: scoring_pb2.GetDecisionResponse = self._call(
            "ScoringService/GetDecision", request, scoring_pb2.GetDecisionResponse
        )
        return reply.decision

    def list_decisions(
        self,
        outcomes: Sequence[OutcomeName] = (),
        since_us: int = 0,
        *,
        model: str = "",
        page_token: str = "",
        page_size: int = 0,
    ) -> scoring_pb2.ListDecisionsResponse:
        """Return a page of decisions by outcome since a moment, oldest first."""
        request = scoring_pb2.ListDecisionsRequest(
            outcomes=[scoring_pb2.Outcome.Value(outcome) for outcome in outcomes],
            since_us=since_us,
            model=model,
            page_token=page_token,
            page_size=page_size,
        )
        reply: scoring_pb2.ListDecisionsResponse = self._call(
            "ScoringService/ListDecisions", request, scoring_pb2.ListDecisionsResponse
        )
        return reply

    def report_outcomes(self, reports: Sequence[OutcomeReport]) -> scoring_pb2.ReportOutcomesResponse:
        """Report what became of payments."""
        request = scoring_pb2.ReportOutcomesRequest(
            reports=[
                scoring_pb2.OutcomeReport(
                    transaction_id=report.transaction_id,
                    outcome=cast("scoring_pb2.PaymentOutcome.ValueType", report.outcome.value),
                    outcome_time_us=report.outcome_time_us,
                )
                for report in reports
            ]
        )
        reply: scoring_pb2.ReportOutcomesResponse = self._call(
            "ScoringService/ReportOutcomes", request, scoring_pb2.ReportOutcomesResponse
        )
        return reply

    def submit_labels(
        self, batch_id: str, part: int, source: str, submitter: str, labels: Sequence[Label]
    ) -> labels_pb2.SubmitLabelsResponse:
        """Hand in one part of a label batch; may be repeated safely."""
        request = labels_pb2.SubmitLabelsRequest(
            batch_id=batch_id,
            part=part,
            source=source,
            submitter=submitter,
            labels=[
                labels_pb2.Label(
                    transaction_id=label.transaction_id,
                    value=cast("labels_pb2.LabelValue.ValueType", label.value.value),
                    label_time_us=label.label_time_us,
                    comment=label.comment,
                )
                for label in labels
            ],
        )
        reply: labels_pb2.SubmitLabelsResponse = self._call(
            "LabelService/SubmitLabels", request, labels_pb2.SubmitLabelsResponse
        )
        return reply

    def list_batches(
        self, since_us: int = 0, source: str = "", *, page_token: str = "", page_size: int = 0
    ) -> labels_pb2.ListBatchesResponse:
        """Return a page of label batches, oldest first."""
        request = labels_pb2.ListBatchesRequest(
            since_us=since_us, source=source, page_token=page_token, page_size=page_size
        )
        reply: labels_pb2.ListBatchesResponse = self._call(
            "LabelService/ListBatches", request, labels_pb2.ListBatchesResponse
        )
        return reply

    def get_champion(self, model: str, at_us: int = 0) -> models_pb2.GetChampionResponse:
        """Return which version serves a model, or served it at a moment."""
        request = models_pb2.GetChampionRequest(model=model, at_us=at_us)
        reply: models_pb2.GetChampionResponse = self._call(
            "ModelService/GetChampion", request, models_pb2.GetChampionResponse
        )
        return reply

    def list_versions(
        self, model: str = "", *, page_token: str = "", page_size: int = 0
    ) -> models_pb2.ListVersionsResponse:
        """Return a page of versions, newest first."""
        request = models_pb2.ListVersionsRequest(model=model, page_token=page_token, page_size=page_size)
        reply: models_pb2.ListVersionsResponse = self._call(
            "ModelService/ListVersions", request, models_pb2.ListVersionsResponse
        )
        return reply

    def get_version(self, version: str) -> models_pb2.GetVersionResponse:
        """Return a version with its manifest and verdicts."""
        request = models_pb2.GetVersionRequest(version=version)
        reply: models_pb2.GetVersionResponse = self._call(
            "ModelService/GetVersion", request, models_pb2.GetVersionResponse
        )
        return reply

    def trigger_retrain(self, model: str, reason: str, actor: str) -> int:
        """Ask for a retrain ("" for every model); return the request's ledger number."""
        request = models_pb2.TriggerRetrainRequest(model=model, reason=reason, actor=actor)
        reply: models_pb2.TriggerRetrainResponse = self._call(
            "ModelService/TriggerRetrain", request, models_pb2.TriggerRetrainResponse
        )
        return reply.request_seq

    def get_retrain(self, request_seq: int) -> models_pb2.GetRetrainResponse:
        """Return what became of a retrain."""
        request = models_pb2.GetRetrainRequest(request_seq=request_seq)
        reply: models_pb2.GetRetrainResponse = self._call(
            "ModelService/GetRetrain", request, models_pb2.GetRetrainResponse
        )
        return reply

    def _call(self, method: str, request: Message, reply: type[Message]) -> Any:
        call = self._raw(f"fraud.v1.{method}", reply)
        end = time.monotonic() + self._deadline_s
        pause_s = _PAUSE_FIRST_S
        request_id = ((REQUEST_ID, uuid.uuid4().hex),)
        for attempt in range(self._retries + 1):
            left_s = end - time.monotonic()
            try:
                return call(request, timeout=max(left_s, 0.001), metadata=request_id)
            except grpc.RpcError as error:
                worth_it = error.code() in _RETRIED and attempt < self._retries
                if not worth_it or end - time.monotonic() <= pause_s:
                    raise _error(error, self._target) from None
            time.sleep(pause_s)
            pause_s *= 2
        raise AssertionError("the loop returns or raises")

    def _raw(self, path: str, reply: type[Message]) -> Callable[..., Any]:
        call = self._calls.get(path)
        if call is None:
            call = self._calls[path] = self._channel.unary_unary(
                f"/{path}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=reply.FromString,
            )
        return call


def to_message(transaction: Transaction | Mapping[str, Any]) -> Transaction:
    """Return the wire message of a transaction given as one or as a mapping of its fields.

    Raises:
        InvalidInput: a field has a wrong name or type.
    """
    if isinstance(transaction, Transaction):
        return transaction
    try:
        return Transaction(**transaction)
    except (TypeError, ValueError) as error:
        raise InvalidInput("transaction", str(error), "see proto/fraud/v1/transaction.proto") from None


def _error(error: Any, target: str) -> FraudError:
    """Return our error for a failed call: its class by the code at the end of the message."""
    status, details = error.code(), error.details() or ""
    text, _, code = details.removesuffix("]").rpartition(" [")
    kind = _BY_CODE.get(code)
    if kind is None:
        if status is grpc.StatusCode.RESOURCE_EXHAUSTED:
            return Overloaded(f"{target}: {details}")
        return Unavailable(f"{target}: {status.name}: {details}")
    if issubclass(kind, InvalidInput):
        field, _, rest = text.partition(": ")
        problem, _, remedy = rest.partition("; ")
        return kind(field, problem, remedy)
    return kind(text)
