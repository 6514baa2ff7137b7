"""What the demo measured: the gang against the service, the same gang against its first champion.

Frozen facts and pure functions; the terminal, the report and `--output json` all show these and
nothing else. Days count from 0; amounts are minor units.
"""

from dataclasses import asdict, dataclass
from typing import Any

from fraud.adversary.chronicle import Happening
from fraud.adversary.contest_figures import ContestResult
from fraud.adversary.incident import Repair

RECENT_DAYS = 7
"""Figures "of late" are over so many days."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is played. At the end of `first_day` the retrainer starts; there is no model before.

    Each day has `transactions` honest payments of `cards` cards, and `stolen` cards come to the gang:
    more than any portfolio would bear, so that it can try its strategies within weeks and the gate has
    frauds to judge by. Analysts look at `reviews` payments a day. From `bought_day` on an analyst's
    account works for the gang, at the end of `audit_day` that is found out; at the end of `file_day` a
    bad file comes in.
    """

    seed: int = 7
    days: int = 42
    first_day: int = 14
    bought_day: int = 23
    audit_day: int = 28
    file_day: int = 34
    transactions: int = 1_600
    cards: int = 1_600
    merchants: int = 300
    stolen: float = 16.0
    reviews: int = 15

    def __post_init__(self) -> None:
        days = (self.first_day + 1, self.bought_day, self.audit_day, self.file_day, self.days)
        if list(days) != sorted(days):
            raise ValueError(f"days: {days} (first model, bought, audit, file, end) must follow each other")


@dataclass(frozen=True, slots=True)
class DemoDay:
    """The evening of one day: who is champion by then ("" for nobody), and what alarms.

    `probing` names the patterns of testing that are beyond chance, as `pattern of kind`;
    `believed` is what the gang expects of a card by strategy, as far as it has learned.
    """

    day: int
    date: str
    champion: str
    frozen: bool
    probing: tuple[str, ...]
    believed: dict[str, float]


@dataclass(frozen=True, slots=True)
class DemoResult:
    """Everything the demo measured.

    `payments` were sent to the service and `logged` stand in its log. Until the service's second
    version or first repair both are one: `alike` scores came out the same, bit for bit, `unlike` not.
    """

    plan: Plan
    service: ContestResult
    never: ContestResult
    days: tuple[DemoDay, ...]
    happenings: tuple[Happening, ...]
    repairs: tuple[Repair, ...]
    payments: int
    logged: int
    alike: int
    unlike: int
    retrains: int
    failed: tuple[str, ...]
    setup_seconds: float
    seconds: float

    @property
    def problems(self) -> tuple[str, ...]:
        """What must not happen whatever the gang does; empty when all is well."""
        return tuple(_problems(self))

    def count(self, kind: str) -> int:
        """Count happenings of a kind."""
        return sum(it.kind == kind for it in self.happenings)

    def as_json(self) -> dict[str, Any]:
        """Return the figures as plain values for `--output json`."""
        phases_ = [{"phase": it.name, **asdict(it)} for it in phases(self)]
        return {
            **asdict(self),
            "phases": phases_,
            "said": list(said(self)),
            "problems": list(self.problems),
        }


@dataclass(frozen=True, slots=True)
class Side:
    """One defender over some days: recall at half a per cent of false positives, shares, money a day."""

    recall: float
    value_stopped: float
    lost_per_day: float
    false_declines_per_day: float

    @classmethod
    def of(cls, result: ContestResult, first: int, end: int) -> "Side":
        """Take the figures of days [first, end)."""
        days = result.days[first:end]
        false = sum(day.false_declines for day in days)
        return cls(
            result.recall(first, end),
            result.value_detected(first, end),
            result.lost_per_day(first, end),
            false / max(1, len(days)),
        )


@dataclass(frozen=True, slots=True)
class Phase:
    """Some days with a name, and both sides over them."""

    name: str
    first: int
    end: int
    service: Side
    never: Side


def phases(result: DemoResult) -> list[Phase]:
    """Return what the demo went through, and all days that began with a model."""
    plan, end = result.plan, len(result.days)
    modelled = plan.first_day + 1
    spans = [
        ("no model yet", 0, modelled),
        ("the gang alone", modelled, plan.bought_day),
        ("an analyst is bought", plan.bought_day, plan.audit_day + 1),
        ("after the audit; a bad file", plan.audit_day + 1, end),
        ("all days with a model", modelled, end),
    ]
    return [
        Phase(name, first, last, Side.of(result.service, first, last), Side.of(result.never, first, last))
        for name, first, last in spans
        if first < last
    ]


def said(result: DemoResult) -> tuple[str, ...]:
    """Say plainly what came of it, from the figures alone."""
    whole = phases(result)[-1]
    ours, theirs = whole.service, whole.never
    days = whole.end - whole.first
    share = ours.lost_per_day / theirs.lost_per_day if theirs.lost_per_day else float("nan")
    rather = "less" if share < 1 else "more"
    money = (
        f"In {days} days with a model the gang got {euros(ours.lost_per_day * days)} past the service and "
        f"{euros(theirs.lost_per_day * days)} past its first champion, never retrained: "
        f"{abs(1 - share):.0%} {rather}."
    )
    quality = (
        f"Recall at .5 % false positives was {ours.recall:.2f} against {theirs.recall:.2f}; "
        f"{ours.false_declines_per_day:.0f} honest payments a day were stopped, "
        f"against {theirs.false_declines_per_day:.0f}."
    )
    found = [money, quality]
    found += [_repaired(it) for it in result.repairs]
    froze = result.count("freeze")
    if not froze:
        found.append("The guard froze nothing.")
    return tuple(found)


def _repaired(repair: Repair) -> str:
    versions = len(repair.tainted)
    learned = f"{versions or 'no'} version{'s' * (versions != 1)} had learned from them"
    back = ""
    if repair.before != repair.after:
        back = f"; {repair.after or 'no version'} served again instead of {repair.before}"
    return f"Day {repair.day}: {repair.labels} labels cut out ({repair.why}); {learned}{back}."


def euros(minor: float) -> str:
    """Spell an amount in whole euros.

    >>> euros(1234567)
    '€ 12,346'
    """
    return f"€ {minor / 100:,.0f}"


def _problems(result: DemoResult) -> list[str]:
    found = []
    if result.failed:
        found.append(f"{len(result.failed)} requests or labels failed, first: {result.failed[0]}")
    if result.logged != result.payments:
        found.append(f"{result.payments} payments were answered, {result.logged} stand in the log")
    if result.unlike:
        found.append(
            f"{result.unlike} scores of the first champion differ between the service and the feature kernel "
            "in this process"
        )
    if not any(day.champion for day in result.days):
        found.append("no version was ever promoted")
    return found
