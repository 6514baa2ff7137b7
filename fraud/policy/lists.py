"""Block and allow lists of entities: a fold over the log, so a listing survives a restart.

    EntityListed, in log order ─▶ (entity, surrogate) stands on one list until a moment, or on none
    payment at its arrival ─────▶ "block:card" · "allow:card" · ""

A block goes before an allow, whichever entity it is of. A listing counts while
the payment's arrival is before its end; arrival never decreases along the log,
so one that is over is over for good, and is forgotten.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from fraud.errors import Damaged, shortened
from fraud.records import EntityListed, Entry, Outcome

ListName = Literal["block", "allow"]
LIST_NAMES: tuple[ListName, ...] = get_args(ListName)
OUTCOMES: Final[Mapping[str, Outcome]] = {"block": Outcome.DECLINE, "allow": Outcome.APPROVE}
_ENDS_SPARE: Final = 1_024


@dataclass(frozen=True, slots=True)
class Listing:
    """An entity on a list; times are µs UTC, `until_us` 0: without end."""

    list_name: str
    entity: str
    surrogate: int
    since_us: int
    until_us: int
    actor: str
    reason: str

    def counts(self, at_us: int) -> bool:
        """Tell whether it counts at a moment."""
        return self.until_us == 0 or at_us < self.until_us


def list_of(rule: str) -> str:
    """Return the list that a decision's `rule` names, "" when a rule decided or none.

    >>> list_of("block:card"), list_of("night_shop")
    ('block', '')
    """
    name, separator, _ = rule.partition(":")
    return name if separator and name in LIST_NAMES else ""


def lists_rule(list_name: str, entity: str) -> str:
    """Return what stands as `rule` in a decision that a list made.

    >>> lists_rule("block", "card")
    'block:card'
    """
    return f"{list_name}:{entity}"


class Lists:
    """Everything listed, by entity. One owner."""

    def __init__(self, entity_names: Sequence[str]) -> None:
        self._names = tuple(entity_names)
        self._listings: dict[str, dict[int, Listing]] = {name: {} for name in self._names}
        self._used: tuple[tuple[int, dict[int, Listing]], ...] = ()
        # When listings end, soonest first; those listed again since stand there more than once.
        self._ends: list[tuple[int, str, int]] = []
        self.counts: dict[str, int] = dict.fromkeys(LIST_NAMES, 0)
        """How many entities stand on each list, by the last `turn`."""

    @property
    def empty(self) -> bool:
        """True when nothing is listed, so that nobody need look."""
        return not self._used

    def deciding(self, surrogates: Sequence[int], at_us: int) -> str:
        """Return the list that decides a payment of these entities, "" for none; block goes first."""
        allowed = ""
        for place, listings in self._used:
            found = listings.get(surrogates[place])
            if found is None or not found.counts(at_us):
                continue
            if found.list_name == "block":
                return lists_rule("block", found.entity)
            allowed = allowed or lists_rule(found.list_name, found.entity)
        return allowed

    def take(self, entry: Entry) -> None:
        """Fold one more entry of the log, in order; only EntityListed changes anything.

        Raises:
            Damaged: it names a list that there is not.
        """
        event = entry.event
        if isinstance(event, EntityListed):
            if event.list_name not in ("", *LIST_NAMES):
                raise Damaged(
                    f"log: position {entry.position} is for a list {shortened(event.list_name)!r}, which "
                    "there is not; restore the data folder from a backup"
                )
            self.put(event, entry.arrival_time_us)

    def put(self, event: EntityListed, arrival_us: int) -> None:
        """Fold an event that arrived at a moment. An entity the schema no longer has is passed over."""
        listings = self._listings.get(event.entity)
        if listings is None:
            return
        self._drop(event.entity, event.surrogate)
        if event.list_name:
            self._add(
                Listing(
                    event.list_name,
                    event.entity,
                    event.surrogate,
                    arrival_us,
                    event.until_us,
                    event.actor,
                    event.reason,
                )
            )
        self.turn(arrival_us)
        self._note_used()

    def turn(self, at_us: int) -> None:
        """Forget what ended by a moment of arrival, µs UTC; time never goes back."""
        if not self._ends or self._ends[0][0] > at_us:
            return
        while self._ends and self._ends[0][0] <= at_us:
            until_us, entity, surrogate = heapq.heappop(self._ends)
            found = self._listings[entity].get(surrogate)
            if found is not None and found.until_us == until_us:
                self._drop(entity, surrogate)
        self._note_used()

    def find(self, entity: str, surrogate: int, at_us: int) -> Listing | None:
        """Return the listing of an entity that counts at a moment, None for none."""
        found = self._listings[entity].get(surrogate)
        return found if found is not None and found.counts(at_us) else None

    def listings(self, at_us: int) -> Iterator[Listing]:
        """Yield what counts at a moment, by entity in the schema's order, then by surrogate.

        Another thread than the owner may look: each listing is whole, and changes under way are seen or not.
        """
        for listings in self._listings.values():
            for surrogate in sorted(listings):
                found = listings.get(surrogate)
                if found is not None and found.counts(at_us):
                    yield found

    def __len__(self) -> int:
        return sum(self.counts.values())

    def to_dict(self) -> dict[str, Any]:
        """Return everything for JSON."""
        return {
            name: [
                [key, it.list_name, it.since_us, it.until_us, it.actor, it.reason]
                for key, it in listings.items()
            ]
            for name, listings in self._listings.items()
        }

    def resume(self, stored: Mapping[str, Any]) -> None:
        """Go on from what `to_dict` gave, in place of what stood here.

        Raises:
            KeyError, TypeError, ValueError, AttributeError, OverflowError: it is something else; what stands
                here then is of no use.
        """
        for name, listings in self._listings.items():
            for surrogate in list(listings):
                self._drop(name, surrogate)
            for surrogate, list_name, since_us, until_us, actor, reason in stored.get(name, ()):
                times_us = int(since_us), int(until_us)
                self._add(Listing(list_name, name, int(surrogate), *times_us, str(actor), str(reason)))
        self._note_used()

    def _add(self, listing: Listing) -> None:
        self._listings[listing.entity][listing.surrogate] = listing
        self.counts[listing.list_name] += 1
        if listing.until_us:
            heapq.heappush(self._ends, (listing.until_us, listing.entity, listing.surrogate))
        if len(self._ends) > 2 * len(self) + _ENDS_SPARE:
            held = (it for listings in self._listings.values() for it in listings.values())
            self._ends = [(it.until_us, it.entity, it.surrogate) for it in held if it.until_us]
            heapq.heapify(self._ends)

    def _drop(self, entity: str, surrogate: int) -> None:
        found = self._listings[entity].pop(surrogate, None)
        if found is not None:
            self.counts[found.list_name] -= 1

    def _note_used(self) -> None:
        self._used = tuple(
            (place, self._listings[name]) for place, name in enumerate(self._names) if self._listings[name]
        )
