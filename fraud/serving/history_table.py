"""A history file as checked columns, sorted by arrival."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.clock import EARLIEST_US, LATEST_US, WallClock, microseconds_wanted
from fraud.errors import InvalidInput
from fraud.features.fold import Coordinates
from fraud.features.state import NUMERIC_MAX, Rows
from fraud.labels.batches import ID_LENGTH_MAX
from fraud.parquet import scan_parquet
from fraud.serving.history_cells import amounts, check_shape, labels, numbers, read_cells, texts, times
from fraud.settings import Settings
from fraud.settings.currency import minor_per_major
from fraud.settings.learning import Import
from fraud.settings.schema import Schema

UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
"""What Polars raises on files that are not what their name says."""
NOT_LOGGED = 2**62
"""Position of a transaction that comes later."""
_TIMES = {"event_time": "event", "arrival_time": "arrival", "label_time": "labelled"}
_TOO_EARLY = "before 2000"


@dataclass(frozen=True)
class History:
    """Columns of n transactions in order of arrival.

    `tokens[e][s]` is the token of entity e's surrogate s; surrogates are dense
    in order of first use. `arrival_us`, `label_us` int64[n]; `is_fraud` bool[n]. `label_us` is 0
    for a row without a label time; a fraud has one.
    """

    model: str
    currency: str
    ids: list[str]
    rows: Rows
    categoricals: list[tuple[str, ...]]
    arrival_us: NDArray[np.int64]
    is_fraud: NDArray[np.bool_]
    label_us: NDArray[np.int64]
    tokens: list[list[str]]

    @property
    def arrival_us_last(self) -> int:
        """Arrival of the last transaction, µs UTC."""
        return int(self.arrival_us[-1])

    def coordinates(self, transaction_ids: Sequence[str], folded: int) -> dict[str, Coordinates]:
        """Return where transactions stand; those from row `folded` on as not in the log yet."""
        surrogates, times = self.rows.surrogates, self.rows.event_time_us
        return {
            name: Coordinates(
                tuple(surrogates[row].tolist()), int(times[row]), 0 if row < folded else NOT_LOGGED
            )
            for name in transaction_ids
            if (row := self.places.get(name)) is not None
        }

    @cached_property
    def places(self) -> dict[str, int]:
        """Row of each fraud, by transaction id."""
        return {self.ids[row]: row for row in np.flatnonzero(self.is_fraud).tolist()}


def read_history(settings: Settings, path: Path, until_us: int | None = None) -> History:
    """Read and check a CSV or Parquet history by the `[import]` section.

    Raises:
        InvalidInput: the file cannot be read, lacks a column, or holds a row
            that no service would take; the message names column and row.
    """
    mapping = settings.import_
    assert mapping is not None
    opened = _open(path, mapping)
    try:
        frame = _select(opened, mapping, settings)
    except UNREADABLE as error:
        raise _unread(path, error) from None
    if until_us is not None:
        frame = frame.filter(pl.col("event") < until_us)
    _check(frame, settings)
    frame = frame.sort("arrival", "event", "row")
    surrogates, tokens = _surrogates(frame, settings)
    numerics = frame.select(pl.col(f"n_{name}") for name in settings.schema_.numeric_names)
    words = frame.select(pl.col(f"c_{name}") for name in settings.schema_.categorical_names)
    return History(
        model=mapping.model,
        currency=settings.service.currency,
        ids=frame["id"].to_list(),
        rows=Rows(
            frame["event"].to_numpy(),
            frame["amount"].to_numpy(),
            surrogates,
            numerics.to_numpy().astype(np.float64).reshape(len(frame), -1),
        ),
        categoricals=list(words.rows()) if words.width else [()] * len(frame),
        arrival_us=frame["arrival"].to_numpy(),
        is_fraud=frame["fraud"].to_numpy(),
        label_us=frame["labelled"].to_numpy(),
        tokens=tokens,
    )


def _open(path: Path, mapping: Import) -> pl.LazyFrame:
    if not path.is_file():
        raise InvalidInput("file", f"{path} does not exist", "give a CSV or Parquet file")
    if path.suffix not in {".csv", ".parquet"}:
        raise InvalidInput("file", f"{path.name} is neither .csv nor .parquet", "convert it first")
    is_csv = path.suffix == ".csv"
    try:
        # Of CSV all is text: 0742 is another word than 742, and what is a time or a number is for its cells.
        frame = pl.scan_csv(path, infer_schema=False, glob=False) if is_csv else scan_parquet(path)
        columns = frame.collect_schema().names()
    except UNREADABLE as error:
        raise _unread(path, error) from None
    needed = [
        mapping.transaction_id,
        mapping.event_time,
        mapping.amount,
        mapping.label,
        *(name for name in (mapping.label_time, mapping.arrival_time) if name),
        *mapping.entities.values(),
        *mapping.numeric.values(),
        *mapping.categorical.values(),
    ]
    missing = [name for name in needed if name not in columns]
    if missing:
        raise InvalidInput(
            "file",
            f"{path.name} has no column {', '.join(missing)}",
            f"map in [import] to: {', '.join(columns)}",
        )
    if is_csv:
        check_shape(path, needed)
    return frame


def _unread(path: Path, error: BaseException) -> InvalidInput:
    # Its own message quotes values, which end up in somebody's scroll-back or log.
    problem = f"{path.name} cannot be read as its name says ({type(error).__name__})"
    return InvalidInput("file", problem, "write it again, as Parquet or as CSV in UTF-8")


def _select(frame: pl.LazyFrame, mapping: Import, settings: Settings) -> pl.DataFrame:
    schema, fields = frame.collect_schema(), settings.schema_
    scale = minor_per_major(settings.service.currency) if mapping.amount_unit == "major" else None
    columns = {
        "id": texts(schema, mapping.transaction_id),
        "event": times(schema, mapping.event_time),
        "amount": amounts(schema, mapping.amount, scale),
        "fraud": labels(schema, mapping.label),
    }
    if mapping.arrival_time:
        columns["arrival"] = times(schema, mapping.arrival_time)
    if mapping.label_time:
        columns["labelled"] = times(schema, mapping.label_time)
    columns |= {f"e_{name}": texts(schema, column) for name, column in mapping.entities.items()}
    columns |= {f"n_{name}": numbers(schema, column) for name, column in mapping.numeric.items()}
    columns |= {f"c_{name}": texts(schema, column) for name, column in mapping.categorical.items()}
    read = read_cells(frame, columns)
    event = pl.col("event")
    return read.select(
        "row",
        "id",
        "event",
        pl.col("arrival") if mapping.arrival_time else event.alias("arrival"),
        (pl.col("labelled") if mapping.label_time else event + mapping.label_delay)
        .fill_null(0)
        .alias("labelled"),
        "amount",
        "fraud",
        *(_given(read, f"e_{name}", pl.lit(None, pl.String)) for name in fields.entity_names),
        *(_given(read, f"n_{name}", pl.lit(float("nan"))) for name in fields.numeric_names),
        *(_given(read, f"c_{name}", pl.lit("")).fill_null("") for name in fields.categorical_names),
    )


def _given(read: pl.DataFrame, name: str, absent: pl.Expr) -> pl.Expr:
    """Return a column that was read, or what stands where `[import]` maps none."""
    return pl.col(name) if name in read.columns else absent.alias(name)


def _check(frame: pl.DataFrame, settings: Settings) -> None:
    schema = settings.schema_
    if frame.is_empty():
        raise InvalidInput("file", "holds no rows", "give a history with transactions")
    required = [f"e_{name}" for name, field in schema.entities.items() if field.required]
    id_length = pl.col("id").str.len_chars()
    ahead_us = schema.future_tolerance
    bad = {
        "transaction_id: missing": pl.col("id").is_null() | (pl.col("id") == ""),
        f"transaction_id: longer than {ID_LENGTH_MAX} characters": id_length > ID_LENGTH_MAX,
        "transaction_id: given twice": pl.col("id").is_duplicated(),
        "event_time: missing": pl.col("event").is_null(),
        f"event_time: {_TOO_EARLY}": pl.col("event") < EARLIEST_US,
        "event_time: after 2099": pl.col("event") > LATEST_US,
        "arrival_time: missing or after 2099": (
            pl.col("arrival").is_null() | (pl.col("arrival") > LATEST_US)
        ),
        f"arrival_time: {_TOO_EARLY}": pl.col("arrival") < EARLIEST_US,
        "event_time: ahead of its arrival by more than schema.future_tolerance": (
            pl.col("event") > pl.col("arrival") + ahead_us
        ),
        "label_time: missing or after 2099 for a fraud": (
            pl.col("fraud") & ((pl.col("labelled") == 0) | (pl.col("labelled") > LATEST_US))
        ),
        f"label_time: {_TOO_EARLY}": pl.col("fraud") & (pl.col("labelled") < EARLIEST_US),
        f"amount: missing, negative or above {schema.amount.max_minor} minor units": (
            pl.col("amount").is_null() | ~pl.col("amount").is_between(0, schema.amount.max_minor)
        ),
        **{f"entity {name[2:]}: missing": pl.col(name).is_null() for name in required},
        **_bad_fields(schema),
    }
    if settings.service.clock == "wall":
        # One row would take the time of the service along, for good.
        now_us = WallClock().now_us()
        bad["arrival_time: after now by more than schema.future_tolerance"] = (
            pl.col("arrival") > now_us + ahead_us
        )
    for problem, rule in bad.items():
        rows = frame.filter(rule)
        if len(rows):
            field, _, what = problem.partition(": ")
            remedy = "mend or drop these rows"
            if what == _TOO_EARLY:
                remedy = microseconds_wanted(rows[_TIMES[field]][0])
            raise InvalidInput(field, f"{what} in {len(rows)} rows, first row {rows['row'][0] + 1}", remedy)


def _bad_fields(schema: Schema) -> dict[str, pl.Expr]:
    """Return the rules by which `TransactionIntake` refuses numerics and categoricals, by problem."""
    rules: dict[str, pl.Expr] = {}
    for name, number in schema.numeric.items():
        field, value = f"numeric {name}", pl.col(f"n_{name}").fill_nan(None)
        if number.required:
            rules[f"{field}: missing"] = value.is_null()
        rules[f"{field}: infinite, or too large for float32"] = value.abs() > NUMERIC_MAX
        if number.min is not None:
            rules[f"{field}: below {number.min}"] = value < number.min
        if number.max is not None:
            rules[f"{field}: above {number.max}"] = value > number.max
    for name, word in schema.categorical.items():
        field, length = f"categorical {name}", pl.col(f"c_{name}").str.len_chars()
        if word.required:
            rules[f"{field}: missing"] = length == 0
        rules[f"{field}: longer than {word.length_max} characters"] = length > word.length_max
    return rules


def _surrogates(frame: pl.DataFrame, settings: Settings) -> tuple[NDArray[np.int32], list[list[str]]]:
    columns, tokens = [], []
    for name in settings.schema_.entity_names:
        column = frame[f"e_{name}"]
        known = column.drop_nulls().unique(maintain_order=True)
        codes = pl.DataFrame({"token": known, "code": np.arange(len(known), dtype=np.int32)})
        joined = pl.DataFrame({"token": column}).join(codes, on="token", how="left", maintain_order="left")
        columns.append(joined["code"].fill_null(-1).to_numpy())
        tokens.append(known.to_list())
    return np.column_stack(columns).astype(np.int32), tokens
