"""Small honest traffic for tests: an economy of our own, and a history file in the Handbook's columns."""

from pathlib import Path

import numpy as np
import polars as pl

from fraud.adversary.economy import Economy, EconomySettings
from fraud.adversary.recorded import RecordedTraffic
from fraud.settings import load_settings

SMALL = EconomySettings(seed=5, days=16, cards=300, merchants=60, transactions_per_day=400)
HANDBOOK = Path(__file__).parents[2] / "fraud" / "settings" / "handbook.toml"
FRAUD_SHARE = 0.05


def write_history(path: Path, economy: Economy) -> pl.DataFrame:
    """Write an economy's payments as the Handbook's data has them, some of them labelled fraud."""
    days = [economy.day(index) for index in range(economy.days)]
    surrogates = np.concatenate([day.surrogates for day in days])
    times = np.concatenate([day.event_time_us for day in days])
    amounts = np.concatenate([day.amount_minor for day in days])
    frame = pl.DataFrame(
        {
            "TRANSACTION_ID": np.arange(len(times)),
            "TX_DATETIME": pl.Series(times).cast(pl.Datetime("us")),
            "CUSTOMER_ID": surrogates[:, 0],
            "TERMINAL_ID": surrogates[:, 1],
            "TX_AMOUNT": amounts / 100,
            "TX_FRAUD": (np.random.default_rng(1).random(len(times)) < FRAUD_SHARE).astype(np.int8),
        }
    )
    frame.write_parquet(path)
    return frame


def recorded(folder: Path, cards_share: float = 1.0, seed: int = 0) -> RecordedTraffic:
    """Return a recorded history as honest traffic."""
    path = folder / "transactions.parquet"
    write_history(path, Economy(SMALL))
    return RecordedTraffic(load_settings(HANDBOOK, {}), path, cards_share, seed)
