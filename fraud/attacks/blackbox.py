"""An attacker who sees accept or decline and nothing else, and learns from card to card.

    arm = (share of the value, what is changed) ─ Thompson draw of its chance × what it would bring
      ─▶ a payment on the stolen card, folded like any other ─▶ accepted or not ─▶ the arm's counts

Each try is a real payment: later ones see it in their velocity features, and time goes on
between them. A card is given up when its value is taken or the budget of tries is used.
The threat model is that of FRAUD-RLA (arXiv 2502.02290).
"""

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
_TAKEN = 0.999


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
        # What one more payment costs does not hang on who looks for it.
        self._another = 0.0 if allowed.settings.split is None else allowed.settings.split.payment_share
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
            while tries < settings.queries and taken < _TAKEN * value:
                share, way = self._draw(ways)
                choice = ways[way][int(self._rng.integers(len(ways[way])))]
                amount = min(max(1, int(share * value)), value - taken)
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
                    spent += choice.cost * amount / value + (self._another if taken else 0.0)
                    taken, first = taken + amount, first or tries
                    got.append((payment, features, way))
        if first is None:
            return Probe(tries, None, 0, float("inf"))
        pace = settings.pace
        waited_days = (tries - 1) * settings.query_apart / DAY_US
        spent += 0.0 if pace is None else pace.day_share * waited_days
        return Probe(tries, first, taken, 1 - taken / value + spent, _evasion(got, 1 - taken / value + spent))

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
