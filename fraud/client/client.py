"""One connection with the methods of every service."""

from fraud.client.access import AccessCalls
from fraud.client.credentials import Credentials
from fraud.client.fields import chosen
from fraud.client.labels import LabelCalls
from fraud.client.models import ModelCalls
from fraud.client.policies import PolicyCalls
from fraud.client.scoring import OUTCOMES, OutcomeName, ScoringCalls


class Client(ScoringCalls, LabelCalls, ModelCalls, PolicyCalls, AccessCalls):
    """One connection to a service; may be shared by threads. Close it, or use `with`."""

    def __init__(
        self,
        target: str,
        *,
        deadline_s: float = 1.0,
        retries: int = 3,
        on_failure: OutcomeName | None = None,
        message_bytes_max: int = 64 * 2**20,
        credentials: Credentials | None = None,
    ) -> None:
        """Connect to `target` (host:port); `deadline_s` covers a call with its retries.

        Raises:
            InvalidInput: `on_failure` is no outcome.
            ConfigError: a token would go over a network in clear.
        """
        if on_failure is not None:
            chosen("on_failure", on_failure, OUTCOMES, ", or None, which raises")
        super().__init__(target, deadline_s, retries, message_bytes_max, credentials or Credentials())
        self._on_failure = on_failure
