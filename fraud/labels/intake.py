"""Labels from a file: CSV, Parquet or JSON lines, by the file's ending.

    column           value
    transaction_id   text
    label            fraud, legitimate or withdrawn, in any case; also 1, 0, true, false
    label_time       ISO 8601 with a zone, or microseconds since 1970 UTC; optional
                     where the caller gives a default
    comment          text, optional

A wrong row is refused with its line and the others are read; wrong columns
refuse the file, because then no row means what it seems to.
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from fraud.documents import read_json
from fraud.errors import InvalidInput, NotFound
from fraud.records import Label, LabelValue

COLUMNS = ("transaction_id", "label", "label_time", "comment")
ENDINGS = (".csv", ".parquet", ".jsonl", ".ndjson")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_VALUES = {
    "fraud": LabelValue.FRAUD,
    "1": LabelValue.FRAUD,
    "true": LabelValue.FRAUD,
    "legitimate": LabelValue.LEGITIMATE,
    "0": LabelValue.LEGITIMATE,
    "false": LabelValue.LEGITIMATE,
    "withdrawn": LabelValue.WITHDRAWN,
}


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A row of a file that could not be read; `line` counts from 1, a CSV header included."""

    line: int
    field: str
    reason: str


def read_labels(path: Path, default_time_us: int | None = None) -> tuple[list[Label], list[RefusedLine]]:
    """Return the labels of a file in its order, and the rows that could not be read.

    `default_time_us` stands where the file gives no label time.

    Raises:
        NotFound: no such file.
        InvalidInput: the ending or the columns are not those of a label file.
    """
    if not path.is_file():
        raise NotFound(f"{path}: no such file")
    labels: list[Label] = []
    refused: list[RefusedLine] = []
    for line, row in _rows(path, default_time_us is None):
        read = row if isinstance(row, _Problem) else _read(row, default_time_us)
        if isinstance(read, _Problem):
            refused.append(RefusedLine(line, read.field, read.reason))
        else:
            labels.append(read)
    return labels, refused


@dataclass(frozen=True, slots=True)
class _Problem:
    field: str
    reason: str


_Row = tuple[int, "dict[str, Any] | _Problem"]


def _rows(path: Path, needs_time: bool) -> Iterator[_Row]:
    ending = path.suffix.lower()
    if ending == ".csv":
        return _csv_rows(path, needs_time)
    if ending == ".parquet":
        return _parquet_rows(path, needs_time)
    if ending in (".jsonl", ".ndjson"):
        return _json_rows(path, needs_time)
    raise InvalidInput(str(path), f"has the ending {ending!r}", f"give one of: {', '.join(ENDINGS)}")


def _csv_rows(path: Path, needs_time: bool) -> Iterator[_Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        try:
            header = [name.strip() for name in next(reader, [])]
            _check_columns(path, header, needs_time)
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(header):
                    yield (
                        reader.line_num,
                        _Problem("row", f"has {len(cells)} cells, the header {len(header)}"),
                    )
                else:
                    yield reader.line_num, dict(zip(header, cells, strict=True))
        except (csv.Error, UnicodeDecodeError) as error:
            raise InvalidInput(str(path), f"is not CSV in UTF-8 ({error})", "export it again") from None


def _parquet_rows(path: Path, needs_time: bool) -> Iterator[_Row]:
    try:
        frame = pl.read_parquet(path, glob=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InvalidInput(str(path), f"is not Parquet ({error})", "export it again") from None
    _check_columns(path, frame.columns, needs_time)
    yield from enumerate(frame.iter_rows(named=True), 1)


def _json_rows(path: Path, needs_time: bool) -> Iterator[_Row]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = read_json(line)
            except (ValueError, UnicodeDecodeError) as error:
                yield number, _Problem("row", f"is not JSON: {error}")
                continue
            if not isinstance(row, dict):
                yield number, _Problem("row", "is not a JSON object")
                continue
            # Objects may leave keys out, so each is held against the columns by itself.
            try:
                _check_columns(path, row, needs_time)
            except InvalidInput as error:
                yield number, _Problem("row", error.problem)
                continue
            yield number, row


def _check_columns(path: Path, columns: Iterable[str], needs_time: bool) -> None:
    given = list(columns)
    required = COLUMNS[:3] if needs_time else COLUMNS[:2]
    missing = [name for name in required if name not in given]
    unknown = [name for name in given if name not in COLUMNS]
    twice = sorted({name for name in given if given.count(name) > 1})
    problems = [
        f"{what} {', '.join(names)}"
        for what, names in (("missing", missing), ("unknown", unknown), ("given twice", twice))
        if names
    ]
    if problems:
        optional = [name for name in COLUMNS if name not in required]
        raise InvalidInput(
            str(path),
            f"columns: {'; '.join(problems)}",
            f"expected {', '.join(required)} and, optionally, {', '.join(optional)}",
        )


def _read(row: dict[str, Any], default_time_us: int | None) -> Label | _Problem:
    transaction_id = "" if row["transaction_id"] is None else str(row["transaction_id"]).strip()
    if not transaction_id:
        return _Problem("transaction_id", "is empty")
    value = _VALUES.get(str(row["label"]).strip().lower())
    if value is None:
        return _Problem("label", f"{row['label']!r} is none of: fraud, legitimate, withdrawn, 1, 0")
    try:
        time_us = _read_time(row.get("label_time"), default_time_us)
    except (ValueError, OverflowError) as error:
        return _Problem("label_time", str(error))
    comment = row.get("comment")
    return Label(transaction_id, value, time_us, "" if comment is None else str(comment))


def _read_time(given: Any, default_time_us: int | None) -> int:
    """Microseconds UTC of an integer, a datetime or a text."""
    if given is None or given == "":
        if default_time_us is None:
            raise ValueError("is empty")
        return default_time_us
    if isinstance(given, str):
        text = given.strip()
        try:
            given = int(text) if text.lstrip("-").isdigit() else datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(f"{text!r} is neither ISO 8601 nor integer microseconds") from None
    if isinstance(given, datetime):
        if given.tzinfo is None:
            raise ValueError(f"{given.isoformat()} has no zone; add one, e.g. a trailing Z")
        return (given - _EPOCH) // _MICROSECOND
    if isinstance(given, int) and not isinstance(given, bool):
        return given
    raise ValueError(f"{given!r} is neither ISO 8601 nor integer microseconds")
