"""`fraud.v1.ScoringService` as Python calls."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

from fraud.client.connection import Connection
from fraud.errors import InvalidInput, Overloaded, Unauthenticated, Unavailable
from fraud.records import OutcomeReport
from fraud.v1 import scoring_pb2
from fraud.v1.transaction_pb2 import Transaction

OutcomeName = Literal["APPROVE", "CHALLENGE", "REVIEW", "DECLINE"]


class ScoringCalls(Connection):
    """The methods of `ScoringService`."""

    _on_failure: OutcomeName | None

    def score(
        self, transaction: Transaction | Mapping[str, Any], *, with_reasons: bool = False
    ) -> scoring_pb2.Decision:
        """Return the decision on one transaction, a message or a mapping of its fields.

        Raises:
            InvalidInput: a field is wrong; the message names it.
            Unavailable, Overloaded, Unauthenticated: no answer within the deadline, none to be had now, or
                the token has ended; and no `on_failure` is set.
        """
        message = to_message(transaction)
        request = scoring_pb2.ScoreRequest(transaction=message, with_reasons=with_reasons)
        try:
            return self._call("ScoringService/Score", request, scoring_pb2.ScoreResponse).decision
        except (Unavailable, Overloaded, Unauthenticated):
            if self._on_failure is None:
                raise
            return scoring_pb2.Decision(
                transaction_id=message.transaction_id,
                outcome=scoring_pb2.Outcome.Value(self._on_failure),
                propensity=1.0,
                limits=["NO_ANSWER"],
                model=message.model,
            )

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
        return self._call("ScoringService/GetDecision", request, scoring_pb2.GetDecisionResponse).decision

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
        return self._call("ScoringService/ListDecisions", request, scoring_pb2.ListDecisionsResponse)

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
        return self._call("ScoringService/ReportOutcomes", request, scoring_pb2.ReportOutcomesResponse)


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
