"""ListListings: who stands on a list now, by surrogate; a token that came in does not go out again."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from itertools import islice
from typing import Any

import grpc

from fraud.errors import InvalidInput
from fraud.policy.lists import Listing, Lists
from fraud.serving.edge import Edge
from fraud.serving.paging import is_number, size_of
from fraud.serving.servicers import handler
from fraud.settings import Settings
from fraud.v1 import policy_pb2

POLICIES = "fraud.v1.PolicyService"


class ListingServicer:
    """The method of `fraud.v1.PolicyService` that lists who is listed."""

    def __init__(
        self,
        settings: Settings,
        lists: Callable[[], Lists],
        surrogate_of: Callable[[str, str], int],
        now_us: Callable[[], int],
    ) -> None:
        """`surrogate_of(entity, token)` is `MISSING_SURROGATE` for one that never came."""
        self._entities = settings.schema_.entity_names
        self._page_size_max = settings.server.page_size_max
        self._lists = lists
        self._surrogate_of = surrogate_of
        self._now_us = now_us

    def handlers(self, edge: Edge) -> grpc.GenericRpcHandler:
        """Return the method, wrapped by the edge."""
        methods: dict[str, tuple[Any, Callable[[Any], Awaitable[Any]]]] = {
            "ListListings": (policy_pb2.ListListingsRequest, self.list_listings),
        }
        return handler(edge, POLICIES, methods)

    async def list_listings(self, request: policy_pb2.ListListingsRequest) -> policy_pb2.ListListingsResponse:
        """Return a page of what is listed now, by entity in the schema's order, then by surrogate."""
        if request.entity or request.token:
            check_entity(request.entity, self._entities)
        size = size_of(request.page_size, self._page_size_max)
        after = _after(request.page_token)
        lists, now_us = self._lists(), self._now_us()
        if request.token:
            found = lists.find(request.entity, self._surrogate_of(request.entity, request.token), now_us)
            wanted = found is not None and request.list_name in ("", found.list_name)
            return policy_pb2.ListListingsResponse(listings=[_listing(found)] if found and wanted else [])

        def page() -> list[Listing]:
            rows = (
                it
                for it in lists.listings(now_us)
                if request.list_name in ("", it.list_name)
                and request.entity in ("", it.entity)
                and self._key(it) > after
            )
            return list(islice(rows, size))

        rows = await asyncio.to_thread(page)
        token = ".".join(map(str, self._key(rows[-1]))) if len(rows) == size else ""
        return policy_pb2.ListListingsResponse(listings=map(_listing, rows), next_page_token=token)

    def _key(self, listing: Listing) -> tuple[int, int]:
        return self._entities.index(listing.entity), listing.surrogate


def check_entity(entity: str, entities: Collection[str]) -> None:
    """Refuse an entity that the schema does not name.

    Raises:
        InvalidInput: it is none of `entities`.
    """
    if entity not in entities:
        raise InvalidInput("entity", f"{entity!r} is none", f"send one of: {', '.join(entities)}")


def _after(page_token: str) -> tuple[int, int]:
    if not page_token:
        return -1, -1
    place, _, surrogate = page_token.partition(".")
    if not (is_number(place) and is_number(surrogate)):
        raise InvalidInput("page_token", f"{page_token[:40]!r} is none", "send the one of the page before")
    return int(place), int(surrogate)


def _listing(listing: Listing) -> policy_pb2.Listing:
    return policy_pb2.Listing(
        list_name=listing.list_name,
        entity=listing.entity,
        surrogate=listing.surrogate,
        since_us=listing.since_us,
        until_us=listing.until_us,
        actor=listing.actor,
        reason=listing.reason,
    )
