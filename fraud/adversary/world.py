"""A seeded payment stream with the truth beside it: honest customers, fraudsters, and late labels.

    day d  →  rows in time order (honest + strategies)  →  which verdict arrives, from whom, and when

A day is a function of the settings and its number; the label feed hands out
what has become known by a moment, as a real one does: frauds late, some never,
and now and then an analyst's word that a payment was in order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraud.adversary.attackers import Attackers
from fraud.adversary.population import (
    CHANNELS,
    COUNTRIES,
    HONEST,
    NO_DEVICE,
    Ints,
    Population,
    Rows,
)
from fraud.clock import DAY_US
from fraud.records import Label, LabelValue

START_US = 1_772_409_600_000_000
"""Midnight of Monday 2026-03-02, UTC: day 0."""

CURRENCY = "EUR"
NEVER_US = -1


@dataclass(frozen=True, slots=True)
class WorldSettings:
    """How large the world is and what happens in it. Shares are 0..1, delays µs.

    `fraud_share` of payments are frauds; from `change_day` on the fraudsters use
    the other strategy but for `spree_share_after`. A fraud becomes known between
    `label_delay_min_us` and `label_delay_max_us` after it happened, or never
    (`unreported_share`); `cleared_share` of honest payments is looked at by an
    analyst and found in order.
    """

    seed: int = 7
    days: int = 28
    change_day: int = 12
    transactions_per_day: int = 5_000
    cards: int = 6_000
    merchants: int = 400
    fraud_share: float = 0.012
    spree_share_after: float = 0.15
    payments_per_ring_day: float = 2.5
    label_delay_min_us: int = DAY_US // 4
    label_delay_max_us: int = DAY_US
    unreported_share: float = 0.05
    cleared_share: float = 0.002


@dataclass(frozen=True, slots=True)
class Day:
    """One day's payments in time order, and what becomes known about them.

    `label` holds `LabelValue` numbers (`UNSPECIFIED`: nobody will ever say),
    `label_time_us` when the verdict arrives (`NEVER_US` then).
    """

    index: int
    transaction_ids: tuple[str, ...]
    rows: Rows
    label: Ints
    label_time_us: Ints

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def is_fraud(self) -> NDArray[np.bool_]:
        """The truth, as nobody in the service sees it."""
        truth: NDArray[np.bool_] = self.rows.strategy != HONEST
        return truth


class World:
    """Makes any day of the stream; the same settings give the same days."""

    def __init__(self, settings: WorldSettings) -> None:
        self.settings = settings
        honest = round(settings.transactions_per_day * (1.0 - settings.fraud_share))
        self.population = Population.drawn(settings.seed, settings.cards, settings.merchants, honest)
        self.attackers = Attackers(
            seed=settings.seed,
            frauds_per_day=settings.transactions_per_day * settings.fraud_share,
            change_day=settings.change_day,
            spree_share_after=settings.spree_share_after,
            payments_per_ring_day=settings.payments_per_ring_day,
            device_base=self.population.devices,
        )

    def day(self, index: int) -> Day:
        """Make day `index` (0 is the first)."""
        start_us = START_US + index * DAY_US
        rng = np.random.default_rng([self.settings.seed, 2, index])
        honest = self.population.day(rng, index, start_us)
        rows = Rows.joined([honest, *self.attackers.day(self.population, index, start_us)])
        label, label_time_us = self._verdicts(rng, rows)
        names = tuple(f"tx-{index:03d}-{number:06d}" for number in range(len(rows)))
        return Day(index, names, rows, label, label_time_us)

    def _verdicts(self, rng: np.random.Generator, rows: Rows) -> tuple[Ints, Ints]:
        n = len(rows)
        fraud = rows.strategy != HONEST
        reported = fraud & (rng.random(n) >= self.settings.unreported_share)
        cleared = ~fraud & (rng.random(n) < self.settings.cleared_share)
        delay = rng.integers(self.settings.label_delay_min_us, self.settings.label_delay_max_us, n)
        label = np.select([reported, cleared], [LabelValue.FRAUD, LabelValue.LEGITIMATE], 0).astype(np.int64)
        return label, np.where(label > 0, rows.event_time_us + delay, NEVER_US)


class LabelFeed:
    """Holds the verdicts under way and hands out those that have arrived."""

    def __init__(self) -> None:
        self._waiting: list[Label] = []

    def expect(self, day: Day) -> None:
        """Take a day's future verdicts in."""
        for at in np.flatnonzero(day.label):
            value = LabelValue(int(day.label[at]))
            self._waiting.append(Label(day.transaction_ids[at], value, int(day.label_time_us[at])))
        self._waiting.sort(key=lambda label: (label.label_time_us, label.transaction_id))

    def due(self, now_us: int) -> dict[str, list[Label]]:
        """Hand out what is known by `now_us`, each once, oldest first, by source."""
        known = [label for label in self._waiting if label.label_time_us <= now_us]
        self._waiting = self._waiting[len(known) :]
        sources = {"chargeback": LabelValue.FRAUD, "analyst": LabelValue.LEGITIMATE}
        by_source = {
            source: [label for label in known if label.value is value] for source, value in sources.items()
        }
        return {source: labels for source, labels in by_source.items() if labels}


def wire_rows(day: Day, at: Sequence[int], model: str) -> list[dict[str, Any]]:
    """Return rows `at` of a day as the payment system sends them, with names for numbers."""
    rows = day.rows
    return [
        {
            "transaction_id": day.transaction_ids[i],
            "event_time_us": int(rows.event_time_us[i]),
            "model": model,
            "entities": _entities(int(rows.card[i]), int(rows.merchant[i]), int(rows.device[i])),
            "amount_minor": int(rows.amount_minor[i]),
            "currency": CURRENCY,
            "numerics": {"distance_km": float(rows.distance_km[i])},
            "categoricals": {"channel": CHANNELS[rows.channel[i]], "country": COUNTRIES[rows.country[i]]},
        }
        for i in at
    ]


def _entities(card: int, merchant: int, device: int) -> dict[str, str]:
    named = {"card": f"card-{card:06d}", "merchant": f"merchant-{merchant:04d}"}
    return named if device == NO_DEVICE else {**named, "device": f"device-{device}"}
