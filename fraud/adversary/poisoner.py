"""Attackers of the labels: false disputes of payments in order, and an analyst who says fraud was none.

    accomplices pay like customers ─ approved ─▶ disputed as fraud     the model learns to refuse customers
    a gang's payments ─ bought analyst ─▶ "legitimate", in batches     the model unlearns the gang

Filed labels are ordinary ones: a source and a submitter that exist, values that could be
true. Money is counted in the gang's purse. A bought account files at most so many a day,
so that it does not stand out by number alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fraud.adversary.gang import Attacker, Attempts, Filing
from fraud.adversary.honest import CARD, MERCHANT, Bools, HonestTraffic, Payments, required_kind
from fraud.adversary.statements import Statements
from fraud.adversary.tariff import Prices, Purse
from fraud.clock import DAY_US
from fraud.records import Label, LabelValue

_TEMPLATE_DAYS = 7


@dataclass(frozen=True, slots=True)
class PoisonSettings:
    """How much is filed. `disputes_per_day` on average, `cleared_per_day` at most; 0 is none of it.

    `from_day` on. A dispute comes in `dispute_delay_us` after its payment.
    """

    disputes_per_day: float = 5.0
    cleared_per_day: int = 20
    from_day: int = 14
    dispute_delay_us: int = DAY_US
    dispute_source: str = "chargeback"
    analyst: str = "analyst-17"


class Poisoner:
    """A gang, and beside it those who file labels for it; an `Attacker`."""

    def __init__(
        self, gang: Attacker, traffic: HonestTraffic, settings: PoisonSettings, prices: Prices, *, seed: int
    ) -> None:
        self._gang = gang
        self._traffic = traffic
        self._settings = settings
        self._prices = prices
        self._rng = np.random.default_rng([seed, 22])
        self._card = required_kind(traffic.settings, CARD)
        self._merchant = required_kind(traffic.settings, MERCHANT)
        self._place = np.empty(0, np.intp)
        self._is_theirs = np.empty(0, np.bool_)
        self._is_fraud = np.empty(0, np.bool_)
        self._disputes: list[tuple[int, str]] = []
        self._to_clear: list[str] = []
        self._times = np.empty(0, np.int64)
        self._active = False
        self._spent = Purse()

    @property
    def purse(self) -> Purse:
        """The gang's money, less what filing costs."""
        total = Purse()
        total.add(self._gang.purse)
        total.add(self._spent)
        return total

    def plan(self, day: int, from_us: int, until_us: int, statements: Statements) -> Attempts:
        """Return the gang's attempts with the accomplices' payments between them."""
        theirs = self._gang.plan(day, from_us, until_us, statements)
        if not self._active and day >= self._settings.from_day:
            self._active = True
            self._spent.pollution_minor += self._prices.analyst_minor if self._settings.cleared_per_day else 0
        ours = self._payments(day, from_us, until_us)
        payments, order = Payments.merged([theirs.payments, ours])
        names = [*theirs.strategies, *["false_dispute"] * len(ours)]
        is_fraud = np.concatenate([theirs.is_fraud, np.zeros(len(ours), np.bool_)])[order]
        self._place, self._is_theirs = order, order < len(theirs.payments)
        self._is_fraud, self._times = is_fraud, payments.event_time_us
        return Attempts(payments, tuple(names[place] for place in order.tolist()), is_fraud)

    def see(self, ids: Sequence[str], approved: Bools) -> None:
        """Hand the gang its answers, and note what to dispute and what to clear."""
        theirs = np.flatnonzero(self._is_theirs)
        back = theirs[np.argsort(self._place[theirs], kind="stable")]
        self._gang.see([ids[at] for at in back.tolist()], approved[back])
        if not self._active:
            return
        self._to_clear += [ids[at] for at in np.flatnonzero(self._is_fraud).tolist()]
        delay_us = self._settings.dispute_delay_us
        self._disputes += [
            (int(self._times[at]) + delay_us, ids[at])
            for at in np.flatnonzero(~self._is_theirs & approved).tolist()
        ]

    def file(self, now_us: int) -> list[Filing]:
        """Return disputes whose time has come, and the analyst's batch of the day."""
        due = [name for time_us, name in self._disputes if time_us <= now_us]
        self._disputes = [(time_us, name) for time_us, name in self._disputes if time_us > now_us]
        self._spent.pollution_minor += len(due) * self._prices.dispute_minor
        cleared = self._to_clear[-self._settings.cleared_per_day :] if self._settings.cleared_per_day else []
        self._to_clear = []
        filings = [
            (self._settings.dispute_source, "customers", LabelValue.FRAUD, due),
            ("analyst", self._settings.analyst, LabelValue.LEGITIMATE, cleared),
        ]
        return [
            *self._gang.file(now_us),
            *(
                Filing(source, submitter, tuple(Label(name, value, now_us) for name in names))
                for source, submitter, value, names in filings
                if names
            ),
        ]

    def _payments(self, day: int, from_us: int, until_us: int) -> Payments:
        """Return payments of accomplices: those of honest customers of last week, on other cards."""
        count = self._rng.poisson(self._settings.disputes_per_day * (until_us - from_us) / DAY_US)
        source = self._traffic.day(max(0, day - _TEMPLATE_DAYS))
        drawn = source.take(self._rng.integers(0, max(1, len(source)), count if self._active else 0))
        n = len(drawn)
        surrogates = drawn.surrogates.copy()
        surrogates[:, self._card] = self._rng.choice(self._traffic.cards(day), n)
        return Payments(
            np.sort(self._rng.integers(from_us, until_us, n)),
            surrogates,
            drawn.amount_minor,
            drawn.numerics,
            drawn.words,
        )
