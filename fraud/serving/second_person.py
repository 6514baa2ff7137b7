"""The two-person rule: the first call asks, the same call by another identity carries it out.

    nobody has asked for exactly this  → Asked in the ledger → the caller is told until when it waits
    somebody else has                  → go ahead; the entry names what it carries out
    the caller has                     → refused: it takes another person

What is asked for includes what it would replace and pass over, so once the champion
or the gate's answer has changed the same call asks anew. What took two people
takes two to undo.
"""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final

from fraud.clock import format_time
from fraud.errors import NotAllowedNow, StaleHead
from fraud.registry.chain import canonical_json
from fraud.registry.second_person import Asked, open_request
from fraud.registry.view import Registry
from fraud.settings.access import TwoPerson

_LOOKS_MAX: Final = 10


@dataclass(frozen=True, slots=True)
class Permit:
    """Whether to go ahead. `body` goes into the entry that does it; `waiting` is what was asked instead."""

    body: dict[str, Any]
    waiting: Asked | None = None


class SecondPerson:
    """Keeps the rule for one service. Safe to use from several threads."""

    def __init__(self, settings: TwoPerson, registry: Registry, now_us: Callable[[], int]) -> None:
        self._methods = frozenset[str](settings.methods)
        self._expires_us = settings.expires
        self._registry = registry
        self._now_us = now_us

    def permit(
        self, method: str, what: dict[str, Any], *, actor: str, reason: str, as_for: Collection[str] = ()
    ) -> Permit:
        """Say whether `actor` may do it now, or put on the ledger that it was asked for.

        It takes two where `method` does, or one of `as_for`, which do the same by other names.

        Raises:
            NotAllowedNow: the same person has asked for it already.
            StaleHead: the ledger is too busy to ask.
        """
        if self._methods.isdisjoint((method, *as_for)):
            return Permit({})
        what = json.loads(canonical_json(what))  # as it will be read from the ledger
        for _ in range(_LOOKS_MAX):
            state = self._registry.refresh()
            seq, now_us = state.seq, max(self._now_us(), state.time_us)
            found = open_request(state, method, what, now_us)
            if found is not None and found.actor == actor:
                raise NotAllowedNow(
                    f"{actor} has asked for it already (entry {found.seq}); another operator makes the "
                    f"same call until {format_time(found.until_us)} (server.two_person)"
                )
            if found is not None:
                return Permit({"asked": found.seq})
            until_us = now_us + self._expires_us
            body = {"method": method, "what": what, "until_us": until_us}
            try:
                entry = self._registry.store.append(
                    "Asked", body, actor=actor, reason=reason, time_us=now_us, expected_head=seq
                )
            except StaleHead:
                continue
            return Permit({}, Asked(entry.seq, entry.time_us, method, what, actor, reason, until_us))
        raise StaleHead(f"{method} was not asked for: the ledger is busy; ask again")
