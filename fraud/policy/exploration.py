"""A small share of would-be declines goes through, so that their labels can be learned.

    DECLINE, amount within the cap ──draw < rate──▶ APPROVE, explored, propensity = rate
                                   └─otherwise────▶ DECLINE,           propensity = 1 − rate
    anything else                                 ▶ unchanged,         propensity = 1

The draw is a keyed hash of the transaction id: repeating a request repeats the
answer, nobody without the key can tell which ids get through, and the logged
propensity lets training and evaluation weight by its inverse (Horvitz and
Thompson 1952).
"""

import hashlib
from typing import NamedTuple

from fraud.records import Outcome
from fraud.settings.model import Exploration

_KEY_BYTES_MAX = hashlib.blake2b.MAX_KEY_SIZE
_DRAW_BITS = 53


class Explored(NamedTuple):
    """The outcome that is given, whether exploration changed it, and how probable it was."""

    outcome: Outcome
    explored: bool
    propensity: float


def draw(key: bytes, transaction_id: str) -> float:
    """Return a number in [0, 1) that the key and the id alone determine; uniform over ids.

    >>> draw(b"sixteen letters!", "t-1") == draw(b"sixteen letters!", "t-1")
    True
    """
    if len(key) > _KEY_BYTES_MAX:
        key = hashlib.blake2b(key).digest()
    hashed = hashlib.blake2b(transaction_id.encode(), digest_size=8, key=key).digest()
    return (int.from_bytes(hashed) >> (64 - _DRAW_BITS)) / (1 << _DRAW_BITS)


def explore(
    exploration: Exploration, transaction_id: str, outcome: Outcome, amount_base_minor: int
) -> Explored:
    """Return what becomes of an outcome: a would-be DECLINE is approved with probability `rate`.

    `amount_base_minor` above `amount_max_minor` is never let through: the cap
    bounds what one explored transaction can lose.
    """
    rate, cap = exploration.rate, exploration.amount_max_minor
    if outcome is not Outcome.DECLINE or rate <= 0 or (cap is not None and amount_base_minor > cap):
        return Explored(outcome, False, 1.0)
    if draw(exploration.key.get_secret_value().encode(), transaction_id) < rate:
        return Explored(Outcome.APPROVE, True, rate)
    return Explored(Outcome.DECLINE, False, 1.0 - rate)
