"""Cells of a history are read strictly: a wrong one refuses the file by row and column; none becomes null."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from fraud.errors import InvalidInput
from fraud.serving.history import import_history
from fraud.serving.history_cells import texts
from fraud.serving.history_table import History, read_history
from fraud.settings import Settings, load_settings
from tests.serving.test_history_limits import ROW, configured
from tests.serving.worlds import START_US

AS_TEXT = {name: str(value) for name, value in ROW.items()}
MOMENT = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def written(folder: Path, *changes: dict[str, str | None]) -> Path:
    """A history in CSV: a row as it should be, and one for each change."""
    rows = [AS_TEXT, *({**AS_TEXT, "id": f"t{i}", **change} for i, change in enumerate(changes))]
    path = folder / "history.csv"
    pl.DataFrame(rows).write_csv(path)
    return path


def read(folder: Path, *changes: dict[str, str | None]) -> History:
    return read_history(configured(folder), written(folder, *changes))


def in_minor_units(folder: Path) -> Settings:
    configured(folder)
    path = folder / "fraud.toml"
    path.write_text(path.read_text().replace('amount = "amount"', 'amount = "amount"\namount_unit = "minor"'))
    return load_settings(path, {})


WRONG = [
    ("time", "01/02/2026 10:00:00", "'01/02/2026 10:00:00' is no time; write it like 2026-03-01T12:00:00Z"),
    ("time", "2026-02-30 10:00:00", "is no time"),
    ("time", "2026-01-09", "is no time"),
    ("time", "2026-01-09T10:00:00+25:00", "is no time"),
    ("time", "99999999999999999999", "is no time"),
    ("amount", "12,50", "'12,50' is no number; write it like 12.50"),
    ("amount", "EUR 12", "is no number"),
    ("distance", "near", "'near' is no number; write it like 12.5, or leave the cell empty"),
    ("age", "30 years", "is no number"),
    ("fraud", "yes", "'yes' is neither 1 nor 0; write 1 or true for a fraud, 0, false or nothing for others"),
    ("fraud", "2", "is neither 1 nor 0"),
    ("amount", "4111 1111 1111 1111", r"'\[card number\]' is no number"),
]


@pytest.mark.parametrize(("column", "cell", "says"), WRONG)
def test_a_wrong_cell_of_a_csv_refuses_the_file_by_row_and_column(
    tmp_path: Path, column: str, cell: str, says: str
) -> None:
    settings = configured(tmp_path)
    path = written(tmp_path, {}, {column: cell}, {})
    with pytest.raises(InvalidInput, match=f"^row 3, column {column}: .*{says}"):
        import_history(settings, path)
    assert not settings.places.log.exists()


def test_of_several_wrong_cells_the_first_is_told_and_the_others_counted(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"^row 3, column fraud: 'no' is neither 1 nor 0, nor are 1 cells"):
        read(tmp_path, {}, {"fraud": "no"}, {"amount": "x"}, {"fraud": "no"})


def test_what_is_kept_of_the_error_holds_no_cell(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(tmp_path, {"distance": "tok_8f2c"})
    assert "tok_8f2c" in str(caught.value)
    assert "tok_8f2c" not in caught.value.told
    assert "row 2, column distance" in caught.value.told


@pytest.mark.parametrize(
    "text",
    [
        str(START_US),
        "2023-11-14 22:13:20",
        "2023-11-14T22:13:20Z",
        " 2023-11-14 22:13:20.000000 UTC ",
        "2023-11-14T22:13:20.0000009",
        "2023-11-14T23:13:20+01:00",
        "2023-11-14T16:43:20-05:30",
        "2023-11-15T08:13:20+10",
    ],
)
def test_times_of_every_spelling_are_read_row_by_row(tmp_path: Path, text: str) -> None:
    history = read(tmp_path, {"time": text}, {"time": "2023-11-14 22:14"})
    assert history.rows.event_time_us.tolist() == [START_US, START_US, START_US + 40_000_000]


def test_parquet_may_hold_date_times_with_and_without_a_zone(tmp_path: Path) -> None:
    settings, path = configured(tmp_path), tmp_path / "history.parquet"
    for moment in (MOMENT, MOMENT.replace(tzinfo=None)):
        pl.DataFrame([ROW]).with_columns(time=pl.lit(moment)).write_parquet(path)
        assert read_history(settings, path).rows.event_time_us.tolist() == [START_US]


def test_empty_cells_are_missing_and_nothing_else_is(tmp_path: Path) -> None:
    history = read(
        tmp_path, {"distance": None, "country": "", "fraud": None}, {"distance": "NaN", "fraud": "True"}
    )
    distance = history.rows.numerics[:, 0]
    assert [value == value for value in distance.tolist()] == [True, False, False]
    assert [words[-1] for words in history.categoricals] == ["NLD", "", "NLD"]
    assert history.is_fraud.tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("column", "says"), [("age", "numeric age: missing"), ("card", "entity card: missing")]
)
def test_an_empty_cell_where_the_schema_wants_one_is_refused(tmp_path: Path, column: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=f"{says} in 1 rows, first row 2"):
        read(tmp_path, {column: ""})


def test_a_fraction_of_a_minor_unit_is_refused(tmp_path: Path) -> None:
    settings = in_minor_units(tmp_path)
    path = written(tmp_path, {"amount": "1250"}, {"amount": "12.5"})
    says = (
        r"row 3, column amount: '12\.5' is no whole number; give minor units, or set amount_unit = \"major\""
    )
    with pytest.raises(InvalidInput, match=says):
        read_history(settings, path)
    table = pl.DataFrame([ROW, {**ROW, "id": "u", "amount": 12.5}])
    table.write_parquet(tmp_path / "history.parquet")
    with pytest.raises(InvalidInput, match=r"row 2, column amount: 12\.5 is no whole number"):
        read_history(settings, tmp_path / "history.parquet")
    written(tmp_path, {"amount": "1250"}, {"amount": "7.0"})
    assert read_history(settings, path).rows.amount_minor.tolist() == [10, 1250, 7]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("a,b,c,d", "row 3: has 4 cells, the header 10; complete or drop it"),
        ("", "row 3: has 0 cells, the header 10"),
        (",".join("x" * 11), "row 3: has 11 cells, the header 10"),
    ],
)
def test_a_row_of_another_width_is_refused(tmp_path: Path, change: str, says: str) -> None:
    settings, path = configured(tmp_path), written(tmp_path, {})
    path.write_text(path.read_text() + change + "\n")
    with pytest.raises(InvalidInput, match=says):
        read_history(settings, path)


def test_a_mapped_column_that_comes_twice_is_refused(tmp_path: Path) -> None:
    settings, path = configured(tmp_path), written(tmp_path, {})
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([f"{header},amount", *(f"{row},9" for row in rows)]))
    with pytest.raises(InvalidInput, match=r"history\.csv has column amount twice"):
        read_history(settings, path)


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    settings, path = configured(tmp_path), written(tmp_path, {})
    path.write_bytes(path.read_bytes().replace(b"NLD", b"N\xe4D"))
    with pytest.raises(InvalidInput, match="is no UTF-8"):
        read_history(settings, path)


@pytest.mark.parametrize("column", ["id", "card", "channel"])
def test_ids_tokens_and_words_are_no_fractions(tmp_path: Path, column: str) -> None:
    settings, path = configured(tmp_path), tmp_path / "history.parquet"
    pl.DataFrame([ROW]).with_columns(pl.lit(17.0).alias(column)).write_parquet(path)
    with pytest.raises(
        InvalidInput, match=f"column {column}: is Float64, no text; write ids, tokens and words"
    ):
        read_history(settings, path)


def test_kinds_of_another_use_are_refused_by_column(tmp_path: Path) -> None:
    settings, path = configured(tmp_path), tmp_path / "history.parquet"
    for column, wanted in (
        ("distance", "number"),
        ("amount", "number"),
        ("fraud", "label"),
        ("time", "time"),
    ):
        odd = pl.lit([1]) if column == "time" else pl.lit(MOMENT)
        pl.DataFrame([ROW]).with_columns(odd.alias(column)).write_parquet(path)
        with pytest.raises(InvalidInput, match=f"column {column}: is .*, no {wanted}"):
            read_history(settings, path)


def test_a_quoted_nothing_is_nothing() -> None:
    frame = pl.DataFrame({"a": ["", None, "x"]})
    assert frame.select(texts(frame.schema, "a").value)["a"].to_list() == [None, None, "x"]
