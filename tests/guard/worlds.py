"""A made world for the guard: payments whose truth is known, honest feeds, and what is judged at a cut."""

import functools
from collections.abc import Mapping

import numpy as np
import polars as pl

from benchmarks.guard_feed import NO_REPORTS, chargebacks, desk, in_log
from fraud.clock import DAY_US
from fraud.guard.data import GuardData
from fraud.guard.finding import Finding
from fraud.guard.gathering import gather
from fraud.guard.scope import Scope
from fraud.labels.exclusions import EVERYTHING, View
from fraud.labels.standing import ConflictRule
from fraud.records import Outcome
from fraud.settings.guard import Guard

FIRST_DAY = 19_000
DAYS = 75
A_DAY = 600
MATURITY_US = 7 * DAY_US
RULES = Guard(history=42 * DAY_US)
SEEDS = (1, 2, 3)
CONFLICT = ConflictRule("LABELER_PRIORITY", ("chargeback", "analyst", "issuer", "customer"))


@functools.lru_cache(maxsize=16)
def made_payments(
    seed: int = 1, days: int = DAYS, a_day: int = A_DAY, fraud_share: float = 0.05
) -> pl.DataFrame:
    """Payments of two models' worth of fields; frauds score high, a fifth of them no higher than others.

    The same again where the same is asked for: nobody changes a frame in place.
    """
    rng = np.random.default_rng(seed)
    rows = days * a_day
    event_time_us = np.sort(rng.integers(FIRST_DAY * DAY_US, (FIRST_DAY + days) * DAY_US, rows))
    is_fraud = rng.random(rows) < fraud_share
    seen = is_fraud & (rng.random(rows) < 0.8)
    signal = rng.normal(np.where(seen, 4.0, 0.0), 1.0)
    odds = np.log(fraud_share) + 2.5 * (signal - 1.2)
    return pl.DataFrame(
        {
            "position": np.arange(1, rows + 1),
            "arrival_time_us": event_time_us,
            "event_time_us": event_time_us,
            "transaction_id": [f"t{seed}-{i}" for i in range(rows)],
            "model": pl.repeat("card", rows, eager=True),
            "entity_card": rng.integers(0, 5_000, rows).astype(np.int32),
            "entity_merchant": rng.integers(0, 300, rows).astype(np.int32),
            "numeric_distance_km": pl.Series(
                np.where(rng.random(rows) < 0.05, np.nan, rng.exponential(9, rows))
            ).fill_nan(None),
            "categorical_channel": rng.choice(["web", "pos"], rows),
            "f_signal": signal.astype(np.float32),
            "f_noise": rng.normal(size=rows).astype(np.float32),
            "score": 1 / (1 + np.exp(-odds)),
            "outcome": np.full(rows, int(Outcome.APPROVE), np.int32),
            "explored": np.zeros(rows, bool),
            "imported": np.zeros(rows, bool),
            "is_fraud": is_fraud,
        }
    )


def honest(payments: pl.DataFrame) -> pl.DataFrame:
    """Chargebacks after a week, and the desk's verdicts on the highest scores the next morning."""
    return pl.concat([chargebacks(payments), desk(payments, rows=40)])


def judged(
    payments: pl.DataFrame,
    labels: pl.DataFrame,
    day: int,
    *,
    since: int = 1,
    reports: pl.DataFrame | None = None,
    view: View = EVERYTHING,
    rules: Guard = RULES,
    retracted: Mapping[str, int] | None = None,
    shuffle: int | None = None,
    conflict: ConflictRule = CONFLICT,
) -> GuardData:
    """What the guard sees at the end of a day when it last found the data fit `since` days before.

    With `shuffle`, a seed, the rows of every table come in any order.
    """
    cut_us = (day + 1) * DAY_US
    scope = Scope(cut_us, cut_us - since * DAY_US, MATURITY_US, rules, conflict, view, retracted or {})
    told = in_log(payments, labels)
    kept = NO_REPORTS if reports is None else in_log(payments, reports)
    if shuffle is not None:
        payments, told, kept = (
            table.sample(fraction=1.0, shuffle=True, seed=shuffle) for table in (payments, told, kept)
        )
    return gather(payments.lazy(), told.lazy(), kept.lazy(), scope)


def checks(findings: tuple[Finding, ...]) -> set[str]:
    """The names of the checks that found something."""
    return {finding.check for finding in findings}
