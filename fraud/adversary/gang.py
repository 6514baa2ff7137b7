"""A gang: steals cards, uses each by the strategy it chose, sees accept or decline, counts its money.

    plan(span) ─▶ attempts ─▶ … decided by somebody … ─▶ see(approved) ─▶ profit of used cards ─▶ chooser

What it sees of the defender is one bit for each attempt. What it knows beside that is
public (which merchants are busy) or stolen (statements of accounts taken over).

Chance is dealt out by theft and by span, not in the order of what happens: of two defenders met with one
seed, a card that is stolen at the same place in the line has the same luck, so what differs between them
is what they did (common random numbers: Law 2015, "Simulation Modeling and Analysis", section 11.2).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fraud.adversary.choosers import Chooser
from fraud.adversary.held_card import HeldCard, Step
from fraud.adversary.honest import (
    CARD,
    DEVICE,
    MERCHANT,
    Bools,
    HonestTraffic,
    Ints,
    Payments,
    kind_of,
    required_kind,
)
from fraud.adversary.statements import Statements
from fraud.adversary.strategy import Strategy
from fraud.adversary.tariff import Purse, Tariff
from fraud.clock import DAY_US
from fraud.errors import ConfigError
from fraud.records import MISSING_SURROGATE, Label

_BUSY_SHARE = 0.1
_COLLUDING = 6
_CREW_CARDS = 30
_DRAWS = 50


@dataclass(frozen=True, slots=True)
class Attempts:
    """Payments of attackers in time order, the strategy behind each, and whether it is fraud."""

    payments: Payments
    strategies: tuple[str, ...]
    is_fraud: Bools


@dataclass(frozen=True, slots=True)
class Filing:
    """Labels that somebody hands in at once."""

    source: str
    submitter: str
    labels: tuple[Label, ...]


class Attacker(Protocol):
    """Whoever injects payments into a stream and is answered."""

    @property
    def purse(self) -> Purse:
        """What all attempts so far came to."""
        ...

    def plan(self, day: int, from_us: int, until_us: int, statements: Statements) -> Attempts:
        """Return the payments of a span, which lies within a day; `see` comes before the next."""
        ...

    def see(self, ids: Sequence[str], approved: Bools) -> None:
        """Take the answers to what `plan` returned."""
        ...

    def file(self, due: Sequence[Filing], now_us: int) -> list[Filing]:
        """Return what is handed in by the end of a day; who only steals leaves the labels due as they are."""
        ...


class Gang:
    """Attackers with a chooser. `cards_per_day` are stolen on average, whatever they bring.

    Raises:
        ConfigError: `[attacks]` controls too little for any strategy that was drawn.
        ValueError: the schema has no card or no merchant.
    """

    def __init__(
        self, traffic: HonestTraffic, chooser: Chooser, tariff: Tariff, *, cards_per_day: float, seed: int
    ) -> None:
        self._traffic = traffic
        self._chooser = chooser
        self._tariff = tariff
        self._cards_per_day = cards_per_day
        self._seed = seed
        self._stolen = 0
        settings = traffic.settings
        self._kinds = len(settings.schema_.entity_names)
        self._card, self._merchant = required_kind(settings, CARD), required_kind(settings, MERCHANT)
        self._device = kind_of(settings, DEVICE)
        self._amount_max = settings.schema_.amount.max_minor
        self._numbers = list(traffic.entities)
        self._crews: dict[str, tuple[int, int]] = {}
        self._mule = (0, 0)
        self._colluding: Ints | None = None
        self._held: list[HeldCard] = []
        self._planned: list[tuple[HeldCard, Step]] = []
        self._closed = Purse()

    @property
    def purse(self) -> Purse:
        """What all cards so far came to."""
        total = Purse()
        total.add(self._closed)
        for held in self._held:
            total.add(held.purse)
        return total

    def plan(self, day: int, from_us: int, until_us: int, statements: Statements) -> Attempts:
        """Steal some cards and return the payments of a span."""
        self._close()
        merchants = self._traffic.merchants(day)
        self._steal(day, from_us, until_us, statements)
        planned = [
            (held, step)
            for held in self._held
            for step in held.steps(from_us, until_us, self._tariff, self._amount_max)
        ]
        self._planned = sorted(planned, key=lambda pair: pair[1].event_time_us)
        return Attempts(
            self._payments(from_us, merchants, statements),
            tuple(held.strategy.name for held, _ in self._planned),
            np.array([step.is_fraud for _, step in self._planned], np.bool_),
        )

    def see(self, ids: Sequence[str], approved: Bools) -> None:
        """Count money and declines, and let the chooser know of cards that are used up."""
        del ids
        for (held, step), is_approved in zip(self._planned, approved.tolist(), strict=True):
            held.answered(step, self._tariff, approved=is_approved)
        self._planned = []
        self._close()

    def file(self, due: Sequence[Filing], now_us: int) -> list[Filing]:
        """Leave labels as they are."""
        del now_us
        return list(due)

    def _close(self) -> None:
        for held in [held for held in self._held if held.used_up]:
            self._closed.add(held.purse)
            self._chooser.reward(held.strategy, held.purse.profit_minor, held.rng)
        self._held = [held for held in self._held if not held.used_up]

    def _steal(self, day: int, from_us: int, until_us: int, statements: Statements) -> None:
        rng = np.random.default_rng([self._seed, 21, from_us])
        count = int(rng.poisson(self._cards_per_day * (until_us - from_us) / DAY_US))
        held_now = [held.card for held in self._held]
        # Drawn among all cards, so that one that is held still moves no other's place in the line.
        drawn = rng.permutation(self._traffic.cards(day))[: count + len(held_now)]
        for card in drawn[~np.isin(drawn, held_now)][:count].tolist():
            rng = np.random.default_rng([self._seed, 29, self._stolen])
            self._stolen += 1
            strategy = self._strategy(rng)
            amount = strategy.amount_minor
            usual = statements.usual_minor(card) if strategy.usual_percent else 0
            if usual:
                amount = max(100, usual * strategy.usual_percent // 100)
            self._held.append(
                HeldCard(
                    card=self._new(self._card) if strategy.access == "opened" else card,
                    strategy=strategy,
                    next_us=int(rng.integers(from_us, until_us)),
                    amount_minor=amount,
                    device=self._device_for(strategy, card, statements),
                    merchant=self._mule_for() if strategy.merchant == "mule" else None,
                    purse=Purse(access_minor=self._tariff.access_minor(strategy)),
                    rng=rng,
                )
            )

    def _strategy(self, rng: np.random.Generator) -> Strategy:
        for _ in range(_DRAWS):
            strategy = self._chooser.draw(rng)
            refusal = self._tariff.refusal(strategy)
            if not refusal:
                return strategy
            self._chooser.reward(strategy, -self._tariff.access_minor(strategy), rng)
        raise ConfigError(
            f"strategy {strategy.name}: needs {refusal}, which the configuration does not let a fraudster "
            "control; add it to [attacks], or give other strategies"
        )

    def _new(self, kind: int) -> int:
        self._numbers[kind] += 1
        return self._numbers[kind] - 1

    def _device_for(self, strategy: Strategy, card: int, statements: Statements) -> int:
        if self._device is None:
            return MISSING_SURROGATE
        own = statements.device(card) if strategy.device == "own" else None
        if own is not None:
            return own
        if strategy.device != "crew":
            return self._new(self._device)
        device, cards = self._crews.get(strategy.name, (MISSING_SURROGATE, _CREW_CARDS))
        if cards >= _CREW_CARDS:
            device, cards = self._new(self._device), 0
        self._crews[strategy.name] = (device, cards + 1)
        return device

    def _mule_for(self) -> int:
        merchant, cards_left = self._mule
        if not cards_left:
            merchant, cards_left = self._new(self._merchant), self._tariff.prices.mule_cards
        self._mule = (merchant, cards_left - 1)
        return merchant

    def _merchant_of(self, held: HeldCard, merchants: Ints, statements: Statements) -> int:
        """Return where the next payment of a card goes."""
        if held.merchant is not None:
            return held.merchant
        choice = held.strategy.merchant
        known = statements.merchant(held.card) if choice == "habitual" else None
        if known is not None:
            return known
        if choice == "busy":
            merchants = merchants[: max(1, int(len(merchants) * _BUSY_SHARE))]
        elif choice == "colluding":
            if self._colluding is None:
                middle = merchants[len(merchants) // 4 : max(1, 3 * len(merchants) // 4)]
                rng = np.random.default_rng([self._seed, 30])
                self._colluding = rng.choice(middle, min(_COLLUDING, len(middle)), replace=False)
            merchants = self._colluding
        return int(held.rng.choice(merchants))

    def _payments(self, from_us: int, merchants: Ints, statements: Statements) -> Payments:
        planned, schema = self._planned, self._traffic.settings.schema_
        n = len(planned)
        surrogates = np.full((n, self._kinds), MISSING_SURROGATE, np.int32)
        numerics = np.full((n, len(schema.numeric_names)), np.nan)
        words = np.zeros((n, len(schema.categorical_names)), np.int64)
        surrogates[:, self._card] = [held.card for held, _ in planned]
        surrogates[:, self._merchant] = [
            self._merchant_of(held, merchants, statements) for held, _ in planned
        ]
        if self._device is not None:
            surrogates[:, self._device] = [held.device for held, _ in planned]
        rng = np.random.default_rng([self._seed, 31, from_us])
        is_near = np.array([held.strategy.distance == "near" for held, _ in planned], np.bool_)
        for near in (False, True):
            at = np.flatnonzero(is_near == near)
            cards, where = surrogates[at, self._card], surrogates[at, self._merchant]
            numerics[at], words[at] = self._traffic.dress(
                rng, cards.astype(np.int64), where.astype(np.int64), near=near
            )
        return Payments(
            np.array([step.event_time_us for _, step in planned], np.int64),
            surrogates,
            np.array([step.amount_minor for _, step in planned], np.int64),
            numerics,
            words,
        )
