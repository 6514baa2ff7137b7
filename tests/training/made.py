"""A made history: frames with the archive's columns, seeded, some months of two models' traffic."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from fraud.archive.columns import APPLIED, RETRACTIONS
from fraud.clock import DAY_US, HOUR_US
from fraud.features.spec import FeatureSpec
from fraud.records import Entry, LabelValue, Outcome
from fraud.settings import Settings, settings_from
from fraud.training.dataset import TrainingSet, training_rows
from fraud.training.history import Cut, History

START_US = 19_000 * DAY_US
DAYS = 90
LABEL_DELAY_US = 5 * DAY_US


def made_settings(**training: Any) -> Settings:
    """A service with models `card` and `transfer`; keyword arguments go to `[training]`."""
    recipes = {
        "full": {"kind": "full", "rounds": 12, "max_depth": 3, "max_bin": 64},
        "recent": {"kind": "recent", "window": "20d", "replay_share": 0.5, "rounds": 12, "max_depth": 3},
        "continue": {"kind": "continue", "window": "20d", "rounds": 4, "max_depth": 3},
    }
    tables = {
        "schema": {
            "entities": {"card": {}, "merchant": {}},
            "numeric": {"distance_km": {}},
            "categorical": {"channel": {}, "country": {}},
        },
        "features": {
            "calendar": ["night"],
            "entities": {"card": {"windows": ["1h"], "since": ["previous"]}},
        },
        "models": {
            "card": {"policy": {"review": {"share": 0.02}, "decline": {"precision": 0.5}}},
            "transfer": {"features": ["amount", "card_*"], "categoricals": ["channel"]},
        },
        "labels": {"maturity": "10d"},
        "training": {
            "embargo": "2d",
            "calibration": "10d",
            "evidence": "5d",
            "frauds_min": 20,
            "cpus": 2,
            "recipes": recipes,
            **training,
        },
    }
    return settings_from(tables, {}, Path("fraud.toml"))


@dataclass(frozen=True)
class Frames:
    """A history in memory, read as the archive is."""

    transactions_: pl.DataFrame
    labels_: pl.DataFrame
    outcomes_: pl.DataFrame

    def transactions(self, upto: int | None = None) -> pl.LazyFrame:
        return _upto(self.transactions_, upto)

    def labels(self, upto: int | None = None) -> pl.LazyFrame:
        return _upto(self.labels_, upto)

    def outcomes(self, upto: int | None = None) -> pl.LazyFrame:
        return _upto(self.outcomes_, upto)

    def retractions(self, upto: int | None = None) -> pl.LazyFrame:
        return _upto(pl.DataFrame(schema=RETRACTIONS), upto)

    def applied(self, upto: int | None = None) -> pl.LazyFrame:
        return _upto(pl.DataFrame(schema=APPLIED), upto)

    def features_changed(self, names: Sequence[str]) -> int:
        del names
        return 0

    def feedback(self, after: int, upto: int) -> list[Entry]:
        raise NotImplementedError("these frames were never logged under another view")

    def labelled_coordinates(self) -> dict[str, tuple[tuple[int, ...], int, int]]:
        raise NotImplementedError("these frames were never logged under another view")


def _upto(frame: pl.DataFrame, upto: int | None) -> pl.LazyFrame:
    return frame.lazy() if upto is None else frame.lazy().filter(pl.col("position") <= upto)


def made_history(spec: FeatureSpec, seed: int = 1, rows: int = 9_000, fraud_share: float = 0.04) -> Frames:
    """Approved traffic over DAYS days; frauds are larger, faster, and come by `moto`.

    Their labels arrive LABEL_DELAY_US later in batches of a day. Positions of
    labels and transactions interleave by arrival, as in the log.
    """
    rng = np.random.default_rng(seed)
    event_time_us = np.sort(rng.integers(START_US, START_US + DAYS * DAY_US, rows))
    is_fraud = rng.random(rows) < fraud_share
    values = {
        "amount": rng.lognormal(3 + is_fraud, 0.8),
        "night": ((event_time_us // HOUR_US) % 24 < 6).astype(float),
        "distance_km": np.where(rng.random(rows) < 0.2, np.nan, rng.exponential(10, rows)),
        "card_count_1h": rng.poisson(0.3 + 2 * is_fraud).astype(float),
        "card_sum_1h": rng.exponential(30 + 30 * is_fraud),
        "card_since_previous_s": rng.exponential(50_000, rows),
    }
    assert set(values) == set(spec.names)
    transactions = pl.DataFrame(
        {
            "arrival_time_us": event_time_us,
            "event_time_us": event_time_us,
            "transaction_id": [f"t{seed}-{i}" for i in range(rows)],
            "model": np.where(rng.random(rows) < 0.7, "card", "transfer"),
            "outcome": np.full(rows, int(Outcome.APPROVE), np.int32),
            "explored": np.zeros(rows, bool),
            "propensity": np.ones(rows),
            "imported": np.zeros(rows, bool),
            "entity_card": np.where(rng.random(rows) < 0.02, -1, rng.integers(0, 900, rows)).astype(np.int32),
            "amount_base_minor": (100 * values["amount"]).astype(np.int64),
            "categorical_channel": np.where(
                is_fraud & (rng.random(rows) < 0.6), "moto", rng.choice(["web", "pos"], rows)
            ),
            "categorical_country": pl.Series(rng.choice(["BE", "DE", "FR", ""], rows)).replace("", None),
            **{f"f_{name}": values[name].astype(np.float32) for name in spec.names},
        }
    )
    return _in_log_order(transactions, _labels_of(transactions.filter(pl.Series(is_fraud))))


def _labels_of(frauds: pl.DataFrame) -> pl.DataFrame:
    """Return a FRAUD label a row, in batches of a day."""
    return frauds.select(
        "transaction_id",
        arrival_time_us=(pl.col("event_time_us") // DAY_US + 1) * DAY_US + LABEL_DELAY_US,
        label_time_us="event_time_us",
        value=pl.lit(int(LabelValue.FRAUD), pl.Int32),
        source=pl.lit("chargeback"),
        submitter=pl.lit("bank"),
        part=pl.lit(0, pl.Int32),
    ).with_columns(
        batch_id=pl.format("day-{}", pl.col("arrival_time_us") // DAY_US),
        row=pl.int_range(pl.len(), dtype=pl.Int32).over("arrival_time_us"),
        digest=pl.format("digest-{}", pl.col("arrival_time_us") // DAY_US),
    )


def _in_log_order(transactions: pl.DataFrame, labels: pl.DataFrame) -> Frames:
    """Give positions by arrival, a batch of labels counting as one event."""
    arrivals = pl.concat(
        [
            transactions.select("arrival_time_us", key="transaction_id"),
            labels.select("arrival_time_us", key="batch_id").unique(),
        ]
    ).sort("arrival_time_us", "key")
    positions = arrivals.with_columns(position=pl.int_range(1, pl.len() + 1)).drop("arrival_time_us")
    outcomes = pl.DataFrame(
        schema={
            "position": pl.Int64,
            "row": pl.Int32,
            "arrival_time_us": pl.Int64,
            "outcome_time_us": pl.Int64,
            "transaction_id": pl.String,
            "outcome": pl.Int32,
        }
    )
    return Frames(
        transactions.join(positions, left_on="transaction_id", right_on="key").sort("position"),
        labels.join(positions, left_on="batch_id", right_on="key").sort("position", "row"),
        outcomes,
    )


def with_batch(
    history: Frames, transaction_ids: pl.Series, value: LabelValue, source: str, submitter: str, days: float
) -> Frames:
    """The history with a further batch `late`, of one label a transaction, that arrived after `days`."""
    position = int(str(pl.concat([history.transactions_["position"], history.labels_["position"]]).max())) + 1
    arrival_us = START_US + int(days * DAY_US)
    batch = pl.DataFrame({"transaction_id": transaction_ids}).with_columns(
        arrival_time_us=pl.lit(arrival_us),
        label_time_us=pl.lit(arrival_us),
        value=pl.lit(int(value), pl.Int32),
        source=pl.lit(source),
        submitter=pl.lit(submitter),
        part=pl.lit(0, pl.Int32),
        batch_id=pl.lit("late"),
        row=pl.int_range(pl.len(), dtype=pl.Int32),
        digest=pl.lit("digest-late"),
        position=pl.lit(position, history.labels_.schema["position"]),
    )
    columns = history.labels_.columns
    return replace(history, labels_=pl.concat([history.labels_, batch.select(columns)]))


def cut_at(history: Frames, days: float = DAYS) -> Cut:
    """The cut at which everything that arrived within `days` is known."""
    time_us = START_US + int(days * DAY_US)
    known = [
        frame.filter(pl.col("arrival_time_us") <= time_us)["position"].max()
        for frame in (history.transactions_, history.labels_)
    ]
    return Cut(max(int(str(position)) for position in known if position is not None), time_us)


def made_set(settings: Settings, model: str = "card", seed: int = 1, days: float = DAYS) -> TrainingSet:
    """The training set of a model at a cut of the made history."""
    spec = FeatureSpec.of(settings)
    history = made_history(spec, seed)
    return training_rows(History(history, spec, settings, cut_at(history, days)), model)
