"""Seeded traffic with two models of known merit, as frames the gate can gather."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from fraud.clock import DAY_US
from fraud.gate.evidence import EvidenceRules
from fraud.records import Outcome

UTC = ZoneInfo("UTC")
MATURITY_US = 7 * DAY_US


def rules(days: int = 400, **changes: object) -> EvidenceRules:
    """Rules under which the first `days` days are closed."""
    given: dict[str, object] = {
        "zone": UTC,
        "cut_time_us": days * DAY_US + MATURITY_US,
        "maturity_us": MATURITY_US,
        "alert_share": 0.05,
    }
    return EvidenceRules(**{**given, **changes})  # type: ignore[arg-type]


@dataclass(frozen=True)
class World:
    """Independent frauds, and rings: one merchant and device, scored alike by each model.

    A model's score is the fraud's visibility plus noise of its own; less noise
    is the better model. `decline_share` of each day is declined by the champion,
    and unless explored those rows have no label; the `certain_share` of them with
    the highest scores are never explored. The next `review_share` go to
    review and the next `challenge_share` are challenged; of those of them that
    `unreviewed` and `untold` say, of frauds and of honest payments, nothing is
    ever known.
    """

    seed: int
    days: int = 14
    rows_a_day: int = 300
    fraud_share: float = 0.04
    rings_a_day: float = 0.0
    ring_frauds: int = 30
    champion_noise: float = 1.0
    challenger_noise: float = 1.0
    decline_share: float = 0.0
    explored_share: float = 0.0
    certain_share: float = 0.0
    review_share: float = 0.0
    unreviewed: tuple[float, float] = (0.0, 0.0)
    challenge_share: float = 0.0
    untold: tuple[float, float] = (0.0, 0.0)

    def frame(self) -> pl.DataFrame:
        rng = np.random.default_rng(self.seed)
        count = self.days * self.rows_a_day
        day = np.repeat(np.arange(self.days), self.rows_a_day)
        is_fraud = rng.random(count) < self.fraud_share
        card, device = rng.integers(10**6, size=(2, count))
        merchant = rng.integers(30, size=count)
        noise = rng.normal(size=(2, count))
        for ring in range(rng.poisson(self.rings_a_day * self.days)):
            rows = _members(rng, self.rows_a_day, self.days, self.ring_frauds)
            is_fraud[rows] = True
            merchant[rows], device[rows] = 1_000 + ring, 2_000_000 + ring
            noise[:, rows] = rng.normal(size=(2, 1)) + 0.2 * noise[:, rows]
        spread = np.array([[self.champion_noise], [self.challenger_noise]])
        champion, challenger = 1 / (1 + np.exp(4 - 2.0 * is_fraud - spread * noise))
        declined = _top(champion, day, self.decline_share)
        certain = _top(champion, day, self.decline_share * self.certain_share)
        explored = declined & ~certain & (rng.random(count) < self.explored_share)
        unknown = declined & ~explored
        stopped = self.decline_share + self.review_share
        reviewed = _top(champion, day, stopped) & ~declined
        challenged = _top(champion, day, stopped + self.challenge_share) & ~declined & ~reviewed
        draws = np.random.default_rng([self.seed, 1]).random(count)
        untold = reviewed & (draws < np.where(is_fraud, *self.unreviewed))
        untold |= challenged & (draws < np.where(is_fraud, *self.untold))
        return pl.DataFrame(
            {
                "transaction_id": [f"{self.seed}-{row}" for row in range(count)],
                "event_time_us": day * DAY_US + np.tile(np.arange(self.rows_a_day), self.days),
                "entity_card": card,
                "entity_merchant": merchant,
                "entity_device": device,
                "amount_base_minor": rng.integers(100, 50_000, size=count),
                "is_fraud": pl.Series(is_fraud & ~unknown).set(pl.Series(untold), None),
                "label_known_us": pl.Series(day * DAY_US).set(pl.Series(~is_fraud | unknown | untold), None),
                "outcome": np.select(
                    [unknown, reviewed, challenged],
                    [Outcome.DECLINE, Outcome.REVIEW, Outcome.CHALLENGE],
                    Outcome.APPROVE,
                ),
                "explored": explored,
                "propensity": np.where(
                    explored, self.explored_share, 1.0 - (unknown & ~certain) * self.explored_share
                ),
                "failed_challenge": untold & challenged & is_fraud,
                "imported": np.zeros(count, dtype=bool),
                "champion_score": champion,
                "challenger_score": challenger,
            }
        )


def _members(rng: np.random.Generator, rows_a_day: int, days: int, frauds: int) -> np.ndarray:
    start = int(rng.integers(days)) * rows_a_day
    return start + rng.choice(rows_a_day, size=frauds, replace=False)


def _top(scores: np.ndarray, day: np.ndarray, share: float) -> np.ndarray:
    cut = {d: np.quantile(scores[day == d], 1 - share) for d in np.unique(day)} if share else {}
    return np.array([bool(cut) and score > cut[d] for score, d in zip(scores, day, strict=True)])
