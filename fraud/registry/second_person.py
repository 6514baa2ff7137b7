"""What needs two people in the ledger: asked for by one, carried out by another.

    Asked                                     method what until_us     (what: plain JSON; the signer asks)
    Promoted | RolledBack | DataExcluded | ExclusionUndone
                                              … asked                  (the entry that asked; the signer is
                                                                        the second person)

An entry that names what it carries out is refused unless that stands open, is by
another person, and the time is not up; so of two second people one is first.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fraud.clock import format_time
from fraud.errors import InvalidInput, NotAllowedNow, NotFound
from fraud.registry.chain import LedgerEntry

if TYPE_CHECKING:
    from fraud.registry.ledger import RegistryState

CARRY_OUT = {
    "Promote": "Promoted",
    "Rollback": "RolledBack",
    "ExcludeData": "DataExcluded",
    "UndoExclusion": "ExclusionUndone",
}
"""Method → the kind of entry that carries it out."""


@dataclass(slots=True)
class Asked:
    """Something asked for; `done_seq` is the entry that carried it out, 0 for none."""

    seq: int
    time_us: int
    method: str
    what: dict[str, Any]
    actor: str
    reason: str
    until_us: int
    done_seq: int = 0

    def is_open(self, now_us: int) -> bool:
        """Tell whether a second person may carry it out."""
        return not self.done_seq and now_us <= self.until_us


def open_request(state: "RegistryState", method: str, what: dict[str, Any], now_us: int) -> Asked | None:
    """Return what is open of exactly this, None when nobody has asked."""
    fitting = (
        it
        for it in list(state.asked.values())
        if it.method == method and it.what == what and it.is_open(now_us)
    )
    return next(fitting, None)


def _asked(state: "RegistryState", entry: LedgerEntry) -> None:
    body = entry.body
    if body["method"] not in CARRY_OUT:
        raise InvalidInput("body.method", f"is {body['method']!r}", f"give one of {', '.join(CARRY_OUT)}")
    if body["until_us"] <= entry.time_us:
        raise InvalidInput("body.until_us", "has passed", "leave the second person some time")
    state.asked[entry.seq] = Asked(
        entry.seq, entry.time_us, body["method"], body["what"], entry.actor, entry.reason, body["until_us"]
    )


def check_second(state: "RegistryState", entry: LedgerEntry) -> Asked | None:
    """Return what an entry carries out, None when it names nothing.

    Raises:
        NotFound: it names an entry that asks for nothing.
        NotAllowedNow: that is of another kind, carried out before, by the same person, or has expired.
    """
    seq = entry.body.get("asked")
    if seq is None:
        return None
    found = state.asked.get(seq)
    if found is None:
        raise NotFound(f"ledger entry {seq} asks for nothing; 'fraud asked' shows what waits")
    if CARRY_OUT[found.method] != entry.kind:
        raise NotAllowedNow(f"ledger entry {seq} asks for {found.method}, which a {entry.kind} is not")
    if found.done_seq:
        raise NotAllowedNow(f"what entry {seq} asks for was carried out before, by entry {found.done_seq}")
    if found.actor == entry.actor:
        raise NotAllowedNow(f"{entry.actor} asked for it in entry {seq}; another person must carry it out")
    if entry.time_us > found.until_us:
        raise NotAllowedNow(
            f"what ledger entry {seq} asks for has expired at {format_time(found.until_us)}; ask again"
        )
    return found


FOLDS: dict[str, Callable[["RegistryState", LedgerEntry], None]] = {"Asked": _asked}
