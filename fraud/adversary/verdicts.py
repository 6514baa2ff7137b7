"""What becomes known of payments, and when: chargebacks late, answers to declines sooner, some never."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from fraud.adversary.gang import Filing
from fraud.adversary.honest import Bools, Ints
from fraud.clock import DAY_US
from fraud.records import Label, LabelValue

ANALYST, CHARGEBACK = "analyst", "chargeback"
"""Sources of labels; who hands in those of the latter is called like it."""


@dataclass(frozen=True, slots=True)
class LabelRules:
    """How truth turns into labels. Delays are µs, shares 0..1.

    An approved fraud comes back as a chargeback between `delay_min_us` and `delay_max_us`
    later, but for `unreported_share`. The owner of a declined payment is asked by one of the
    `analysts`, all as often, and `declined_share` of them answer within `declined_delay_us`.
    """

    delay_min_us: int = DAY_US
    delay_max_us: int = 7 * DAY_US
    unreported_share: float = 0.05
    declined_share: float = 0.7
    declined_delay_us: int = DAY_US
    analysts: tuple[str, ...] = (ANALYST,)

    @classmethod
    def at_once(cls) -> Self:
        """Return the rules of an oracle: every fraud and every decline is known by the end of its day."""
        return cls(0, 1, 0.0, 1.0, 1)


class Verdicts:
    """Holds labels under way and hands out those that have arrived. Mutable, owned by a contest.

    The owners of honest payments answer alike whoever defends: each round has its own chance, and theirs
    comes before that of attempts, whose number hangs on the defender.
    """

    def __init__(self, rules: LabelRules, seed: int) -> None:
        self._rules = rules
        self._seed = seed
        self._rounds = 0
        self._waiting: list[tuple[int, str, tuple[str, str], LabelValue]] = []

    def expect(
        self, ids: Sequence[str], event_time_us: Ints, is_fraud: Bools, approved: Bools, is_attempt: Bools
    ) -> None:
        """Take the answered payments of a round in, n each; `is_attempt` marks those of attackers."""
        rules, n = self._rules, len(ids)
        rng = np.random.default_rng([self._seed, 23, self._rounds])
        self._rounds += 1
        draws, spread, desk = np.empty((3, n))
        for own in (~is_attempt, is_attempt):
            draws[own], spread[own], desk[own] = rng.random((3, np.count_nonzero(own)))
        span_us = rules.delay_max_us - rules.delay_min_us
        back = is_fraud & approved & (draws >= rules.unreported_share)
        asked = ~approved & (draws < rules.declined_share)
        delay_us = np.where(
            approved, rules.delay_min_us + spread * span_us, spread * rules.declined_delay_us
        ).astype(np.int64)
        who = (desk * len(rules.analysts)).astype(np.int64)
        for at in np.flatnonzero(back | asked).tolist():
            giver = (ANALYST, rules.analysts[who[at]]) if asked[at] else (CHARGEBACK, CHARGEBACK)
            value = LabelValue.FRAUD if is_fraud[at] else LabelValue.LEGITIMATE
            known_us = int(event_time_us[at] + delay_us[at])
            heapq.heappush(self._waiting, (known_us, ids[at], giver, value))

    def due(self, now_us: int) -> list[Filing]:
        """Hand out what is known by `now_us`, each once, a filing per source and submitter."""
        found: dict[tuple[str, str], list[Label]] = {}
        while self._waiting and self._waiting[0][0] <= now_us:
            known_us, name, giver, value = heapq.heappop(self._waiting)
            found.setdefault(giver, []).append(Label(name, value, known_us))
        return [Filing(*giver, tuple(labels)) for giver, labels in sorted(found.items())]
