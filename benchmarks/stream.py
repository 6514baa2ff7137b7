"""Handbook payments as messages and labels, day by day, for benchmarks that drive a running service.

parquet ─ read_payments ─▶ rows in order of time ─ day by day ─▶ calls of ScoreBatch
  frauds of seven days before ─ submit ─▶ LabelService

Only the scores that come back are the service's; what a label says is decided here.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from fraud.client import Client
from fraud.clock import DAY_US
from fraud.records import Label, LabelValue
from fraud.v1.transaction_pb2 import Transaction

LABEL_DELAY_US = 7 * DAY_US
BATCH_ROWS = 250


def read_payments(data: Path, start_us: int, end_us: int) -> pl.DataFrame:
    """Return the payments of a span of event time, `[start_us, end_us)`, with `time_us`, in order."""
    time_us = pl.col("TX_DATETIME").dt.timestamp("us").alias("time_us")
    return (
        pl.scan_parquet(data)
        .with_columns(time_us)
        .filter(pl.col("time_us").is_between(start_us, end_us, closed="left"))
        .sort("time_us", "TRANSACTION_ID")
        .collect()
    )


def of_day(payments: pl.DataFrame, start_us: int) -> pl.DataFrame:
    """Return the payments of the day that begins at `start_us`."""
    return payments.filter(pl.col("time_us").is_between(start_us, start_us + DAY_US, closed="left"))


def messages_of(payments: pl.DataFrame) -> list[Transaction]:
    """Return payments as transactions of the model `card`."""
    columns = payments.select("TRANSACTION_ID", "time_us", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT").rows()
    return [
        Transaction(
            transaction_id=str(transaction_id),
            event_time_us=time_us,
            model="card",
            amount_minor=round(amount * 100),
            currency="EUR",
            entities={"card": str(customer), "merchant": str(terminal)},
        )
        for transaction_id, time_us, customer, terminal, amount in columns
    ]


def calls_of(messages: Sequence[Transaction], rows: int = BATCH_ROWS) -> Iterator[Sequence[Transaction]]:
    """Yield messages in calls of so many rows, the last one shorter."""
    for at in range(0, len(messages), rows):
        yield messages[at : at + rows]


def frauds_due(payments: pl.DataFrame, start_us: int) -> list[str]:
    """Return the ids whose labels arrive when a day begins: the frauds of the day seven days before."""
    before = of_day(payments, start_us - LABEL_DELAY_US)
    return before.filter(pl.col("TX_FRAUD") == 1)["TRANSACTION_ID"].cast(pl.String).to_list()


def submit(
    client: Client,
    batch_id: str,
    source: str,
    submitter: str,
    ids: Sequence[str],
    value: LabelValue,
    time_us: int,
) -> None:
    """Hand in one batch that says the same of all ids; nothing where there are none."""
    if ids:
        labels = [Label(each, value, time_us) for each in ids]
        client.submit_labels(batch_id, 0, source, submitter, labels)
