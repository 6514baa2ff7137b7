"""`fraud.v1.ScoringService` as Python calls."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, get_args

from fraud.client.connection import Connection
from fraud.client.fields import chosen, filled, wrong_kind
from fraud.errors import Overloaded, Unauthenticated, Unavailable
from fraud.records import OutcomeReport
from fraud.v1 import scoring_pb2
from fraud.v1.transaction_pb2 import Transaction

OutcomeName = Literal["APPROVE", "CHALLENGE", "REVIEW", "DECLINE"]
OUTCOMES: Final[tuple[str, ...]] = get_args(OutcomeName)


class ScoringCalls(Connection):
    """The methods of `ScoringService`."""

    _on_failure: OutcomeName | None

    def score(
        self, transaction: Transaction | Mapping[str, Any], *, with_reasons: bool = False
    ) -> scoring_pb2.Decision:
        """Return the decision on one transaction, a message or a mapping of its fields.

        Raises:
            InvalidInput: a field is unknown, of the wrong type or refused; the message names it.
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
        """Return a decision or an error for each transaction, in order.

        Raises:
            InvalidInput: a field is unknown or of the wrong type, like `transactions[3].amount_minor`;
                nothing was sent.
        """
        messages = [to_message(it, f"transactions[{place}]") for place, it in enumerate(transactions)]
        request = scoring_pb2.ScoreBatchRequest(transactions=messages, with_reasons=with_reasons)
        reply = self._call("ScoringService/ScoreBatch", request, scoring_pb2.ScoreBatchResponse)
        return list(reply.results)

    def get_decision_with_facts(self, transaction_id: str) -> scoring_pb2.GetDecisionResponse:
        """Return a stored decision, whose payment it was, and the labels known of it.

        Raises:
            NotFound: no such transaction.
        """
        given = {"transaction_id": transaction_id, "with_facts": True}
        request = filled(scoring_pb2.GetDecisionRequest, given)
        return self._call("ScoringService/GetDecision", request, scoring_pb2.GetDecisionResponse)

    def get_decision(self, transaction_id: str) -> scoring_pb2.Decision:
        """Return a stored decision with its reasons.

        Raises:
            NotFound: no such transaction.
        """
        request = filled(scoring_pb2.GetDecisionRequest, {"transaction_id": transaction_id})
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
        for outcome in outcomes:
            chosen("outcomes", outcome, OUTCOMES)
        request = scoring_pb2.ListDecisionsRequest(
            outcomes=[scoring_pb2.Outcome.Value(outcome) for outcome in outcomes],
            since_us=since_us,
            model=model,
            page_token=page_token,
            page_size=page_size,
        )
        return self._call("ScoringService/ListDecisions", request, scoring_pb2.ListDecisionsResponse)

    def report_outcomes(self, reports: Sequence[OutcomeReport]) -> scoring_pb2.ReportOutcomesResponse:
        """Report what became of payments.

        Raises:
            InvalidInput: a report is none, or a field of the wrong type, like `reports[3].outcome_time_us`;
                nothing was sent.
        """
        messages = [_report_to_wire(report, f"reports[{place}]") for place, report in enumerate(reports)]
        request = scoring_pb2.ReportOutcomesRequest(reports=messages)
        return self._call("ScoringService/ReportOutcomes", request, scoring_pb2.ReportOutcomesResponse)


def _report_to_wire(report: OutcomeReport, place: str) -> scoring_pb2.OutcomeReport:
    try:
        fields = {
            "transaction_id": report.transaction_id,
            "outcome": report.outcome,
            "outcome_time_us": report.outcome_time_us,
        }
    except AttributeError:
        raise wrong_kind(report, OutcomeReport, place) from None
    return filled(scoring_pb2.OutcomeReport, fields, place)


def to_message(transaction: Transaction | Mapping[str, Any], place: str = "") -> Transaction:
    """Return the wire message of a transaction given as one or as a mapping of its fields.

    Raises:
        InvalidInput: a field has a wrong name or type; the message names it, behind its `place`.
    """
    return transaction if isinstance(transaction, Transaction) else filled(Transaction, transaction, place)
