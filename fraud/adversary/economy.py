"""Honest traffic of our own making: cards, merchants and devices that come, go, travel and change.

    drawn once from the seed:  card (since, until, pace, amounts, home, favourites, devices, trips) · merchant
    per day:  pace × week × sales × sprees → Poisson counts → time of day → merchant → amount, device, place

A day depends on the seed and its number alone, so days come in any order; all of a day
is drawn at once (numpy). `EconomySettings.stationary` gives days that all come from one
distribution; with drift, prices rise, purchases move online and cards and merchants are
replaced, so that a model ages without any attacker. Payments fit the demo's schema.
"""

import tomllib
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Self

import numpy as np

from fraud.adversary.honest import Bools, Floats, Ints, Payments
from fraud.clock import DAY_US, HOUR_US
from fraud.records import MISSING_SURROGATE
from fraud.settings import Settings
from fraud.settings.load import settings_from

START_US = 1_772_409_600_000_000
"""Midnight of Monday 2026-03-02, UTC: day 0."""
CHANNELS = ("pos", "online", "phone")
POS, ONLINE, PHONE = range(3)
COUNTRIES = ("BE", "NL", "FR", "DE", "LU", "GB", "US", "TR")
NO_DEVICE = MISSING_SURROGATE
PUBLIC_DEVICES = 60

# Share of a day's purchases by hour, midnight first: quiet nights, lunch, evening.
_HOURS = np.array(
    [2, 1, 1, 1, 1, 2, 5, 12, 22, 28, 32, 36, 44, 40, 34, 33, 36, 44, 50, 46, 36, 24, 14, 6], dtype=np.float64
)
_HOURS_CUMULATIVE = np.cumsum(_HOURS) / _HOURS.sum()
_WEEK = np.array([0.95, 0.92, 0.95, 1.0, 1.16, 1.22, 0.8])
_FAVOURITES = 8
_HABIT = 0.75


@dataclass(frozen=True, slots=True)
class EconomySettings:
    """Size of the economy, and what moves in it. Rates are shares per day; 0 stands still.

    `growth` new cards and merchants beyond those that replace others, `turnover` of cards
    and merchants replaced, `inflation` of amounts, `online_drift` of the log-odds of buying
    online; `sales_share` of days are sales, `spree_share` of cards have a spree on a day,
    `travel_share` of a card's days are abroad.
    """

    seed: int = 7
    days: int = 90
    cards: int = 6_000
    merchants: int = 400
    transactions_per_day: int = 5_000
    weekly: bool = True
    growth: float = 0.001
    turnover: float = 0.0005
    inflation: float = 0.0003
    online_drift: float = 0.004
    sales_share: float = 0.03
    spree_share: float = 0.002
    travel_share: float = 0.03

    def stationary(self) -> Self:
        """Return the same economy with nothing that moves from day to day."""
        return replace(
            self, weekly=False, growth=0.0, turnover=0.0, inflation=0.0, online_drift=0.0, sales_share=0.0
        )


@dataclass(frozen=True, slots=True)
class _Lives:
    """From which day to which day each number is in business; those of day 0 come first."""

    since: Ints
    until: Ints

    @classmethod
    def drawn(cls, rng: np.random.Generator, count: int, settings: EconomySettings) -> Self:
        born = rng.poisson(count * (settings.growth + settings.turnover), settings.days)
        since = np.concatenate([np.zeros(count, np.int64), np.repeat(np.arange(settings.days), born)])
        n = len(since)
        last = np.full(n, settings.days, np.int64)
        if settings.turnover:
            last = since + 1 + rng.exponential(1 / settings.turnover, n).astype(np.int64)
        return cls(since, last)

    def alive(self, day: int) -> Bools:
        """Mark those in business on a day."""
        return (self.since <= day) & (day < self.until)


class Economy:
    """Makes any day of honest payments, as `HonestTraffic`; the same settings give the same days."""

    def __init__(self, settings: EconomySettings) -> None:
        self.economy = settings
        self.start_us = START_US
        self.days = settings.days
        self.words = (CHANNELS, COUNTRIES)
        rng = np.random.default_rng([settings.seed, 11])
        self._card_lives = _Lives.drawn(rng, settings.cards, settings)
        self._merchant_lives = _Lives.drawn(rng, settings.merchants, settings)
        cards, merchants = len(self._card_lives.since), len(self._merchant_lives.since)
        pace = rng.gamma(2.0, 1.0, cards)
        self._pace = pace * settings.transactions_per_day / pace[: settings.cards].sum()
        self._amount_log = rng.normal(3.2, 0.5, cards)
        self._online = rng.beta(2.0, 2.5, cards)
        self._home = rng.uniform(0.0, 300.0, (cards, 2))
        own = np.arange(cards, dtype=np.int64)
        self._device = np.where((own % 2 == 1) & (rng.random(cards) < 0.3), own - 1, own)
        self._device_replaced = rng.geometric(0.004, cards)
        self._trip_phase = rng.integers(0, 400, cards)
        self._trip_country = rng.integers(0, len(COUNTRIES), cards)
        self._weight = 1.0 / (rng.permutation(merchants) + 8.0) ** 0.8
        self._favourites = rng.choice(
            merchants, (cards, _FAVOURITES), p=self._weight / self._weight.sum()
        ).astype(np.int64)
        self._place = rng.uniform(0.0, 300.0, (merchants, 2))
        self._country = rng.choice(8, merchants, p=[0.52, 0.1, 0.1, 0.1, 0.03, 0.05, 0.06, 0.04])
        self._price_log = rng.normal(0.0, 0.35, merchants)
        self.entities = (cards, merchants, 2 * cards + PUBLIC_DEVICES)
        self.settings = demo_settings(2 * max(self.entities))

    def day(self, index: int) -> Payments:
        """Draw the honest payments of one day, in time order."""
        rng = np.random.default_rng([self.economy.seed, 12, index])
        card = self._buyers(rng, index)
        n = len(card)
        away = (index + self._trip_phase[card]) % 400 < 400 * self.economy.travel_share
        merchant = self._bought_at(rng, card, away, index)
        channel = self._channels(rng, card, index)
        times = START_US + index * DAY_US + _times_of_day(rng, n)
        order = np.argsort(times, kind="stable")
        gap = self._home[card] - self._place[merchant]
        near = np.where(channel == POS, np.hypot(gap[:, 0], gap[:, 1]) * 0.2, rng.exponential(12.0, n))
        distance = np.where(away, rng.uniform(300.0, 3_000.0, n), near)
        country = np.where(away, self._trip_country[card], self._country[merchant])
        device = np.where(channel == ONLINE, self._devices(rng, card, index), NO_DEVICE)
        return Payments(
            times[order],
            np.column_stack([card, merchant, device]).astype(np.int32)[order],
            self._amounts(rng, card, merchant, index)[order],
            distance[order, None],
            np.column_stack([channel, country])[order],
        )

    def _buyers(self, rng: np.random.Generator, day: int) -> Ints:
        economy = self.economy
        factor = _WEEK[day % 7] if economy.weekly else 1.0
        if rng.random() < economy.sales_share:
            factor *= rng.uniform(1.3, 1.8)
        sprees = rng.random(len(self._pace)) < economy.spree_share
        pace = self._pace * factor * np.where(sprees, rng.uniform(4.0, 10.0), 1.0)
        return np.repeat(np.arange(len(pace)), rng.poisson(np.where(self._card_lives.alive(day), pace, 0.0)))

    def _bought_at(self, rng: np.random.Generator, card: Ints, away: Bools, day: int) -> Ints:
        alive = self._merchant_lives.alive(day)
        shares = np.cumsum(np.where(alive, self._weight, 0.0))
        n = len(card)
        other = np.searchsorted(shares, rng.random(n) * shares[-1], side="right")
        favourite = self._favourites[card, rng.integers(0, _FAVOURITES, n)]
        habit = (rng.random(n) < _HABIT) & ~away & alive[favourite]
        return np.where(habit, favourite, other).astype(np.int64)

    def _channels(self, rng: np.random.Generator, card: Ints, day: int) -> Ints:
        share = self._online[card]
        odds = share / (1 - share) * np.exp(self.economy.online_drift * day)
        channel = np.where(rng.random(len(card)) < odds / (1 + odds), ONLINE, POS)
        channel[rng.random(len(card)) < 0.02] = PHONE
        return channel.astype(np.int64)

    def _devices(self, rng: np.random.Generator, card: Ints, day: int) -> Ints:
        """Draw devices: the owner's (a replaced one has a new number), at times a public one."""
        cards, n = len(self._device), len(card)
        own = self._device[card] + np.where(day >= self._device_replaced[card], cards, 0)
        return np.where(rng.random(n) < 0.02, 2 * cards + rng.integers(0, PUBLIC_DEVICES, n), own)

    def _amounts(self, rng: np.random.Generator, card: Ints, merchant: Ints, day: int) -> Ints:
        n = len(card)
        log = self._amount_log[card] + self._price_log[merchant] + rng.normal(0.0, 0.6, n)
        large = np.where(rng.random(n) < 0.03, rng.uniform(2.0, 7.0, n), 1.0)
        return _cents(np.exp(log) * 100.0 * large * (1 + self.economy.inflation) ** day)

    def cards(self, index: int) -> Ints:
        """Return the cards in use on a day."""
        return np.flatnonzero(self._card_lives.alive(index))

    def merchants(self, index: int) -> Ints:
        """Return the merchants in business on a day, the busiest first."""
        alive = np.flatnonzero(self._merchant_lives.alive(index))
        return alive[np.argsort(-self._weight[alive], kind="stable")]

    def dress(
        self, rng: np.random.Generator, cards: Ints, merchants: Ints, *, near: bool
    ) -> tuple[Floats, Ints]:
        """Return distance, channel and country of online payments from far away or a proxy nearby."""
        n = len(cards)
        known = merchants < len(self._country)
        country = np.where(known, self._country[np.where(known, merchants, 0)], 0)
        distance = rng.exponential(12.0 if near else 250.0, n)
        return distance[:, None], np.column_stack([np.full(n, ONLINE), country]).astype(np.int64)

    def token(self, kind: int, number: int) -> str:
        """Return `card-17`, `merchant-4`, `device-90`."""
        return f"{self.settings.schema_.entity_names[kind]}-{number}"


def demo_settings(entities: int) -> Settings:
    """Return the demo's configuration with room for so many entities, and a distance that may be hidden."""
    text = files("fraud.adversary").joinpath("demo.toml").read_text(encoding="utf-8")
    tables = tomllib.loads(text)
    tables["features"]["entities_max"] = max(entities, tables["features"]["entities_max"])
    attacks = tables.setdefault("attacks", {})
    attacks.setdefault("numeric", {}).setdefault("distance_km", {"low": 0.0, "high": 50.0, "share": 0.02})
    return settings_from(tables, {}, Path("demo.toml"))


def _times_of_day(rng: np.random.Generator, n: int) -> Ints:
    """Draw n moments of an ordinary day, µs after midnight."""
    hour = np.searchsorted(_HOURS_CUMULATIVE, rng.random(n)).astype(np.int64)
    return hour * HOUR_US + rng.integers(0, HOUR_US, n)


def _cents(amounts: Floats) -> Ints:
    """Round to whole cents, at least one euro."""
    return np.maximum(np.rint(amounts), 100.0).astype(np.int64)
