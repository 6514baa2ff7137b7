"""A small share of would-be declines goes through, so that their labels can be learned.

    DECLINE ─ switched off, amount above the cap, or a budget it does not fit into? ─▶ DECLINE, propensity 1
       └─ otherwise, with the rate of its score ──draw < rate──▶ APPROVE, explored, propensity = rate
                                                 └─otherwise───▶ DECLINE,           propensity = 1 − rate
    anything else                                             ─▶ unchanged,         propensity = 1

The draw is a keyed hash of the transaction id: repeating a request repeats the
answer, nobody without the key can tell which ids get through, and the logged
propensity lets training and evaluation weight by its inverse (Horvitz and
Thompson 1952).

The propensity is the true probability of what was answered, given everything
that stood before the draw: switch, score, amount, and what the rows earlier in
the log had spent of the day's budgets. So a row that no budget admits had no
chance at all. It is a plain decline of propensity 1, not explored, and censored:
nobody will learn what it was, no explored row stands for it, and estimates that
weight by the inverse propensity speak of the rows that had a chance.
"""

import hashlib
from bisect import bisect_right
from typing import NamedTuple

from fraud.policy.spending import DaySpending
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


class Explorer:
    """One model's exploration, decided once from its settings; `explore` is called in log order."""

    def __init__(self, exploration: Exploration) -> None:
        self.active = exploration.active
        self._key = exploration.key.get_secret_value().encode()
        self._cap = exploration.amount_max_minor
        self._edges = [band.from_ for band in exploration.bands]
        self._rates = exploration.rates

    def rate(self, score: float) -> float:
        """Return the rate of a calibrated score: that of the last band that starts at or below it."""
        return self._rates[bisect_right(self._edges, score)]

    def chance(
        self, score: float, amount_base_minor: int, surrogates: tuple[int, ...], spent: DaySpending
    ) -> float:
        """Return the probability that a would-be decline is let through, before anything is drawn."""
        if not self.active or (self._cap is not None and amount_base_minor > self._cap):
            return 0.0
        return self.rate(score) if spent.allows(surrogates, amount_base_minor) else 0.0

    def explore(
        self,
        transaction_id: str,
        score: float,
        amount_base_minor: int,
        surrogates: tuple[int, ...],
        spent: DaySpending,
    ) -> Explored:
        """Return what becomes of a would-be DECLINE, and count it in `spent` when it is let through."""
        chance = self.chance(score, amount_base_minor, surrogates, spent)
        if chance <= 0 or draw(self._key, transaction_id) >= chance:
            return Explored(Outcome.DECLINE, False, 1.0 - chance)
        spent.take(surrogates, amount_base_minor)
        return Explored(Outcome.APPROVE, True, chance)
