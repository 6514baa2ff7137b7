"""An import takes no row that the service would refuse, and names the column."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from fraud.clock import DAY_US, EARLIEST_US, LATEST_US, WallClock
from fraud.errors import InvalidInput
from fraud.features.state import NUMERIC_MAX
from fraud.serving.history import import_history
from fraud.serving.history_table import read_history
from fraud.serving.intake import TransactionIntake
from fraud.settings import Settings, load_settings
from fraud.v1.transaction_pb2 import Transaction
from tests.serving.test_history import MAPPING
from tests.serving.worlds import CONFIG, START_US

FIELDS = """
[schema.numeric.age]
required = true
max = 200
[schema.categorical.country]
length_max = 3
[features]
"""
MAPPED = """
country = "country"
[import.numeric]
distance = "distance"
age = "age"
"""
ROW = {
    "id": "t",
    "time": START_US,
    "amount": 10.0,
    "card": "c",
    "shop": "m",
    "channel": "web",
    "country": "NLD",
    "distance": 1.0,
    "age": 30.0,
    "fraud": 0,
}


def configured(folder: Path) -> Settings:
    text = CONFIG.replace("[features]\n", FIELDS, 1) + MAPPING + MAPPED.lstrip()
    (folder / "fraud.toml").write_text(text)
    return load_settings(folder / "fraud.toml", {})


def imported(settings: Settings, row: dict[str, object]) -> None:
    rows = [{**ROW, "id": "first"}, row]
    path = settings.data_dir.parent / "history.parquet"
    pl.DataFrame(rows, infer_schema_length=None, strict=False).write_parquet(path)
    import_history(settings, path)


def sent(settings: Settings, row: dict[str, object]) -> None:
    wire = Transaction(
        transaction_id=str(row["id"]),
        event_time_us=int(str(row["time"])),
        model="card",
        amount_minor=1_000,
        currency="EUR",
        entities={"card": "c", "merchant": "m"},
        numerics={name: float(str(row[name])) for name in ("distance", "age") if row[name] is not None},
        categoricals={name: str(row[name]) for name in ("channel", "country") if row[name] is not None},
    )
    TransactionIntake(settings).read(wire, LATEST_US)


REFUSED = [
    ("id", "t" * 129, "transaction_id: longer than 128 characters in 1 rows, first row 2; mend or drop"),
    (
        "time",
        START_US // 10**6,
        "event_time: before 2000 in 1 rows, first row 2; send microseconds .* this looks like seconds",
    ),
    ("time", EARLIEST_US - 1, "event_time: before 2000 in 1 rows, first row 2; send microseconds"),
    ("time", LATEST_US + 300_000_001, "event_time: after 2099 in 1 rows, first row 2"),
    ("distance", float("inf"), "numeric distance: infinite, or too large for float32 in 1 rows, first row 2"),
    ("distance", 1e39, "numeric distance: infinite, or too large for float32 in 1 rows"),
    ("age", -2 * NUMERIC_MAX, "numeric age: infinite, or too large for float32 in 1 rows"),
    ("distance", -0.5, r"numeric distance: below 0\.0 in 1 rows, first row 2"),
    ("age", 200.5, r"numeric age: above 200\.0 in 1 rows, first row 2"),
    ("age", None, "numeric age: missing in 1 rows, first row 2"),
    ("channel", None, "categorical channel: missing in 1 rows, first row 2"),
    ("channel", "w" * 65, "categorical channel: longer than 64 characters in 1 rows, first row 2"),
    ("country", "NLDX", "categorical country: longer than 3 characters in 1 rows, first row 2"),
]


@pytest.mark.parametrize(("column", "value", "says"), REFUSED)
def test_a_row_that_the_service_refuses_is_not_imported(
    tmp_path: Path, column: str, value: object, says: str
) -> None:
    settings = configured(tmp_path)
    row = {**ROW, column: value}
    with pytest.raises(InvalidInput):
        sent(settings, row)
    with pytest.raises(InvalidInput, match=says):
        imported(settings, row)
    assert not settings.places.log.exists()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("id", "t" * 128),
        ("time", EARLIEST_US),
        ("time", LATEST_US),
        ("distance", NUMERIC_MAX),
        ("distance", None),
        ("distance", 0.0),
        ("age", 200.0),
        ("channel", "w" * 64),
        ("country", None),
        ("country", "ÄÖÜ"),
    ],
)
def test_a_row_that_the_service_takes_is_imported(tmp_path: Path, column: str, value: object) -> None:
    settings = configured(tmp_path)
    sent(settings, {**ROW, column: value})
    imported(settings, {**ROW, column: value})


@pytest.mark.parametrize("value", [None, LATEST_US + 1])
def test_an_arrival_that_never_was_is_not_imported(tmp_path: Path, value: object) -> None:
    settings = configured(tmp_path)
    path = tmp_path / "fraud.toml"
    path.write_text(path.read_text().replace("[import.entities]", 'arrival_time = "came"\n[import.entities]'))
    settings = load_settings(path, {})
    pl.DataFrame([{**ROW, "came": START_US}, {**ROW, "id": "u", "came": value}]).write_parquet(
        tmp_path / "history.parquet"
    )
    with pytest.raises(InvalidInput, match="arrival_time: missing or after 2099 in 1 rows, first row 2"):
        import_history(settings, tmp_path / "history.parquet")


def with_label_times(folder: Path, rows: list[dict[str, object]]) -> tuple[Settings, Path]:
    """A service whose history names the time of each label in the column `told`."""
    configured(folder)
    path = folder / "fraud.toml"
    path.write_text(path.read_text().replace('label_delay = "1d"', 'label_time = "told"'))
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(folder / "history.parquet")
    return load_settings(path, {}), folder / "history.parquet"


@pytest.mark.parametrize("value", [None, 0, LATEST_US + 1])
def test_a_fraud_that_was_told_at_no_time_is_not_imported(tmp_path: Path, value: object) -> None:
    known = {**ROW, "fraud": 1, "told": START_US}
    rows = [known, {**known, "id": "u", "told": value}]
    settings, path = with_label_times(tmp_path, rows)
    says = "label_time: missing or after 2099 for a fraud in 1 rows, first row 2"
    with pytest.raises(InvalidInput, match=says):
        import_history(settings, path)
    assert not settings.places.log.exists()


def test_a_fraud_told_in_another_unit_is_not_imported_and_the_unit_named(tmp_path: Path) -> None:
    known = {**ROW, "fraud": 1, "told": START_US}
    settings, path = with_label_times(tmp_path, [known, {**known, "id": "u", "told": START_US // 1_000}])
    says = "label_time: before 2000 in 1 rows, first row 2; send .* this looks like milliseconds"
    with pytest.raises(InvalidInput, match=says):
        import_history(settings, path)
    assert not settings.places.log.exists()


def test_honest_rows_need_no_label_time(tmp_path: Path) -> None:
    rows = [
        {**ROW, "id": "f", "fraud": 1, "told": START_US + 1},
        {**ROW, "id": "h", "time": START_US + 2, "told": None},
    ]
    settings, path = with_label_times(tmp_path, rows)
    history = read_history(settings, path)
    assert history.label_us.dtype == np.int64
    assert history.label_us[history.is_fraud].tolist() == [START_US + 1]
    summary = import_history(settings, path)
    assert (summary.frauds, summary.later) == (1, ())


def test_ids_tokens_and_words_of_a_csv_are_its_text(tmp_path: Path) -> None:
    settings = configured(tmp_path)
    rows = [
        {**ROW, "id": "0000017", "card": "000123", "shop": "7", "channel": "0742"},
        {**ROW, "id": "17", "card": "123", "shop": "007", "channel": "2026-01-09"},
        {**ROW, "id": "2026-01-09T10:00:00Z", "card": "1e3", "shop": "true", "channel": "742"},
    ]
    path = tmp_path / "history.csv"
    pl.DataFrame(rows, infer_schema_length=None).write_csv(path)
    history = read_history(settings, path)
    assert history.ids == [row["id"] for row in rows]
    assert history.tokens[:2] == [[row["card"] for row in rows], [row["shop"] for row in rows]]
    channel = settings.schema_.categorical_names.index("channel")
    assert [words[channel] for words in history.categoricals] == [row["channel"] for row in rows]


def test_every_nan_of_a_file_is_the_one_that_says_missing(tmp_path: Path) -> None:
    settings = configured(tmp_path)
    odd = np.array([0xFFF8000000000123], np.uint64).view(np.float64)[0]
    path = tmp_path / "history.parquet"
    pl.DataFrame([ROW]).with_columns(distance=pl.Series([odd])).write_parquet(path)
    numerics = read_history(settings, path).rows.numerics
    place = settings.schema_.numeric_names.index("distance")
    assert numerics[0, place].tobytes() == np.float64("nan").tobytes()


def test_a_row_ahead_of_its_own_arrival_is_not_imported(tmp_path: Path) -> None:
    configured(tmp_path)
    path = tmp_path / "fraud.toml"
    path.write_text(path.read_text().replace("[import.entities]", 'arrival_time = "came"\n[import.entities]'))
    settings = load_settings(path, {})
    tolerance_us = settings.schema_.future_tolerance
    for ahead_us, taken in ((tolerance_us, True), (tolerance_us + 1, False)):
        rows = [{**ROW, "came": START_US}, {**ROW, "id": "u", "time": START_US + ahead_us, "came": START_US}]
        pl.DataFrame(rows).write_parquet(tmp_path / "history.parquet")
        if taken:
            assert len(read_history(settings, tmp_path / "history.parquet").ids) == 2
            continue
        with pytest.raises(InvalidInput, match=r"event_time: ahead of its arrival .* in 1 rows, first row 2"):
            read_history(settings, tmp_path / "history.parquet")


def test_by_the_wall_clock_no_row_comes_from_the_future(tmp_path: Path) -> None:
    configured(tmp_path)
    path = tmp_path / "fraud.toml"
    path.write_text(path.read_text().replace('clock = "log"', 'clock = "wall"'))
    settings = load_settings(path, {})
    year_us = 365 * DAY_US
    for time_us, taken in ((WallClock().now_us(), True), (WallClock().now_us() + year_us, False)):
        row = {**ROW, "time": time_us}
        if taken:
            imported(settings, row)
            shutil.rmtree(settings.data_dir)
            continue
        with pytest.raises(InvalidInput, match=r"arrival_time: after now .* in 1 rows, first row 2"):
            imported(settings, row)
        assert not settings.places.log.exists()
