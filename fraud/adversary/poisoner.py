"""Attackers of the labels: false disputes of payments in order, and an analyst who says fraud was none.

    accomplices pay like customers ─ approved ─▶ disputed as fraud     the model learns to refuse customers
    a gang's payments ─ bought analyst ─▶ "legitimate", in batches     the model unlearns the gang

Nothing tells false labels from true ones but what they say: disputes come in the bank's own
file, among those of the day, and the account was an honest analyst's until it was bought, whose
work goes on, but for the frauds in it. It files at most so many a day, so that it does not stand
out by number alone. Money is counted in the gang's purse.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fraud.adversary.gang import Attacker, Attempts, Filing
from fraud.adversary.honest import CARD, MERCHANT, Bools, HonestTraffic, Payments, required_kind
from fraud.adversary.statements import Statements
from fraud.adversary.tariff import Prices, Purse
from fraud.adversary.verdicts import ANALYST, CHARGEBACK
from fraud.clock import DAY_US
from fraud.records import Label, LabelValue

ACCOUNT = "analyst-17"
ANALYSTS = ("analyst-04", "analyst-11", ACCOUNT, "analyst-23")
"""Whose verdicts `LabelRules.analysts` should be, for an account that has always been there."""
_TEMPLATE_DAYS = 7


@dataclass(frozen=True, slots=True)
class PoisonSettings:
    """How much is filed. `disputes_per_day` on average, `cleared_per_day` at most; 0 is none of it.

    `from_day` on: four weeks after the first model of a contest, when analysts get something to do. So
    the account has an honest past that the guard can hold it against, and confirmed misses have the three
    quiet weeks, before the judged one, that they are held against. A dispute comes in `dispute_delay_us`
    after its payment.

    Disputed payments come in bursts: for `burst_days` at a time, which begin on some day of each
    `burst_days + quiet_days`, and none between; without quiet days every day alike. What confirmed misses
    are held against is quiet then, which is how one would force retrains.
    """

    disputes_per_day: float = 5.0
    cleared_per_day: int = 20
    from_day: int = 43
    dispute_delay_us: int = DAY_US
    feed: str = CHARGEBACK
    account: str = ACCOUNT
    burst_days: int = 1
    quiet_days: int = 0

    def __post_init__(self) -> None:
        if self.burst_days < 1 or self.quiet_days < 0:
            raise ValueError(
                f"burst_days: {self.burst_days}, quiet_days: {self.quiet_days}; give at least 1 and 0"
            )

    def disputes_on(self, day: int, seed: int) -> float:
        """Return how many payments of a day will be disputed, on average."""
        period = self.burst_days + self.quiet_days
        number, place = divmod(day - self.from_day, period)
        if number < 0:
            return 0.0
        start = int(np.random.default_rng([seed, 28, number]).integers(self.quiet_days + 1))
        inside = start <= place < start + self.burst_days
        return self.disputes_per_day * period / self.burst_days if inside else 0.0


class Poisoner:
    """A gang, and beside it those who file labels for it; an `Attacker`."""

    def __init__(
        self, gang: Attacker, traffic: HonestTraffic, settings: PoisonSettings, prices: Prices, *, seed: int
    ) -> None:
        self._gang = gang
        self._traffic = traffic
        self._settings = settings
        self._prices = prices
        self._seed = seed
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

    def file(self, due: Sequence[Filing], now_us: int) -> list[Filing]:
        """Return the labels due with the disputes whose time has come, and the account's as it was bought."""
        filings = self._gang.file(due, now_us)
        disputed = [name for time_us, name in self._disputes if time_us <= now_us]
        self._disputes = [(time_us, name) for time_us, name in self._disputes if time_us > now_us]
        self._spent.pollution_minor += len(disputed) * self._prices.dispute_minor
        feed, account = self._settings.feed, self._settings.account
        filings = _added(filings, feed, feed, LabelValue.FRAUD, disputed, now_us)
        most, to_clear = self._settings.cleared_per_day, self._to_clear
        self._to_clear = []
        if not self._active or not most:
            return filings
        rest = [_without_frauds(it) if it.submitter == account else it for it in filings]
        return _added(rest, ANALYST, account, LabelValue.LEGITIMATE, to_clear[-most:], now_us)

    def _payments(self, day: int, from_us: int, until_us: int) -> Payments:
        """Return payments of accomplices: those of honest customers of last week, on other cards."""
        wanted = self._settings.disputes_on(day, self._seed) * (until_us - from_us) / DAY_US
        source = self._traffic.day(max(0, day - _TEMPLATE_DAYS))
        count = self._rng.poisson(wanted) if len(source) else 0
        drawn = source.take(self._rng.integers(0, max(1, len(source)), count))
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


def _without_frauds(filing: Filing) -> Filing:
    """Return a filing without what it calls fraud."""
    return replace(
        filing, labels=tuple(label for label in filing.labels if label.value is not LabelValue.FRAUD)
    )


def _added(
    filings: Sequence[Filing],
    source: str,
    submitter: str,
    value: LabelValue,
    names: Sequence[str],
    now_us: int,
) -> list[Filing]:
    """Return filings with labels of one value among those of a submitter, who files them all at once."""
    is_theirs = [it.source == source and it.submitter == submitter for it in filings]
    own = [label for it, is_one in zip(filings, is_theirs, strict=True) if is_one for label in it.labels]
    labels = (*own, *(Label(name, value, now_us) for name in names))
    others = [it for it, is_one in zip(filings, is_theirs, strict=True) if not is_one]
    return [*others, Filing(source, submitter, labels)] if labels else others
