"""Honest customers and merchants: who they are, and what they buy on a day.

    drawn once from the seed:  cards (pace, spending, home, favourites, devices) · merchants
    per day:  Poisson counts per card → time of day → merchant → amount, channel, device

Everything is drawn for a whole day at once; a day depends on the seed and its
number alone, so days may be made in any order. A card carries noise that looks
like fraud: now and then a large purchase, a trip abroad, a spree before the
holidays, a new device, a device that a family shares, and public ones that
many use.
"""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fraud.clock import HOUR_US

CHANNELS = ("pos", "online", "phone")
POS, ONLINE, PHONE = range(3)
COUNTRIES = ("BE", "NL", "FR", "DE", "LU", "GB", "US", "TR")
NO_DEVICE = -1
FAVOURITES = 8
PUBLIC_DEVICES = 60
HONEST = 0

# Share of a day's purchases by hour, midnight first: quiet nights, lunch, evening.
_HOURS = np.array(
    [2, 1, 1, 1, 1, 2, 5, 12, 22, 28, 32, 36, 44, 40, 34, 33, 36, 44, 50, 46, 36, 24, 14, 6], dtype=np.float64
)
_HOURS_CUMULATIVE = np.cumsum(_HOURS) / _HOURS.sum()

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rows:
    """Columns of n transactions; numbers stand for tokens (`NO_DEVICE`: not given).

    `amount_minor` in cents, `distance_km` from the customer's home, `strategy`
    `HONEST` or the number of the fraudsters' strategy.
    """

    event_time_us: Ints
    card: Ints
    merchant: Ints
    device: Ints
    amount_minor: Ints
    channel: Ints
    country: Ints
    distance_km: Floats
    strategy: Ints

    def __len__(self) -> int:
        return len(self.event_time_us)

    def take(self, order: Ints) -> Self:
        """Return the rows at these indices, in this order."""
        return type(self)(*(getattr(self, field.name)[order] for field in fields(self)))

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """Return the rows of all parts in time order; equal times keep the order of the parts."""
        columns = [np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)]
        return cls(*(column[np.argsort(columns[0], kind="stable")] for column in columns))


@dataclass(frozen=True, slots=True)
class Population:
    """C cards and M merchants. Amounts are log euros, places kilometres in a square of 300 km.

    `popularity` is the cumulative share of purchases by merchant, the busiest first.
    """

    pace: Floats
    amount_log: Floats
    online_share: Floats
    home: Floats
    country: Ints
    favourites: Ints
    device: Ints
    device_replaced_day: Ints
    merchant_place: Floats
    merchant_country: Ints
    merchant_price_log: Floats
    popularity: Floats

    @classmethod
    def drawn(cls, seed: int, cards: int, merchants: int, transactions_per_day: int) -> Self:
        """Draw a population that makes about `transactions_per_day` purchases a day."""
        rng = np.random.default_rng([seed, 1])
        pace = rng.gamma(2.0, 1.0, cards)
        weight = 1.0 / (np.arange(merchants) + 8.0) ** 0.8
        popularity = np.cumsum(weight) / weight.sum()
        own = np.arange(cards, dtype=np.int64)
        family = (own % 2 == 1) & (rng.random(cards) < 0.3)
        return cls(
            pace=pace * transactions_per_day / pace.sum(),
            amount_log=rng.normal(3.2, 0.5, cards),
            online_share=rng.beta(2.0, 2.5, cards),
            home=rng.uniform(0.0, 300.0, (cards, 2)),
            country=rng.choice(5, cards, p=[0.6, 0.12, 0.12, 0.12, 0.04]).astype(np.int64),
            favourites=np.searchsorted(popularity, rng.random((cards, FAVOURITES))).astype(np.int64),
            device=np.where(family, own - 1, own),
            device_replaced_day=rng.geometric(0.004, cards).astype(np.int64),
            merchant_place=rng.uniform(0.0, 300.0, (merchants, 2)),
            merchant_country=rng.choice(8, merchants, p=[0.52, 0.1, 0.1, 0.1, 0.03, 0.05, 0.06, 0.04]),
            merchant_price_log=rng.normal(0.0, 0.35, merchants),
            popularity=popularity,
        )

    @property
    def devices(self) -> int:
        """How many numbers the devices of honest customers take up."""
        return 2 * len(self.pace) + PUBLIC_DEVICES

    def _devices(self, rng: np.random.Generator, cards: Ints, day: int) -> Ints:
        """Draw the device of each purchase: the owner's (a replaced one has a new number) or a public one."""
        n = len(cards)
        own = self.device[cards] + np.where(day >= self.device_replaced_day[cards], len(self.pace), 0)
        public = 2 * len(self.pace) + rng.integers(0, PUBLIC_DEVICES, n)
        return np.where(rng.random(n) < 0.02, public, own)

    def amounts(self, rng: np.random.Generator, cards: Ints, merchants: Ints) -> Floats:
        """Draw what these customers usually pay at these merchants, in cents."""
        log = self.amount_log[cards] + self.merchant_price_log[merchants]
        return np.exp(log + rng.normal(0.0, 0.6, len(cards))) * 100.0

    def distances_km(self, cards: Ints, merchants: Ints) -> Floats:
        """Return how far each merchant is from the home of each card."""
        gap = self.home[cards] - self.merchant_place[merchants]
        return np.hypot(gap[:, 0], gap[:, 1])

    def day(self, rng: np.random.Generator, day: int, start_us: int) -> Rows:
        """Draw the honest purchases of one day, in time order."""
        pace = self.pace * np.where(rng.random(len(self.pace)) < 0.002, rng.uniform(4.0, 10.0), 1.0)
        card = np.repeat(np.arange(len(pace)), rng.poisson(pace))
        n = len(card)
        habit = rng.random(n) < 0.75
        favourite = self.favourites[card, rng.integers(0, FAVOURITES, n)]
        other = np.searchsorted(self.popularity, rng.random(n))
        merchant = np.where(habit, favourite, other)
        channel = np.where(rng.random(n) < self.online_share[card], ONLINE, POS)
        channel[rng.random(n) < 0.02] = PHONE
        large = np.where(rng.random(n) < 0.03, rng.uniform(2.0, 7.0, n), 1.0)
        away = rng.random(n) < 0.01
        near = np.where(channel == POS, self.distances_km(card, merchant) * 0.2, rng.exponential(12.0, n))
        rows = Rows(
            event_time_us=start_us + times_of_day(rng, n),
            card=card,
            merchant=merchant,
            device=np.where(channel == ONLINE, self._devices(rng, card, day), NO_DEVICE),
            amount_minor=cents(self.amounts(rng, card, merchant) * large),
            channel=channel,
            country=np.where(away, rng.integers(0, 8, n), self.merchant_country[merchant]),
            distance_km=np.where(away, rng.uniform(300.0, 3_000.0, n), near),
            strategy=np.full(n, HONEST, dtype=np.int64),
        )
        return Rows.joined([rows])


def times_of_day(rng: np.random.Generator, n: int) -> Ints:
    """Draw n moments of an ordinary day, µs after midnight."""
    hour = np.searchsorted(_HOURS_CUMULATIVE, rng.random(n)).astype(np.int64)
    return hour * HOUR_US + rng.integers(0, HOUR_US, n)


def cents(amounts: Floats) -> Ints:
    """Round to whole cents, at least one euro."""
    return np.maximum(np.rint(amounts), 100.0).astype(np.int64)
