"""What everybody outside the service knows: what they sent, and what they were told.

told       an answer came, so it must hold for ever
unsure     it was sent, and no answer came: it may have happened, or not
"""

from collections import Counter
from dataclasses import dataclass, field
from random import Random

from fraud.clock import DAY_US, HOUR_US, MINUTE_US
from fraud.records import (
    MISSING_SURROGATE,
    EntityListed,
    Label,
    LabelValue,
    OutcomeReport,
    PaymentOutcome,
    Scored,
)
from fraud.v1.transaction_pb2 import Transaction


@dataclass(frozen=True, slots=True)
class Batch:
    """One part of a label batch as it was sent."""

    batch_id: str
    source: str
    labels: tuple[Label, ...]


@dataclass(slots=True)
class Clients:
    """The memory of callers, and the makers of what they send."""

    random: Random
    sent: dict[str, Transaction] = field(default_factory=dict)
    sent_us: dict[str, int] = field(default_factory=dict)
    """When a payment was sent, by a clock that is right."""
    told: dict[str, Scored] = field(default_factory=dict)
    taken: dict[str, Batch] = field(default_factory=dict)
    unsure_batches: dict[str, Batch] = field(default_factory=dict)
    retracted: set[str] = field(default_factory=set)
    unsure_retracted: set[str] = field(default_factory=set)
    reported: Counter[OutcomeReport] = field(default_factory=Counter)
    """Outcomes that were taken; `sent_reports` are all that were sent."""
    sent_reports: Counter[OutcomeReport] = field(default_factory=Counter)
    listed: dict[str, EntityListed] = field(default_factory=dict)
    """Listings that were told to be in force, by their reason, which names one each."""
    sent_listings: set[str] = field(default_factory=set)
    ledger: dict[int, str] = field(default_factory=dict)
    """Entries of the ledger that were seen written, by number, with their hash."""
    logged: list[bytes] = field(default_factory=list)
    """Digests of the log's entries that were seen, in order."""
    highest: int = 0
    """The newest position that an answer is known to stand at."""
    arrival_us: int = 0
    _count: int = 0
    _batches: int = 0
    _listings: int = 0

    def payment(self, now_us: int, true_us: int) -> Transaction:
        """Make a payment that was not sent before; some are late, few very late. `now_us`: by their clock."""
        pick = self.random
        self._count += 1
        fraud = pick.random() < 0.1
        late_us = pick.choice((0, 0, 0, 0, 0, MINUTE_US, 3 * HOUR_US, 9 * DAY_US))
        wire = Transaction(
            transaction_id=f"t{self._count}",
            event_time_us=now_us - late_us - pick.randrange(MINUTE_US),
            model="card" if pick.random() < 0.9 else "transfer",
            amount_minor=pick.randrange(40_000, 90_000) if fraud else pick.randrange(100, 20_000),
            currency="EUR",
            entities={"card": f"c{pick.randrange(60)}", "merchant": f"m{pick.randrange(12)}"},
            categoricals={"channel": "moto" if fraud else pick.choice(("web", "pos"))},
        )
        if pick.random() < 0.5:
            wire.entities["device"] = f"d{pick.randrange(80)}"
        if pick.random() < 0.7:
            wire.numerics["distance"] = pick.random() * (500 if fraud else 50)
        self.sent[wire.transaction_id] = wire
        self.sent_us[wire.transaction_id] = true_us
        return wire

    def again(self) -> Transaction | None:
        """Return a payment of the last days that was sent before; None when there is none."""
        names = list(self.sent)[-400:]
        return self.sent[self.random.choice(names)] if names else None

    def batch(self, now_us: int) -> Batch:
        """Make a label batch: verdicts in no order, some on payments that are still to come."""
        pick = self.random
        names = pick.sample(list(self.sent)[-600:], min(len(self.sent), pick.randrange(1, 20)))
        names += [f"t{self._count + pick.randrange(1, 40)}" for _ in range(pick.randrange(3))]
        labels = tuple(Label(name, self._verdict(name), now_us - pick.randrange(MINUTE_US)) for name in names)
        self._batches += 1
        return Batch(f"b{self._batches}", pick.choice(("chargeback", "analyst", "customer")), labels)

    def reports(self, now_us: int) -> tuple[OutcomeReport, ...]:
        """Report what became of payments; some never came."""
        pick = self.random
        names = pick.sample(list(self.sent)[-300:], min(len(self.sent), pick.randrange(1, 12)))
        names += [f"never-{self._count}"] * pick.randrange(2)
        outcomes = [outcome for outcome in PaymentOutcome if outcome]
        made = tuple(
            OutcomeReport(name, pick.choice(outcomes), now_us - pick.randrange(MINUTE_US)) for name in names
        )
        self.sent_reports.update(made)
        return made

    def listing(self, now_us: int) -> tuple[EntityListed, str]:
        """Put an entity on a list, for a while or for good, or take it off; return its token, too."""
        pick = self.random
        self._listings += 1
        entity = pick.choice(("card", "device"))
        token = f"{entity[0]}{pick.randrange(90)}"
        list_name = pick.choice(("block", "allow", ""))
        until_us = now_us + pick.choice((HOUR_US, DAY_US)) if list_name and pick.random() < 0.6 else 0
        reason = f"listing {self._listings}"
        self.sent_listings.add(reason)
        return EntityListed(list_name, entity, MISSING_SURROGATE, until_us, "people", reason), token

    def _verdict(self, name: str) -> LabelValue:
        if self.random.random() < 0.1:
            return self.random.choice((LabelValue.WITHDRAWN, LabelValue.FRAUD, LabelValue.LEGITIMATE))
        wire = self.sent.get(name)
        fraud = wire is not None and wire.amount_minor >= 40_000
        return LabelValue.FRAUD if fraud else LabelValue.LEGITIMATE
