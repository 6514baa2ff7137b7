"""The closed loop in one process: honest days, attackers between them, a defender who decides and learns.

    for each day, for each of its rounds:
        honest payments of the span + attackers' plan ─ in time order ─▶ defender.decide
          ─▶ attackers see approved or not          (nothing else)
    end of the day:  labels that have become known, false ones among them ─▶ defender.learn

A defender is anything that decides and learns: light models here (`defenders`), the real
service behind its client. Attackers and labels draw from generators of their own, dealt out so that every
defender meets the same opponents with the same luck; what they do differs only by the answers they get.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from fraud.adversary.contest_figures import ContestDay, ContestResult, caught_at_fpr, family
from fraud.adversary.gang import Attacker, Filing
from fraud.adversary.honest import Bools, Floats, HonestTraffic, Ints, Payments
from fraud.adversary.statements import Statements
from fraud.adversary.verdicts import LabelRules, Verdicts
from fraud.clock import DAY_US


@dataclass(frozen=True, slots=True)
class Answers:
    """What a defender says to n payments: `approved` bool[n]; `scores` float64[n], NaN without a model.

    Anything but APPROVE stops a fraudster, as in `fraud.attacks.target`; higher scores are riskier.
    """

    approved: Bools
    scores: Floats


class Defender(Protocol):
    """Decides about payments and learns from labels. Payments come in time order."""

    @property
    def name(self) -> str:
        """What it is called in tables."""
        ...

    @property
    def retrains(self) -> int:
        """How many models it has fitted so far, the first among them."""
        ...

    def decide(self, ids: Sequence[str], payments: Payments) -> Answers:
        """Answer payments, each by what stood before it."""
        ...

    def learn(self, filings: Sequence[Filing], now_us: int) -> None:
        """Take the labels of a day that ended at `now_us`, and retrain if it is time."""
        ...


@dataclass(frozen=True, slots=True)
class ContestSettings:
    """How long is played, and how often attackers see answers: `rounds` a day, which divide it evenly."""

    seed: int = 7
    days: int = 90
    rounds: int = 8
    rules: LabelRules = field(default_factory=LabelRules)

    def __post_init__(self) -> None:
        if self.rounds < 1 or DAY_US % self.rounds:
            raise ValueError(f"rounds: {self.rounds} a day do not divide it evenly; give 4, 8, 12 or 24")


@dataclass(frozen=True, slots=True)
class _Round:
    """One span as it was decided, with the truth."""

    is_fraud: Bools
    amount_minor: Ints
    approved: Bools
    scores: Floats
    attempted: Counter[str]


class Contest:
    """One run of attackers against a defender, over days of honest traffic.

    `frauds` gains the id of every fraud once it is decided: what somebody finds who looks into a payment.
    """

    def __init__(
        self,
        traffic: HonestTraffic,
        attacker: Attacker,
        defender: Defender,
        settings: ContestSettings,
        frauds: set[str] | None = None,
    ) -> None:
        if settings.days > traffic.days:
            raise ValueError(f"days: {settings.days} are asked for, the traffic has {traffic.days}")
        self._traffic = traffic
        self._attacker = attacker
        self._defender = defender
        self._settings = settings
        self._frauds = set() if frauds is None else frauds
        self._statements = Statements(traffic)
        self._verdicts = Verdicts(settings.rules, settings.seed)

    def play(self, progress: Callable[[ContestDay], None] | None = None) -> ContestResult:
        """Play all days and return what they came to; `progress` is called after each."""
        days = []
        for day in self.days():
            days.append(day)
            if progress is not None:
                progress(day)
        return ContestResult(self._defender.name, self._settings.seed, tuple(days))

    def days(self) -> Iterator[ContestDay]:
        """Play a day with each step and yield what it came to; for contests that are played side by side."""
        for index in range(self._settings.days):
            yield self._day(index)

    def _day(self, index: int) -> ContestDay:
        start_us = self._traffic.start_us + index * DAY_US
        profit, retrains = self._attacker.purse.profit_minor, self._defender.retrains
        honest = self._traffic.day(index)
        span_us = DAY_US // self._settings.rounds
        bounds = start_us + span_us * np.arange(self._settings.rounds + 1)
        cuts = np.searchsorted(honest.event_time_us, bounds)
        rounds = []
        for place in range(self._settings.rounds):
            part = honest.part(int(cuts[place]), int(cuts[place + 1]))
            rounds.append(self._round(f"{index:04d}-{place:02d}", index, part, int(bounds[place]), span_us))
        now_us = start_us + DAY_US
        self._defender.learn(self._attacker.file(self._verdicts.due(now_us), now_us), now_us)
        return _figures(
            index,
            rounds,
            self._attacker.purse.profit_minor - profit,
            self._defender.retrains - retrains,
        )

    def _round(self, name: str, day: int, honest: Payments, from_us: int, span_us: int) -> _Round:
        attempts = self._attacker.plan(day, from_us, from_us + span_us, self._statements)
        payments, order = Payments.merged([honest, attempts.payments])
        ids = [f"{name}-{number:06d}" for number in range(len(payments))]
        answers = self._defender.decide(ids, payments)
        place = np.empty(len(order), np.intp)
        place[order] = np.arange(len(order))
        theirs = place[len(honest) :]
        self._attacker.see([ids[at] for at in theirs.tolist()], answers.approved[theirs])
        is_fraud = np.zeros(len(payments), np.bool_)
        is_fraud[theirs] = attempts.is_fraud
        self._frauds.update(ids[at] for at in np.flatnonzero(is_fraud).tolist())
        is_attempt = np.zeros(len(payments), np.bool_)
        is_attempt[theirs] = True
        self._verdicts.expect(ids, payments.event_time_us, is_fraud, answers.approved, is_attempt)
        self._statements.note(honest)
        attempted: Counter[str] = Counter()
        amounts = payments.amount_minor[theirs] * attempts.is_fraud
        for strategy, amount in zip(attempts.strategies, amounts.tolist(), strict=True):
            attempted[family(strategy)] += amount
        return _Round(is_fraud, payments.amount_minor, answers.approved, answers.scores, attempted)


def _figures(index: int, rounds: Sequence[_Round], profit_minor: int, retrains: int) -> ContestDay:
    is_fraud = np.concatenate([each.is_fraud for each in rounds])
    amounts = np.concatenate([each.amount_minor for each in rounds])
    approved = np.concatenate([each.approved for each in rounds])
    scores = np.concatenate([each.scores for each in rounds])
    attempted: Counter[str] = sum((each.attempted for each in rounds), Counter())
    return ContestDay(
        day=index,
        honest=int(np.count_nonzero(~is_fraud)),
        frauds=int(np.count_nonzero(is_fraud)),
        caught=caught_at_fpr(is_fraud, scores),
        detected=int(np.count_nonzero(is_fraud & ~approved)),
        false_declines=int(np.count_nonzero(~is_fraud & ~approved)),
        attempted_minor=int(amounts[is_fraud].sum()),
        detected_minor=int(amounts[is_fraud & ~approved].sum()),
        lost_minor=int(amounts[is_fraud & approved].sum()),
        profit_minor=profit_minor,
        retrains=retrains,
        attempted=dict(attempted),
    )
