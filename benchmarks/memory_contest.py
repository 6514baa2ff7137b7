"""A contest in which an attack goes and returns, as a history: what was paid, what became known, who did it.

    day  0 ── before ── attack ──────── away ──────── back
            others    others + it     others        others + it      every payment is approved

Nobody declines, so that every model meets the same payments; a chargeback comes up to a week
after a fraud, and one in twenty never does. One gang plays both, for its numbers are unique.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from fraud.adversary.choosers import Scripted
from fraud.adversary.contest import Answers, Contest, ContestSettings
from fraud.adversary.economy import Economy, EconomySettings
from fraud.adversary.gang import Attempts, Filing, Gang
from fraud.adversary.honest import Bools, HonestTraffic, Payments
from fraud.adversary.statements import Statements
from fraud.adversary.strategy import Strategy, known_strategies
from fraud.adversary.tariff import Purse, Tariff
from fraud.records import MISSING_SURROGATE

ATTACK_SHARE = 0.5
"""Of the cards stolen on days of the attack."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """Days of a contest, in order: others alone, the attack beside them, others alone, the attack again."""

    before: int = 21
    attack: int = 3
    away: int = 35
    back: int = 3

    @property
    def left(self) -> int:
        """The first day without the attack."""
        return self.before + self.attack

    @property
    def returned(self) -> int:
        """The day on which it is back."""
        return self.left + self.away

    @property
    def days(self) -> int:
        """How many there are in all."""
        return self.returned + self.back

    def has_attack(self, day: int) -> bool:
        """Say whether the attack is played on a day."""
        return self.before <= day < self.left or day >= self.returned


@dataclass(frozen=True, slots=True)
class Size:
    """Cards, honest payments a day, and cards stolen a day."""

    cards: int
    payments: int
    stolen: float


@dataclass(frozen=True, slots=True)
class Recorded:
    """A contest as a history that `fraud import` takes, and the attack behind each fraud by its id."""

    start_us: int
    table: pl.DataFrame
    attacks: dict[str, str]


class Turns:
    """A `Chooser`: the attack for a share of the cards on its days, else the others in turn."""

    def __init__(self, attack: Strategy, others: Sequence[Strategy], calendar: Calendar) -> None:
        self._attack, self._others = attack, Scripted(others)
        self._calendar = calendar
        self.day = 0

    def draw(self, rng: np.random.Generator) -> Strategy:
        """Return the strategy of the next card that is stolen today."""
        is_attack = rng.random() < ATTACK_SHARE and self._calendar.has_attack(self.day)
        return self._attack if is_attack else self._others.draw(rng)

    def reward(self, strategy: Strategy, profit_minor: int, rng: np.random.Generator) -> None:
        """Learn nothing."""


class Watched:
    """An `Attacker` around a gang: its chooser is told the day, and what each fraud was is kept."""

    def __init__(self, gang: Gang, turns: Turns) -> None:
        self._gang, self._turns = gang, turns
        self._planned: tuple[str, ...] = ()
        self.attacks: dict[str, str] = {}

    @property
    def purse(self) -> Purse:
        """What the gang's attempts came to."""
        return self._gang.purse

    def plan(self, day: int, from_us: int, until_us: int, statements: Statements) -> Attempts:
        """Pass the gang's payments on."""
        self._turns.day = day
        attempts = self._gang.plan(day, from_us, until_us, statements)
        self._planned = attempts.strategies
        return attempts

    def see(self, ids: Sequence[str], approved: Bools) -> None:
        """Note what was what, and pass the answers on."""
        self.attacks.update(zip(ids, self._planned, strict=True))
        self._gang.see(ids, approved)

    def file(self, due: Sequence[Filing], now_us: int) -> list[Filing]:
        """Leave labels as they are."""
        return self._gang.file(due, now_us)


class Till:
    """A `Defender` that approves everything, and keeps what was paid and when which fraud became known."""

    name = "approves everything"
    retrains = 0

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.parts: list[Payments] = []
        self.known_us: dict[str, int] = {}

    def decide(self, ids: Sequence[str], payments: Payments) -> Answers:
        """Approve, without a score."""
        self.ids += ids
        self.parts.append(payments)
        return Answers(np.ones(len(ids), np.bool_), np.full(len(ids), np.nan))

    def learn(self, filings: Sequence[Filing], now_us: int) -> None:
        """Note chargebacks."""
        del now_us
        self.known_us |= {it.transaction_id: it.label_time_us for each in filings for it in each.labels}


def play(attack: str, seed: int, calendar: Calendar, size: Size) -> Recorded:
    """Play a contest in which a known strategy goes and returns; the same seed gives the same."""
    traffic = Economy(
        EconomySettings(seed=seed, days=calendar.days, cards=size.cards, transactions_per_day=size.payments)
    )
    known = {strategy.name: strategy for strategy in known_strategies()}
    turns = Turns(known.pop(attack), tuple(known.values()), calendar)
    gang = Gang(traffic, turns, Tariff.of(traffic.settings), cards_per_day=size.stolen, seed=seed)
    watched, till = Watched(gang, turns), Till()
    Contest(traffic, watched, till, ContestSettings(seed=seed, days=calendar.days)).play()
    return Recorded(traffic.start_us, _table(traffic, till), watched.attacks)


def _table(traffic: HonestTraffic, till: Till) -> pl.DataFrame:
    payments, _ = Payments.merged(till.parts)
    schema = traffic.settings.schema_
    tokens = {
        name: [
            None if number == MISSING_SURROGATE else traffic.token(kind, number)
            for number in payments.surrogates[:, kind].tolist()
        ]
        for kind, name in enumerate(schema.entity_names)
    }
    words = {
        name: [traffic.words[place][word] for word in payments.words[:, place].tolist()]
        for place, name in enumerate(schema.categorical_names)
    }
    return pl.DataFrame(
        {
            "id": till.ids,
            "time_us": payments.event_time_us,
            "amount_minor": payments.amount_minor,
            **tokens,
            **{name: payments.numerics[:, place] for place, name in enumerate(schema.numeric_names)},
            **words,
            "is_known_fraud": [int(name in till.known_us) for name in till.ids],
            "known_us": [till.known_us.get(name) for name in till.ids],
        }
    )
