"""`fraud.v1.AccessService` as Python calls."""

from fraud.client.connection import Connection
from fraud.v1 import access_pb2


class AccessCalls(Connection):
    """The methods of `AccessService`."""

    def who_am_i(self) -> access_pb2.WhoAmIResponse:
        """Return who the server takes us for; no name where identities are off.

        Raises:
            Unauthenticated: for nobody it knows.
        """
        return self._call("AccessService/WhoAmI", access_pb2.WhoAmIRequest(), access_pb2.WhoAmIResponse)

    def list_asked(self, *, all_: bool = False) -> list[access_pb2.Asked]:
        """Return what waits for a second person, newest first; with `all_` also what does not any more."""
        reply = self._call(
            "AccessService/ListAsked", access_pb2.ListAskedRequest(all=all_), access_pb2.ListAskedResponse
        )
        return list(reply.asked)
