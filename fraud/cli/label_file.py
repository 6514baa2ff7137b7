"""Reads verdicts from CSV, Parquet or JSON lines.

    file → rows with their place → columns checked → labels | broken rows

Columns: transaction_id, value (FRAUD, LEGITIMATE or WITHDRAWN), label_time
(ISO 8601 or microseconds, UTC where no zone is given), and optionally comment.
"""

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fraud.cli.times import format_time, parse_time_us
from fraud.clock import EARLIEST_US
from fraud.documents import read_json
from fraud.durable import sync
from fraud.errors import InvalidInput, LimitExceeded, Unavailable
from fraud.parquet import scan_parquet
from fraud.records import Label, LabelValue

if TYPE_CHECKING:
    import polars as pl

REQUIRED = ("transaction_id", "value", "label_time")
COLUMNS = (*REQUIRED, "comment")
_VALUES = {value.name: value for value in LabelValue if value is not LabelValue.UNSPECIFIED}
_INT64_MAX = 2**63 - 1
FILE_BYTES_MAX = 256 * 2**20
"""Of a label file, and of the texts in one: some four million rows, which are held at once."""
PARQUET_ROWS_MAX = 4_000_000
"""As many; a few bytes of Parquet may stand for any number of rows that are alike."""


@dataclass(frozen=True, slots=True)
class BrokenRow:
    """A row that is no label; `place` is as people count, e.g. `line 7`."""

    place: str
    problem: str


def read_labels(path: Path) -> tuple[list[Label], list[BrokenRow]]:
    """Return the labels of a file in its order, and the rows that are none.

    Raises:
        InvalidInput: the kind of file is unknown, it cannot be read, or its
            columns are not those of a label file; the message names them.
    """
    labels: list[Label] = []
    broken: list[BrokenRow] = []
    for place, row in _rows(path):
        try:
            if not isinstance(row, Mapping):
                raise InvalidInput("row", str(row), "write one label in a row")
            labels.append(_label(row))
        except InvalidInput as error:
            broken.append(BrokenRow(place, str(error)))
    return labels, broken


def write_labels(path: Path, labels: Iterable[Label]) -> None:
    """Write labels as JSON lines that `read_labels` takes, whole or not at all, durably.

    No CSV: an id may begin with `=`, which a spreadsheet would calculate.

    Raises:
        Unavailable: the file cannot be written.
    """
    try:
        _write_labels(path, labels)
    except OSError as error:
        raise Unavailable(
            f"{path}: was not written ({error.strerror}); check the disk and the folder"
        ) from None


def _write_labels(path: Path, labels: Iterable[Label]) -> None:
    aside = path.with_name(f".{path.name}.new")
    with aside.open("w", encoding="utf-8") as file:
        for it in labels:
            values = (it.transaction_id, it.value.name, format_time(it.label_time_us))
            file.write(json.dumps(dict(zip(REQUIRED, values, strict=True)), ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    sync(path.parent)


def _rows(path: Path) -> Iterator[tuple[str, Mapping[Any, Any] | str]]:
    """Each row with its place; a text instead of a row says why it is none."""
    kind = path.suffix.lower()
    try:
        size = path.stat().st_size
        if size > FILE_BYTES_MAX:
            raise LimitExceeded(
                str(path), f"has {size} bytes", f"split it: at most {FILE_BYTES_MAX} are read at once"
            )
        if kind == ".csv":
            yield from _csv(path)
        elif kind in (".jsonl", ".ndjson"):
            yield from _json_lines(path)
        elif kind == ".parquet":
            yield from _parquet(path)
        else:
            raise InvalidInput(
                str(path), f"unknown kind of file {kind!r}", "give .csv, .parquet, .jsonl or .ndjson"
            )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(str(path), f"cannot be read: {error}", "check the file") from None


def _csv(path: Path) -> Iterator[tuple[str, Mapping[Any, Any] | str]]:
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines)
        _check_columns(path, reader.fieldnames or ())
        for row in reader:
            wide = len(row.pop(None, ()))  # cells beyond the header
            if wide or None in row.values():
                yield f"line {reader.line_num}", "it has more or fewer cells than the header"
            else:
                yield f"line {reader.line_num}", row


def _json_lines(path: Path) -> Iterator[tuple[str, Mapping[Any, Any] | str]]:
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = read_json(line)
            except ValueError as error:
                yield f"line {number}", f"it is not JSON ({error})"
                continue
            if not isinstance(row, dict):
                yield f"line {number}", "it is not a JSON object"
                continue
            wrong = _wrong_columns([str(name) for name in row])
            yield f"line {number}", wrong or row


def _parquet(path: Path) -> Iterator[tuple[str, Mapping[Any, Any] | str]]:
    import polars as pl

    try:
        lazy = scan_parquet(path, PARQUET_ROWS_MAX)
        _check_columns(path, lazy.collect_schema().names())
        rows = lazy.select(pl.len()).collect().item()
        if rows > PARQUET_ROWS_MAX:
            raise LimitExceeded(
                str(path), f"has {rows} rows", f"split it: at most {PARQUET_ROWS_MAX} are read at once"
            )
        _check_texts(path, lazy)
        frame = lazy.collect()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise InvalidInput(str(path), f"is not Parquet ({error})", "check the file") from None
    for number, row in enumerate(frame.iter_rows(named=True), start=1):
        yield f"row {number}", row


def _check_texts(path: Path, lazy: "pl.LazyFrame") -> None:
    """Measure texts before they are unfolded: what a few bytes of Parquet repeat is as long in each row."""
    import polars as pl

    schema = lazy.collect_schema()
    odd = [f"{name} of {kind}" for name, kind in schema.items() if kind.is_nested() or kind == pl.Binary]
    if odd:
        raise InvalidInput(str(path), f"has columns {', '.join(odd)}", "write text, numbers and times")
    texts = [name for name, kind in schema.items() if not (kind.is_numeric() or kind.is_temporal())]
    lengths = lazy.select(pl.col(texts).cast(pl.String).str.len_bytes().cast(pl.UInt64).sum()).collect()
    size = sum(sum(row) for row in lengths.rows())
    if size > FILE_BYTES_MAX:
        raise LimitExceeded(
            str(path), f"holds {size} bytes of text", f"split it: at most {FILE_BYTES_MAX} are read at once"
        )


def _check_columns(path: Path, given: Sequence[str]) -> None:
    wrong = _wrong_columns(given)
    if wrong:
        remedy = f"required: {', '.join(REQUIRED)}; optional: comment"
        raise InvalidInput(str(path), wrong, remedy)


def _wrong_columns(given: Sequence[str]) -> str:
    missing = [name for name in REQUIRED if name not in given]
    unknown = [name for name in given if name not in COLUMNS]
    problem = [f"missing column {name}" for name in missing] + [f"unknown column {name}" for name in unknown]
    problem += [f"column {name} twice" for name in COLUMNS if list(given).count(name) > 1]
    return ", ".join(problem)


def _label(row: Mapping[Any, Any]) -> Label:
    transaction_id = row["transaction_id"]
    if not isinstance(transaction_id, str | int) or not str(transaction_id).strip():
        raise InvalidInput("transaction_id", f"{transaction_id!r} is not an id", "name the transaction")
    value = _VALUES.get(str(row["value"]).strip().upper())
    if value is None:
        raise InvalidInput("value", f"{row['value']!r} is no verdict", f"write {', '.join(_VALUES)}")
    label_time_us = parse_time_us(row["label_time"], "label_time")
    if not EARLIEST_US <= label_time_us <= _INT64_MAX:
        problem = "is before 2000" if label_time_us < EARLIEST_US else "is out of bounds"
        raise InvalidInput(
            "label_time", f"{row['label_time']!r} {problem}", "write it like 2026-03-01T12:00:00Z"
        )
    return Label(str(transaction_id).strip(), value, label_time_us, str(row.get("comment") or ""))
