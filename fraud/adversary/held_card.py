"""A stolen card in use: which payment comes next, and when it is of no more use.

stolen ─ probes, each answered ─▶ payments, in parts ─▶ used up, declined too often, or blocked
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from fraud.adversary.strategy import BOUNDS, Strategy
from fraud.adversary.tariff import Purse, Tariff
from fraud.clock import DAY_US, HOUR_US, MINUTE_US

_NEVER_US = 2**62
_JITTER = 0.3


@dataclass(frozen=True, slots=True)
class Step:
    """One payment as planned. `part` counts within a sum, 0 the first; probes are sums of one part.

    `last` says that no part of the sum is left. `is_fraud` is False where the fraudster pays
    himself, to let an opened card age.
    """

    event_time_us: int
    amount_minor: int
    part: int
    probe: bool
    is_fraud: bool = True
    last: bool = True


@dataclass(slots=True)
class HeldCard:
    """One card and what it is used for; `amount_minor` is the next sum. Mutable, owned by a gang.

    `rng` is its own, so what becomes of other cards changes nothing about this one.
    """

    card: int
    strategy: Strategy
    next_us: int
    amount_minor: int
    device: int
    merchant: int | None
    purse: Purse
    rng: np.random.Generator
    probes_left: int = field(init=False)
    payments_left: int = field(init=False)
    part: int = 0
    declines: int = 0
    blocked_us: int = _NEVER_US
    _looked_us: int = 0

    def __post_init__(self) -> None:
        self.probes_left = self.strategy.probes
        self.payments_left = self.strategy.payments

    @property
    def used_up(self) -> bool:
        """True when nothing more will be tried, or could be."""
        spent = not self.probes_left and not self.payments_left
        return spent or self.declines >= self.strategy.declines_max or self.next_us >= self.blocked_us

    @property
    def _opened(self) -> bool:
        return self.strategy.access == "opened"

    def steps(self, from_us: int, until_us: int, tariff: Tariff, amount_max: int) -> Iterator[Step]:
        """Yield the payments of a span; where the next depends on an answer, only one."""
        self._burn(from_us, tariff)
        self.next_us = self._open(max(self.next_us, from_us))
        while self.next_us < until_us and not self.used_up:
            if self.probes_left:
                self.probes_left -= 1
                amount = min(self.strategy.probe_minor, amount_max)
                yield Step(self.next_us, amount, 0, probe=True, is_fraud=not self._opened)
                self._wait(self.strategy.probe_gap_minutes * MINUTE_US)
                return
            parts = min(self.strategy.parts, self.amount_minor)
            each, more = divmod(min(self.amount_minor, amount_max), parts)
            last = self.part + 1 == parts
            yield Step(self.next_us, max(1, each + (self.part < more)), self.part, probe=False, last=last)
            self.part += 1
            if not last:
                self.next_us = self._open(self.next_us + tariff.parts_apart_us)
                continue
            self.part = 0
            self.payments_left -= 1
            self._wait(self.strategy.gap_minutes * MINUTE_US)
            if self.strategy.waits:
                return

    def answered(self, step: Step, tariff: Tariff, *, approved: bool) -> None:
        """Take an answer in: money, declines, the next sum, and whether the owner will notice."""
        amount = step.amount_minor
        self.declines += not approved
        if step.is_fraud:
            self._count(step, tariff, approved=approved)
        elif approved:  # goods are worth less than what was paid for them
            self.purse.tools_minor += tariff.discount_minor(self.strategy, amount)
        noticed = self.rng.random() < amount / (amount + tariff.prices.notice_minor)
        if approved and noticed and not self._opened:
            self.blocked_us = min(self.blocked_us, step.event_time_us + int(self.rng.integers(1, DAY_US)))
        if self.strategy.waits and step.last and not step.probe:
            percent = self.strategy.step_percent
            amount = self.amount_minor * percent // 100 if approved else self.amount_minor * 100 // percent
            least, most = BOUNDS["amount_minor"]
            self.amount_minor = min(max(amount, least), most)

    def _count(self, step: Step, tariff: Tariff, *, approved: bool) -> None:
        """Add a fraud to the purse."""
        purse, amount = self.purse, step.amount_minor
        purse.attempts += 1
        purse.attempted_minor += amount
        if approved:
            purse.approved += 1
            purse.stolen_minor += amount
            purse.discount_minor += tariff.discount_minor(self.strategy, amount)
            purse.tools_minor += tariff.tools_minor(self.strategy, amount, step.part)

    def _burn(self, now_us: int, tariff: Tariff) -> None:
        """Let the card be blocked while it was held: `tariff.burning` a day."""
        held_days = (now_us - self._looked_us) / DAY_US if self._looked_us else 0.0
        self._looked_us = now_us
        if not self._opened and self.rng.random() > (1.0 - (tariff.burning or 0.0)) ** held_days:
            self.blocked_us = min(self.blocked_us, now_us)

    def _wait(self, gap_us: int) -> None:
        self.next_us = self._open(self.next_us + int(gap_us * self.rng.uniform(1 - _JITTER, 1 + _JITTER)))

    def _open(self, time_us: int) -> int:
        """Return the time, or where it is outside the strategy's hours, a moment of the next ones."""
        first, last = self.strategy.hour_from * HOUR_US, self.strategy.hour_until * HOUR_US
        midnight, of_day = time_us // DAY_US * DAY_US, time_us % DAY_US
        if first <= of_day < last:
            return time_us
        midnight += DAY_US if of_day >= last else 0
        return midnight + first + int(self.rng.integers(0, last - first))
