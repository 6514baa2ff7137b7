"""Reads the cells of a history strictly: what is no time, amount, number or label is told, never made null.

    a column of text, as of CSV ─┐
    a column of a type, Parquet ─┴▶ values + where a cell that is not empty gave none ─▶ the first, by row

An empty cell is a missing value, and whether a value may be missing is the schema's to say. Texts of CSV are
read here and nowhere else, so that nothing is guessed from the rows that happen to come first.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from fraud.errors import InvalidInput
from fraud.serving.card_numbers import without_card_numbers

_SHOWN_MAX = 40
"""Letters of a wrong cell that are repeated."""
_TIME = (
    r"^([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2})(:[0-9]{2})?(?:\.([0-9]{1,9}))?"
    r" ?(?:Z|UTC|([+-](?:0[0-9]|1[0-4])):?([0-5][0-9])?)?$"
)
"""Date, hours and minutes, seconds, fraction, hours and minutes of the zone."""
_WHOLE = r"^[+-]?[0-9]+$"
_FRAUD, _HONEST = ("1", "1.0", "true"), ("0", "0.0", "false")
_NEVER = pl.lit(value=False)


@dataclass(frozen=True, slots=True)
class Cells:
    """A column as it is read: `value` for each cell, `wrong` where there is something that gives none."""

    column: str
    value: pl.Expr
    wrong: pl.Expr
    problem: str
    remedy: str


def times(schema: pl.Schema, column: str) -> Cells:
    """Read a time as µs UTC: a date-time (without a zone it is UTC), or whole microseconds since 1970.

    Raises:
        InvalidInput: the column is of another type.
    """
    kind, given = schema[column], pl.col(column)
    if isinstance(kind, pl.Datetime):
        aware = given if kind.time_zone is None else given.dt.convert_time_zone("UTC")
        value = aware.dt.timestamp("us")
    elif kind.is_integer() or kind == pl.Null:
        value = given.cast(pl.Int64, strict=False)
    elif kind == pl.String:
        given = _stripped(column)
        value = _time_of(given)
    else:
        raise _of_kind(column, kind, "time", "give date-times or integer microseconds UTC")
    remedy = "write it like 2026-03-01T12:00:00Z, or in microseconds since 1970 UTC"
    return Cells(column, value, given.is_not_null() & value.is_null(), "is no time", remedy)


def _time_of(text: pl.Expr) -> pl.Expr:
    parts = text.str.extract_groups(_TIME).struct
    date, minutes, seconds, fraction, zone_hours, zone_minutes = (parts.field(str(i)) for i in range(1, 7))
    moment = pl.concat_str(date, pl.lit(" "), minutes, seconds.fill_null(":00"))
    base = moment.str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False, time_unit="us").dt.timestamp("us")
    micros = (fraction.fill_null("") + "000000").str.slice(0, 6).cast(pl.Int64, strict=False)
    hours = zone_hours.fill_null("0").cast(pl.Int64, strict=False)
    sign = pl.when(zone_hours.str.starts_with("-")).then(-1).otherwise(1)
    offset = hours * 60 + sign * zone_minutes.fill_null("0").cast(pl.Int64, strict=False)
    whole = pl.when(text.str.contains(_WHOLE)).then(text).cast(pl.Int64, strict=False)
    return pl.coalesce(whole, base + micros - offset * 60_000_000)


def amounts(schema: pl.Schema, column: str, minor_per_unit: int | None) -> Cells:
    """Read an amount as minor units: whole ones (None), or units of so many, rounded to a minor one.

    Raises:
        InvalidInput: the column is of another type.
    """
    number, wrong = _number(schema, column)
    value = (number * (minor_per_unit or 1)).round().cast(pl.Int64, strict=False)
    if minor_per_unit is not None:
        return Cells(column, value, wrong, "is no number", "write it like 12.50")
    wrong |= (number.is_finite() & (number != number.round())).fill_null(value=False)
    remedy = 'give minor units, or set amount_unit = "major" in [import]'
    return Cells(column, value, wrong, "is no whole number", remedy)


def numbers(schema: pl.Schema, column: str) -> Cells:
    """Read a number; NaN, one and the same, where it is missing.

    Raises:
        InvalidInput: the column is of another type.
    """
    number, wrong = _number(schema, column)
    # A file may hold other NaNs.
    value = number.fill_nan(None).fill_null(float("nan"))
    return Cells(column, value, wrong, "is no number", "write it like 12.5, or leave the cell empty")


def _number(schema: pl.Schema, column: str) -> tuple[pl.Expr, pl.Expr]:
    kind, given = schema[column], pl.col(column)
    if kind == pl.String:
        given = _stripped(column)
    elif not (kind.is_numeric() or kind in (pl.Boolean, pl.Null)):
        raise _of_kind(column, kind, "number", "give numbers")
    number = given.cast(pl.Float64, strict=False)
    return number, given.is_not_null() & number.is_null()


def labels(schema: pl.Schema, column: str) -> Cells:
    """Read whether a payment was a fraud: 1 or true; 0, false or nothing where it was not.

    Raises:
        InvalidInput: the column is of another type.
    """
    kind = schema[column]
    if not (kind.is_numeric() or kind in (pl.Boolean, pl.String, pl.Null)):
        raise _of_kind(column, kind, "label", "give 1 or true for a fraud, 0 or false for others")
    text = _stripped(column).str.to_lowercase()
    if kind.is_numeric():
        text = pl.col(column).cast(pl.Float64).fill_nan(None).cast(pl.String)
    value = text.is_in(_FRAUD).fill_null(value=False)
    wrong = ~text.is_in(_FRAUD + _HONEST).fill_null(value=True)
    remedy = "write 1 or true for a fraud, 0, false or nothing for others"
    return Cells(column, value, wrong, "is neither 1 nor 0", remedy)


def texts(schema: pl.Schema, column: str) -> Cells:
    """Read ids, tokens or words, as they are; an empty one is missing.

    Raises:
        InvalidInput: the column is of another type; 17.0 is another id than 17.
    """
    kind = schema[column]
    if not (kind.is_integer() or kind in (pl.String, pl.Categorical, pl.Enum, pl.Boolean, pl.Null)):
        raise _of_kind(column, kind, "text", "write ids, tokens and words as text, or as whole numbers")
    text = pl.col(column).cast(pl.String)
    return Cells(column, pl.when(text != "").then(text), _NEVER, "", "")


def _stripped(column: str) -> pl.Expr:
    text = pl.col(column).cast(pl.String).str.strip_chars()
    return pl.when(text != "").then(text)


def _of_kind(column: str, kind: pl.DataType, wanted: str, remedy: str) -> InvalidInput:
    return InvalidInput(f"column {column}", f"is {kind}, no {wanted}", remedy)


def read_cells(frame: pl.LazyFrame, columns: dict[str, Cells]) -> pl.DataFrame:
    """Return the values of each column under its name, and `row`, counted from 0.

    Raises:
        InvalidInput: a cell is wrong; of several the first is told, with its row (from 1) and column.
        polars.exceptions.PolarsError: the file cannot be read.
    """
    wrongs = {f"wrong {name}": cells.wrong for name, cells in columns.items()}
    values = [cells.value.alias(name) for name, cells in columns.items()]
    found = (
        frame.with_row_index("row")
        .select("row", *values, *(wrong.alias(name) for name, wrong in wrongs.items()))
        .collect()
    )
    firsts = [(place, name) for name in columns if (place := found[f"wrong {name}"].arg_max()) is not None]
    firsts = [(place, name) for place, name in firsts if found[f"wrong {name}"][place]]
    if firsts:
        place, name = min(firsts)
        others = int(found[f"wrong {name}"].sum()) - 1
        raise _wrong_cell(frame, columns[name], place, others)
    return found.drop(list(wrongs))


def _wrong_cell(frame: pl.LazyFrame, cells: Cells, place: int, others: int) -> InvalidInput:
    cell = frame.select(pl.col(cells.column).slice(place, 1)).collect().item()
    shown = repr(cell if len(str(cell)) <= _SHOWN_MAX else f"{str(cell)[:_SHOWN_MAX]}…")
    also = f", nor are {others} cells below" if others else ""
    where = f"row {place + 1}, column {cells.column}"
    return InvalidInput(where, f"{without_card_numbers(shown)} {cells.problem}{also}", cells.remedy)


def check_shape(path: Path, columns: Sequence[str]) -> None:
    """Refuse a CSV file with a row of fewer or more cells than its header, or with one of `columns` twice.

    Polars makes nulls of the cells that a row lacks, and another name of a second column.

    Raises:
        InvalidInput: it is such a file, or none.
    """
    row = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.reader(lines)
            header = next((cells for cells in rows if cells), [])
            twice = [name for name in dict.fromkeys(columns) if header.count(name) > 1]
            if twice:
                raise InvalidInput(
                    "file", f"{path.name} has column {', '.join(twice)} twice", "name each column once"
                )
            for row, cells in enumerate(rows, start=1):
                if len(cells) != len(header):
                    raise InvalidInput(
                        f"row {row}",
                        f"has {len(cells)} cells, the header {len(header)}",
                        "complete or drop it",
                    )
    except (UnicodeDecodeError, csv.Error) as error:
        why = "is no UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise InvalidInput(
            "file", f"{path.name} {why} (after row {row})", "write it as CSV in UTF-8"
        ) from None
