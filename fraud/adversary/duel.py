"""The demo's run: the gang against the running service, and the same gang against its first champion.

    for each day:   service's contest plays it ─▶ ledger told, operator acts, ledger told again
                    the other contest plays it; when the service has its first champion, that is adopted

Both contests have honest payments, gang, analysts and mishaps of the same seed. They part on the day
after the service promotes its second version; what differs from then on follows from the answers,
and from exclusions, which mend the features of the service alone.
"""

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

import numpy as np

from fraud.adversary.choosers import EpsilonGreedy
from fraud.adversary.chronicle import Chronicle, Happening
from fraud.adversary.contest import Contest, ContestSettings, Defender
from fraud.adversary.contest_figures import ContestDay, ContestResult
from fraud.adversary.economy import Economy
from fraud.adversary.figures import DemoDay, DemoResult, Plan
from fraud.adversary.frozen import FirstChampion, Heard
from fraud.adversary.gang import Attacker, Gang
from fraud.adversary.incident import BadFile, Operator, Repair
from fraud.adversary.poisoner import ACCOUNT, ANALYSTS, Poisoner, PoisonSettings
from fraud.adversary.review import Reviewed
from fraud.adversary.serviced import MODEL, ServiceDefender
from fraud.adversary.strategy import known_strategies
from fraud.adversary.tariff import Tariff
from fraud.adversary.telling import Standing, Teller
from fraud.adversary.verdicts import LabelRules
from fraud.bundle.store import BundleStore
from fraud.client import Client
from fraud.clock import DAY_US
from fraud.eventlog.folder import open_log
from fraud.monitoring.scrape import Endpoint, scrape
from fraud.records import Scored
from fraud.registry.store import LedgerStore

_DEADLINE_SECONDS = 60.0
_READ_ENTRIES = 20_000


@dataclass(frozen=True, slots=True)
class _Side:
    """One contest under way, the gang in it, and its days so far."""

    contest: Contest
    chooser: EpsilonGreedy
    heard: Heard
    days: list[ContestDay]


class Duel:
    """Plays a plan against a service that is ready, once; a context manager."""

    def __init__(self, plan: Plan, economy: Economy, service: ServiceDefender, teller: Teller) -> None:
        self._plan = plan
        self._economy = economy
        self._service = service
        self._teller = teller
        settings = service.stage.settings
        self._never = FirstChampion(economy)
        self._sides = self._side(service), self._side(self._never)
        self._ledger = LedgerStore.open(settings.places.ledger, writable=False)
        self._bundles = BundleStore(settings.places.bundles)
        self._client = Client(service.stage.target, deadline_s=_DEADLINE_SECONDS, retries=0)
        self._operator = Operator(self._client, MODEL, ACCOUNT, plan.audit_day)
        self._chronicle = Chronicle()
        self._told = 0
        self._days: list[DemoDay] = []
        self._happenings: list[Happening] = []
        self._repairs: list[Repair] = []
        self._alike = self._unlike = 0

    def _side(self, defender: Defender) -> _Side:
        plan, economy = self._plan, self._economy
        chooser = EpsilonGreedy(known_strategies())
        tariff = Tariff.of(economy.settings)
        gang: Attacker = Gang(economy, chooser, tariff, cards_per_day=plan.stolen, seed=plan.seed)
        bought = PoisonSettings(disputes_per_day=0.0, from_day=plan.bought_day)
        gang = Poisoner(gang, economy, bought, tariff.prices, seed=plan.seed)
        frauds: set[str] = set()
        heard = Heard(defender)
        filed = BadFile(heard, economy.start_us + (plan.file_day + 1) * DAY_US)
        reviewed = Reviewed(filed, plan.reviews, frauds.__contains__)
        rules = LabelRules(analysts=ANALYSTS)
        settings = ContestSettings(seed=plan.seed, days=plan.days, rules=rules)
        return _Side(Contest(economy, gang, reviewed, settings, frauds), chooser, heard, [])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._ledger.close()

    def play(self, setup_seconds: float) -> DemoResult:
        """Play every day and return what was measured; `setup_seconds` went before.

        Raises:
            Unavailable: a process ended, or hung.
        """
        started = time.monotonic()
        ours, theirs = self._sides
        for mine, its in zip(ours.contest.days(), theirs.contest.days(), strict=True):
            ours.days.append(mine)
            theirs.days.append(its)
            self._evening(mine.day)
        plan, seed = self._plan, self._plan.seed
        return DemoResult(
            plan=plan,
            service=ContestResult("the service", seed, tuple(ours.days)),
            never=ContestResult("never retrained", seed, tuple(theirs.days)),
            days=tuple(self._days),
            happenings=tuple(self._happenings),
            repairs=tuple(self._repairs),
            payments=sum(day.honest + day.frauds for day in ours.days),
            logged=self._logged(),
            alike=self._alike,
            unlike=self._unlike,
            retrains=self._service.retrains,
            failed=tuple(self._service.failed),
            setup_seconds=setup_seconds,
            seconds=time.monotonic() - started,
        )

    def _evening(self, day: int) -> None:
        """Take in what a day came to, have the operator look, and tell of it."""
        self._compare()
        found = [*self._announced(day), *self._read_ledger(day), *self._probed(day)]
        repairs = self._operator.act(day, frozen=self._chronicle.frozen, suspects=self._chronicle.suspects)
        if repairs:
            self._service.learn([], self._economy.start_us + (day + 1) * DAY_US)
            found += self._read_ledger(day)
        champion = self._chronicle.champion
        if champion and not self._never.version:
            digest = self._client.get_version(champion).version.digest
            self._never.adopt(champion, self._bundles.read(digest))
        self._repairs += repairs
        self._happenings += found
        self._days.append(self._told_day(day))
        self._teller.day(self._standing(found))

    def _compare(self) -> None:
        """Hold the day's scores against each other if both had one champion, and nothing had parted them."""
        mine, its = (side.heard.take() for side in self._sides)
        champion = self._chronicle.champion
        # An exclusion mends the service's features too, and the other side has nobody who mends.
        parted = self._repairs or not self._only_one_so_far()
        if champion and champion == self._never.version and not parted:
            alike = int(np.count_nonzero(mine == its)) if len(mine) == len(its) else 0
            self._alike += alike
            self._unlike += max(len(mine), len(its)) - alike

    def _only_one_so_far(self) -> bool:
        return len({day.champion for day in self._days if day.champion}) <= 1

    def _announced(self, day: int) -> list[Happening]:
        """Return what the gang's side and the processor did, which no ledger knows."""
        plan, found = self._plan, []
        if day == plan.bought_day:
            text = f"the gang has bought {ACCOUNT}, who files its frauds as legitimate from now on"
            found.append(Happening(day, "attack", text))
        if day == plan.file_day:
            found.append(Happening(day, "attack", "a processor's file calls eight hours of payments fraud"))
        return found

    def _read_ledger(self, day: int) -> list[Happening]:
        found: list[Happening] = []
        for entry in self._ledger.read(self._told):
            self._told = entry.seq
            found += self._chronicle.tell(entry, day)
        return found

    def _probed(self, day: int) -> list[Happening]:
        """Return the patterns of testing that are beyond chance now and were not the evening before."""
        before = set(self._days[-1].probing) if self._days else set()
        return [
            Happening(day, "probing", f"probing alarm: {pattern}")
            for pattern in self._probing()
            if pattern not in before
        ]

    def _probing(self) -> tuple[str, ...]:
        settings = self._service.stage.settings
        port = settings.monitoring.retrainer_port
        samples = scrape(Endpoint.of(settings.monitoring, settings.client, port), "fraud_probing_findings")
        if samples is None:
            return ()
        found = samples.find("fraud_probing_findings", model=MODEL)
        return tuple(sorted(f"{it.labels['pattern']} of {it.labels['kind']}" for it in found if it.value))

    def _told_day(self, day: int) -> DemoDay:
        date = datetime.fromtimestamp(self._economy.start_us / 1e6, UTC) + timedelta(days=day)
        chooser = self._sides[0].chooser
        names = [strategy.name for strategy in known_strategies()]
        return DemoDay(
            day=day,
            date=date.date().isoformat(),
            champion=self._chronicle.champion,
            frozen=self._chronicle.frozen,
            probing=self._probing(),
            believed=dict(zip(names, chooser.worth.tolist(), strict=True)),
        )

    def _standing(self, found: Sequence[Happening]) -> Standing:
        ours, theirs = self._sides
        return Standing(
            plan=self._plan,
            day=self._days[-1],
            service=ContestResult("the service", self._plan.seed, tuple(ours.days)),
            never=ContestResult("never retrained", self._plan.seed, tuple(theirs.days)),
            found=tuple(found),
            happenings=tuple(self._happenings),
        )

    def _logged(self) -> int:
        """Count the payments that stand in the service's log."""
        position = count = 0
        with closing(open_log(self._service.stage.settings)) as log:
            while entries := log.read(position, _READ_ENTRIES):
                position = entries[-1].position
                count += sum(isinstance(entry.event, Scored) for entry in entries)
        return count
