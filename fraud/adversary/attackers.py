"""What fraudsters do: two strategies, and how the weight moves from one to the other.

    SPREE     a stolen card is emptied within hours: several large payments, often far away, at
              any merchant, by phone or from a throwaway device
    RING      a crew works from a device of its own and uses each stolen card once: an ordinary
              amount, at an ordinary hour, at a busy clean merchant close to the victim

A model that has only seen sprees has nothing to hold against a ring: amount,
pace, distance and merchant are those of the victim. What a ring cannot hide is
that one device carries many cards, which the features of the device tell; and
each crew is an attack of its own, so there are many and they share nothing.
"""

from dataclasses import dataclass

import numpy as np

from fraud.adversary.population import NO_DEVICE, ONLINE, PHONE, Ints, Population, Rows, cents, times_of_day
from fraud.clock import DAY_US, HOUR_US

SPREE = 1
RING = 2
STRATEGIES = {SPREE: "spree", RING: "ring"}

_PAYMENTS_PER_SPREE = 4
_RING_DAYS = 6
_BUSY_MERCHANTS = 0.6
"""Rings buy at the merchants that take this share of all purchases."""


@dataclass(frozen=True, slots=True)
class Attackers:
    """Fraudsters who change from sprees to rings on `change_day`.

    `frauds_per_day` is the mean of both; `spree_share_after` of it stays with
    sprees after the change. `device_base` is the first number that no customer's
    device has.
    """

    seed: int
    frauds_per_day: float
    change_day: int
    spree_share_after: float
    payments_per_ring_day: float
    device_base: int

    def day(self, population: Population, day: int, start_us: int) -> list[Rows]:
        """Draw the frauds of one day, one part per strategy."""
        rng = np.random.default_rng([self.seed, 3, day])
        sprees = self.frauds_per_day * (self.spree_share_after if day >= self.change_day else 1.0)
        parts = [self._sprees(rng, population, day, start_us, sprees)]
        if day >= self.change_day:
            parts.append(self._rings(rng, population, day, start_us, self.frauds_per_day - sprees))
        return parts

    def _sprees(
        self, rng: np.random.Generator, population: Population, day: int, start_us: int, mean: float
    ) -> Rows:
        stolen = rng.choice(len(population.pace), rng.poisson(mean / _PAYMENTS_PER_SPREE), replace=False)
        payments = rng.integers(_PAYMENTS_PER_SPREE - 2, _PAYMENTS_PER_SPREE + 3, len(stolen))
        card = np.repeat(stolen, payments)
        n = len(card)
        begin = np.repeat(rng.integers(0, DAY_US - 4 * HOUR_US, len(stolen)), payments)
        merchant = rng.integers(0, len(population.popularity), n)
        throwaway = self.device_base + day * 10_000 + np.repeat(np.arange(len(stolen)), payments)
        by_phone = np.repeat(rng.random(len(stolen)) < 0.3, payments)
        return Rows(
            event_time_us=start_us + begin + rng.integers(0, 4 * HOUR_US, n),
            card=card,
            merchant=merchant,
            device=np.where(by_phone, NO_DEVICE, throwaway),
            amount_minor=cents(population.amounts(rng, card, merchant) * rng.uniform(1.5, 6.0, n)),
            channel=np.where(by_phone, PHONE, ONLINE),
            country=population.merchant_country[merchant],
            distance_km=rng.exponential(250.0, n),
            strategy=np.full(n, SPREE, dtype=np.int64),
        )

    def _rings(
        self, rng: np.random.Generator, population: Population, day: int, start_us: int, mean: float
    ) -> Rows:
        ring = self._rings_at_work(day, mean)
        device = np.repeat(ring, rng.poisson(self.payments_per_ring_day, len(ring)))
        n = len(device)
        card = rng.choice(len(population.pace), n, replace=False).astype(np.int64)
        merchant = np.searchsorted(population.popularity, rng.random(n) * _BUSY_MERCHANTS)
        return Rows(
            event_time_us=start_us + times_of_day(rng, n),
            card=card,
            merchant=merchant,
            device=self.device_base + 10_000_000 + device,
            amount_minor=cents(population.amounts(rng, card, merchant)),
            channel=np.full(n, ONLINE, dtype=np.int64),
            country=population.merchant_country[merchant],
            distance_km=rng.exponential(12.0, n),
            strategy=np.full(n, RING, dtype=np.int64),
        )

    def _rings_at_work(self, day: int, mean: float) -> Ints:
        """Numbers of the rings at work: each lives `_RING_DAYS`, and new ones start every day.

        The first began one lifetime before the change, so the day of the change
        has as many as any other.
        """
        started_a_day = mean / self.payments_per_ring_day / _RING_DAYS
        age = day - self.change_day + _RING_DAYS + 1
        return np.arange(int((age - _RING_DAYS) * started_a_day), int(age * started_a_day), dtype=np.int64)
