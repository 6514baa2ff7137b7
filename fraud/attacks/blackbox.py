"""An attacker who sees accept or decline and nothing else, and learns from card to card.

    arm = (share of the value, what is changed) ─ Thompson draw of its chance × what it would bring
      ─▶ a payment on the stolen card, folded like any other ─▶ accepted or not ─▶ the arm's counts

Each try is a real payment: later ones see it in their velocity features, and time goes on
between them. A card is given up when its value is taken or the budget of tries is used; after one accepted
payment where `[attacks]` lets nobody split. Each payment is `amount.least_share` or more: what would be
left over for less goes with the payment before.
The threat model is that of FRAUD-RLA (arXiv 2502.02290).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fraud.attacks.payment import Capabilities, Choice, Fraud, Payment
from fraud.attacks.rehearsal import Rehearsal
from fraud.attacks.target import Target
from fraud.attacks.whitebox import Evasion
from fraud.clock import DAY_US
from fraud.records import Outcome

SHARES = (1.0, 0.5, 0.25, 0.1)
"""Shares of the value that a try may ask for; those below `amount.least_share` are left out."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What came of one stolen card.

    `first` counts the tries until one was accepted, None if none was. `cost` is the
    share of the value that the fraudster does not get in the end, `evasion` what was
    accepted.
    """

    tries: int
    first: int | None
    taken_minor: int
    cost: float
    evasion: Evasion | None = field(default=None, compare=False)


@dataclass(slots=True)
class _Arm:
    accepted: int = 0
    declined: int = 0


class Prober:
    """One attacker against one bundle; his experience is the only thing he keeps."""

    def __init__(self, target: Target, allowed: Capabilities, seed: int) -> None:
        self._target = target
        self._allowed = allowed
        self._rng = np.random.default_rng([seed, 1])
        self._split = allowed.settings.split
        self._arms: dict[tuple[float, tuple[str, ...]], _Arm] = {}

    def probe(self, rehearsal: Rehearsal, fraud: Fraud, choices: Sequence[Choice]) -> Probe:
        """Try a card until its value is taken or the budget is used; the state is put back."""
        settings = self._allowed.settings
        ways: dict[tuple[str, ...], list[Choice]] = {}
        for choice in choices:
            if "time" not in choice.changed:
                ways.setdefault(choice.changed, []).append(choice)
        value, taken, spent, first, tries = fraud.value_minor, 0, 0.0, None, 0
        got: list[tuple[Payment, NDArray[np.float32], tuple[str, ...]]] = []
        with rehearsal.undone([choice.payment for group in ways.values() for choice in group]):
            most = 1 if self._split is None else value
            while tries < settings.queries and taken < most:
                share, way = self._draw(ways)
                choice = ways[way][int(self._rng.integers(len(ways[way])))]
                amount = self._amount(fraud, share, value - taken)
                later_us = choice.payment.event_time_us + tries * settings.query_apart
                payment = replace(choice.payment, amount_minor=amount, event_time_us=later_us)
                tries += 1
                features = rehearsal.fold([payment])
                outcome = int(self._target.outcomes(features, [payment.words])[0])
                accepted = outcome == Outcome.APPROVE
                self._learn(share, way, accepted=accepted)
                if outcome == Outcome.DECLINE:
                    rehearsal.decline()
                if accepted:
                    # What one more payment costs does not hang on who looks for it.
                    another = self._split.payment_share if self._split is not None and taken else 0.0
                    spent += choice.cost * amount / value + another
                    taken, first = taken + amount, first or tries
                    got.append((payment, features, way))
        if first is None:
            return Probe(tries, None, 0, float("inf"))
        pace = settings.pace
        waited_days = (tries - 1) * settings.query_apart / DAY_US
        spent += 0.0 if pace is None else pace.day_share * waited_days
        return Probe(tries, first, taken, 1 - taken / value + spent, _evasion(got, 1 - taken / value + spent))

    def _amount(self, fraud: Fraud, share: float, left: int) -> int:
        """Return what a try of a share of the value asks for while `left` of it is there."""
        least, _ = self._allowed.amounts(fraud)
        wanted = max(least, math.ceil(share * fraud.value_minor))
        return wanted if left - wanted >= least else left

    def _draw(self, ways: dict[tuple[str, ...], list[Choice]]) -> tuple[float, tuple[str, ...]]:
        """Return the arm that promises most in one draw of what is known of each."""
        least = self._allowed.least_share
        shares = [share for share in SHARES if share >= least]
        arms = [(share, way) for way in ways for share in shares]
        counts = [self._arms.get(arm, _Arm()) for arm in arms]
        chances = self._rng.beta([1 + arm.accepted for arm in counts], [1 + arm.declined for arm in counts])
        gains = [
            chance * share * (1 - ways[way][0].cost)
            for chance, (share, way) in zip(chances.tolist(), arms, strict=True)
        ]
        return arms[int(np.argmax(gains))]

    def _learn(self, share: float, way: tuple[str, ...], *, accepted: bool) -> None:
        arm = self._arms.setdefault((share, way), _Arm())
        arm.accepted += accepted
        arm.declined += not accepted


def _evasion(got: Sequence[tuple[Payment, NDArray[np.float32], tuple[str, ...]]], cost: float) -> Evasion:
    payments, features, ways = zip(*got, strict=True)
    changed = dict.fromkeys(name for way in ways for name in way)
    return Evasion(
        payments, cost, (*changed, *(("split",) if len(payments) > 1 else ())), np.concatenate(features)
    )
