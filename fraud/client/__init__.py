"""The Python client: a deadline, retries that are safe, an answer when there is none.

    client = Client("127.0.0.1:50051", deadline_s=0.2, on_failure="APPROVE")
    decision = client.score(transaction)

A retry sends the same transaction id, so the service scores it once however
often it arrives. When no answer comes within the deadline, `on_failure` decides:
an outcome makes a local decision marked `NO_ANSWER` (fail open with APPROVE,
fail closed with DECLINE or REVIEW); None raises.

`credentials` say who calls, by a token or a certificate, and whom to believe.

One class per service on one connection; `Client` is all of them.
"""

from fraud.client.client import Client
from fraud.client.connection import REQUEST_ID
from fraud.client.credentials import Credentials, Tls
from fraud.client.scoring import OutcomeName, to_message
from fraud.records import Label, LabelValue, Outcome, OutcomeReport, PaymentOutcome

__all__ = [
    "REQUEST_ID",
    "Client",
    "Credentials",
    "Label",
    "LabelValue",
    "Outcome",
    "OutcomeName",
    "OutcomeReport",
    "PaymentOutcome",
    "Tls",
    "to_message",
]
