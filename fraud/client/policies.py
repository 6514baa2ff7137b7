"""`fraud.v1.PolicyService` as Python calls."""

from collections.abc import Sequence

from fraud.client.connection import Connection
from fraud.v1 import policy_pb2


class PolicyCalls(Connection):
    """The methods of `PolicyService`."""

    def set_rules(
        self, model: str, rules: Sequence[policy_pb2.Rule], *, actor: str, reason: str
    ) -> policy_pb2.SetRulesResponse:
        """Set the rules of a model in place of those before; none: no rules from here on.

        Raises:
            InvalidInput: a rule does not fit; the message names it, and nothing was set.
        """
        request = policy_pb2.SetRulesRequest(model=model, rules=rules, actor=actor, reason=reason)
        return self._call("PolicyService/SetRules", request, policy_pb2.SetRulesResponse, retried=False)

    def get_rules(self, model: str) -> policy_pb2.GetRulesResponse:
        """Return the rules of a model, and whether the scorer decides by them."""
        request = policy_pb2.GetRulesRequest(model=model)
        return self._call("PolicyService/GetRules", request, policy_pb2.GetRulesResponse)

    def set_listing(
        self, list_name: str, entity: str, token: str, *, until_us: int = 0, actor: str, reason: str
    ) -> policy_pb2.SetListingResponse:
        """Put an entity on the list "block" or "allow" until a moment (0: without end), or take it off ("").

        Raises:
            InvalidInput: a field is wrong; the message names it.
            LimitExceeded: as many are listed as may be.
            NotFound: it is to be taken off and never came.
        """
        request = policy_pb2.SetListingRequest(
            list_name=list_name, entity=entity, token=token, until_us=until_us, actor=actor, reason=reason
        )
        return self._call("PolicyService/SetListing", request, policy_pb2.SetListingResponse, retried=False)

    def list_listings(
        self,
        list_name: str = "",
        *,
        entity: str = "",
        token: str = "",
        page_token: str = "",
        page_size: int = 0,
    ) -> policy_pb2.ListListingsResponse:
        """Return a page of what is listed now; with `entity` and `token` that one alone, if it is."""
        request = policy_pb2.ListListingsRequest(
            list_name=list_name, entity=entity, token=token, page_token=page_token, page_size=page_size
        )
        return self._call("PolicyService/ListListings", request, policy_pb2.ListListingsResponse)
