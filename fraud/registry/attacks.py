"""Attacks that a person has confirmed: slices of traffic in which an emergency is judged.

    AttackConfirmed   model entities {name: surrogate} words {field: word} since_us
    AttackEnded       attack                    (the entry that confirmed it)

All that is given must hold for a payment to be of the attack. A confirmation
decides nothing by itself: it lets the gate look at the slice, and a person
approves what comes of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fraud.errors import InvalidInput, NotAllowedNow, NotFound
from fraud.registry.chain import LedgerEntry

if TYPE_CHECKING:
    from fraud.registry.ledger import RegistryState

ATTACKS_MAX = 8
"""Attacks of one model in force at once: each is one more chance to promote."""


@dataclass(frozen=True, slots=True)
class Attack:
    """An attack confirmed in entry `seq`: payments of a model from `since_us` (event time) on."""

    seq: int
    model: str
    entities: tuple[tuple[str, int], ...]
    words: tuple[tuple[str, str], ...]
    since_us: int
    confirmed_us: int
    actor: str
    reason: str


def attack_of(state: "RegistryState", seq: int) -> Attack:
    """Return the attack in force that entry `seq` confirmed.

    Raises:
        NotFound: that entry confirms none, or it has ended.
    """
    found = state.attacks.get(seq)
    if found is None:
        raise NotFound(f"ledger entry {seq} confirms no attack in force; 'fraud attack list' shows them")
    return found


def _confirmed(state: "RegistryState", entry: LedgerEntry) -> None:
    body = entry.body
    entities = tuple(sorted(body["entities"].items()))
    words = tuple(sorted(body["words"].items()))
    if not entities and not words:
        raise InvalidInput("body.entities, words", "are both empty", "say what tells the attack apart")
    attack = Attack(
        entry.seq,
        body["model"],
        entities,
        words,
        body["since_us"],
        entry.time_us,
        entry.actor,
        entry.reason,
    )
    in_force = [other for other in state.attacks.values() if other.model == attack.model]
    if len(in_force) >= ATTACKS_MAX:
        raise NotAllowedNow(
            f"{attack.model!r} has {len(in_force)} attacks in force, as many as it may; end one"
        )
    state.attacks[entry.seq] = attack


def _ended(state: "RegistryState", entry: LedgerEntry) -> None:
    state.attacks.pop(attack_of(state, entry.body["attack"]).seq)


FOLDS: dict[str, Callable[["RegistryState", LedgerEntry], None]] = {
    "AttackConfirmed": _confirmed,
    "AttackEnded": _ended,
}
