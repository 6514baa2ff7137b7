"""Seeded traffic with two models of known merit, as the frames that the gate gathers evidence from.

    frauds, alone or in rings ─► each model's score: how visible a fraud is, plus noise, partly its own
      ─► what the champion declines, what exploration lets through ─► when each label arrives

Less noise is the better model; equal noise is an equal one. `shared` is the part of
the noise's variance that both models have in common, as models of one recipe do.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.clock import DAY_US
from fraud.evaluation.metrics import Bools, Floats, alerts
from fraud.gate.evidence import EvidenceRules
from fraud.records import Outcome

MATURITY_DAYS = 30
VISIBILITY, RARITY = 2.5, 5.0
"""How far a fraud stands out, and how rare fraud is, in log-odds."""
RING_LIKENESS = 0.2
"""Noise within a ring, as a share of that between rings: its frauds look alike to a model."""
MERCHANTS = 60
SOON_DAYS, LATE_DAYS, LATE_SPREAD = 1.0, 12.0, 0.5
"""Label delays: of what a desk reviews; median and log-spread of chargebacks, 3 % of which come too late."""


@dataclass(frozen=True, slots=True)
class World:
    """One stream. Shares are of a day's rows; `soon` names the side whose alerts are labelled next day."""

    seed: int = 0
    days: int = 56
    rows_a_day: int = 300
    fraud_share: float = 0.02
    alert_share: float = 0.03
    rings_a_day: float = 0.0
    ring_frauds: int = 15
    champion_noise: float = 1.0
    challenger_noise: float = 1.0
    shared: float = 0.5
    declined: bool = False
    explored_share: float = 0.0
    soon: str = ""

    def rules(self, day: int | None = None, maturity_days: int = MATURITY_DAYS) -> EvidenceRules:
        """Return the rules as of the end of a day plus the maturity: days up to it are closed."""
        last = self.days if day is None else day + 1
        return EvidenceRules(
            zone=ZoneInfo("UTC"),
            cut_time_us=(last + maturity_days) * DAY_US,
            maturity_us=maturity_days * DAY_US,
            alert_share=self.alert_share,
        )

    def frame(self) -> pl.DataFrame:
        """Return the rows in log order, with every column that `gather` reads."""
        rng = np.random.default_rng(self.seed)
        count = self.days * self.rows_a_day
        day = np.repeat(np.arange(self.days, dtype=np.int32), self.rows_a_day)
        is_fraud = rng.random(count) < self.fraud_share
        card, device = rng.integers(10**7, size=(2, count))
        merchant = rng.integers(MERCHANTS, size=count)
        noise = self._noise(rng, count)
        for ring, rows in enumerate(self._rings(rng)):
            is_fraud[rows] = True
            merchant[rows], device[rows] = 1_000 + ring, 2 * 10**7 + ring
            noise[:, rows] = self._noise(rng, 1) + RING_LIKENESS * noise[:, rows]
        spread = np.array([[self.champion_noise], [self.challenger_noise]])
        champion, challenger = 1 / (1 + np.exp(-(self.noiseless(is_fraud) + spread * noise)))
        alerted = {
            "champion": alerts(champion, day, self.alert_share),
            "challenger": alerts(challenger, day, self.alert_share),
        }
        declined = alerted["champion"] & self.declined
        explored = declined & (rng.random(count) < self.explored_share)
        unknown = declined & ~explored
        known_us = day.astype(np.int64) * DAY_US + self._delays_us(rng, alerted)
        return pl.DataFrame(
            {
                "transaction_id": np.char.add(f"{self.seed}-", np.arange(count).astype(str)),
                "event_time_us": day.astype(np.int64) * DAY_US
                + np.tile(np.arange(self.rows_a_day), self.days),
                "entity_card": card,
                "entity_merchant": merchant,
                "entity_device": device,
                "amount_base_minor": rng.integers(100, 50_000, size=count),
                "is_fraud": is_fraud & ~unknown,
                "label_known_us": pl.Series(known_us).set(pl.Series(~is_fraud | unknown), None),
                "outcome": np.where(unknown, Outcome.DECLINE, Outcome.APPROVE),
                "explored": explored,
                "propensity": np.where(explored, self.explored_share, 1.0 - unknown * self.explored_share),
                "imported": np.zeros(count, dtype=bool),
                "champion_score": champion,
                "challenger_score": challenger,
            }
        )

    def _noise(self, rng: np.random.Generator, count: int) -> Floats:
        """Return noise of variance 1 of champion and challenger, float64[2, n]."""
        own, common = rng.normal(size=(2, count)), rng.normal(size=count)
        return np.asarray(np.sqrt(1 - self.shared) * own + np.sqrt(self.shared) * common)

    def noiseless(self, is_fraud: Bools) -> Floats:
        """Return what a model without noise would give, in log-odds, float64[n]."""
        return np.asarray(VISIBILITY * is_fraud - RARITY)

    def _rings(self, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
        """Yield the rows of each ring, all of one day."""
        for _ in range(rng.poisson(self.rings_a_day * self.days)):
            start = int(rng.integers(self.days)) * self.rows_a_day
            yield start + rng.choice(self.rows_a_day, size=self.ring_frauds, replace=False)

    def _delays_us(self, rng: np.random.Generator, alerted: dict[str, Bools]) -> NDArray[np.int64]:
        count = self.days * self.rows_a_day
        if not self.soon:
            return np.zeros(count, np.int64)
        late = LATE_DAYS * np.exp(LATE_SPREAD * rng.normal(size=count))
        return (np.where(alerted[self.soon], SOON_DAYS, late) * DAY_US).astype(np.int64)
