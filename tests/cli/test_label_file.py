"""Label files: three kinds, the same labels; what is wrong is named with its place."""

import json
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from fraud.cli.label_file import read_labels
from fraud.errors import InvalidInput, LimitExceeded
from fraud.records import Label, LabelValue

T = 1_700_000_000_000_000
ISO = "2023-11-14T22:13:20Z"
LABELS = [
    Label("tx-1", LabelValue.FRAUD, T, "case 12"),
    Label("tx-2", LabelValue.LEGITIMATE, T),
    Label("7", LabelValue.WITHDRAWN, T),
]


def csv_file(folder: Path, text: str) -> Path:
    path = folder / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_csv_parquet_and_json_lines_say_the_same(tmp_path: Path) -> None:
    rows = [("tx-1", "FRAUD", ISO, "case 12"), ("tx-2", "legitimate", ISO, ""), ("7", "Withdrawn", ISO, "")]
    names = ("transaction_id", "value", "label_time", "comment")
    as_csv = csv_file(tmp_path, ",".join(names) + "\n" + "\n".join(",".join(row) for row in rows) + "\n")
    as_lines = tmp_path / "labels.jsonl"
    as_lines.write_text("".join(json.dumps(dict(zip(names, row, strict=True))) + "\n\n" for row in rows))
    as_parquet = tmp_path / "labels.parquet"
    pl.DataFrame(rows, schema=list(names), orient="row").write_parquet(as_parquet)
    for path in (as_csv, as_lines, as_parquet):
        assert read_labels(path) == (LABELS, [])


def test_parquet_may_hold_datetimes_and_integer_ids(tmp_path: Path) -> None:
    path = tmp_path / "labels.parquet"
    times = [datetime.fromtimestamp(T / 1e6, UTC)]
    pl.DataFrame({"transaction_id": [7], "value": ["WITHDRAWN"], "label_time": times}).write_parquet(path)
    assert read_labels(path) == ([LABELS[2]], [])


def test_a_time_without_a_zone_is_utc(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "transaction_id,value,label_time\n7,WITHDRAWN,2023-11-14 22:13:20\n")
    assert read_labels(path) == ([LABELS[2]], [])


def test_microseconds_are_a_time(tmp_path: Path) -> None:
    path = csv_file(tmp_path, f"transaction_id,value,label_time\n7,WITHDRAWN,{T}\n")
    assert read_labels(path) == ([LABELS[2]], [])


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (f"tx-1,MAYBE,{ISO}", "value: 'MAYBE' is no verdict; write FRAUD, LEGITIMATE, WITHDRAWN"),
        (f",FRAUD,{ISO}", "transaction_id: '' is not an id"),
        ("tx-1,FRAUD,yesterday", "label_time: 'yesterday' is not a time; write it like 2026-03-01T12:00:00Z"),
        ("tx-1,FRAUD,1905-01-01", "label_time: '1905-01-01' is before 2000"),
        ("tx-1,FRAUD,1999-12-31T23:59:59Z", "label_time: '1999-12-31T23:59:59Z' is before 2000; write it"),
        (
            "tx-1,FRAUD,1700000000",
            "label_time: '1700000000' is not a time; write it like 2026-03-01T12:00:00Z, or",
        ),
        ("tx-1,FRAUD", "it has more or fewer cells than the header"),
        (f"tx-1,FRAUD,{ISO},more", "it has more or fewer cells than the header"),
    ],
)
def test_a_broken_row_is_told_with_its_line_and_the_others_are_read(
    tmp_path: Path, row: str, told: str
) -> None:
    path = csv_file(tmp_path, f"transaction_id,value,label_time\n{row}\n7,WITHDRAWN,{ISO}\n")
    labels, broken = read_labels(path)
    assert labels == [LABELS[2]]
    assert [each.place for each in broken] == ["line 2"]
    assert told in broken[0].problem


def test_a_broken_json_line_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    good = json.dumps({"transaction_id": 7, "value": "WITHDRAWN", "label_time": T})
    path.write_text(f'{good}\n{{\n[1]\n{{"id": 7, "value": "FRAUD", "label_time": {T}}}\n')
    labels, broken = read_labels(path)
    assert labels == [LABELS[2]]
    assert [each.place for each in broken] == ["line 2", "line 3", "line 4"]
    assert "missing column transaction_id, unknown column id" in broken[2].problem


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("transaction_id,value", "missing column label_time"),
        ("transaction_id,value,label_time,score", "unknown column score"),
        ("id,value,label_time", "missing column transaction_id, unknown column id"),
        ("", "missing column transaction_id"),
    ],
)
def test_wrong_columns_refuse_the_file_and_name_the_right_ones(
    tmp_path: Path, header: str, told: str
) -> None:
    path = csv_file(tmp_path, f"{header}\n1,2,3\n")
    with pytest.raises(InvalidInput) as caught:
        read_labels(path)
    assert told in str(caught.value)
    assert "required: transaction_id, value, label_time; optional: comment" in str(caught.value)


@pytest.mark.parametrize("name", ["labels.xlsx", "labels.parquet", "labels.csv"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"\xff\xfe\x00not a label file")
    with pytest.raises(InvalidInput, match="labels"):
        read_labels(path)


def test_parquet_whose_values_repeat_is_measured_before_it_is_unfolded(tmp_path: Path) -> None:
    path = tmp_path / "labels.parquet"
    rows = 300
    pl.DataFrame(
        {
            "transaction_id": [f"t-{i}" for i in range(rows)],
            "value": ["FRAUD"] * rows,
            "label_time": ["2026-03-01T12:00:00Z"] * rows,
            "comment": ["x" * 1_000_000] * rows,
        }
    ).write_parquet(path)
    assert path.stat().st_size < 10_000
    tracemalloc.start()
    try:
        with pytest.raises(LimitExceeded, match=r"holds 3000\d+ bytes of text; split it"):
            read_labels(path)
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


def test_parquet_of_lists_is_named(tmp_path: Path) -> None:
    path = tmp_path / "labels.parquet"
    times = ["2026-03-01T12:00:00Z"]
    pl.DataFrame({"transaction_id": [["a"]], "value": ["FRAUD"], "label_time": times}).write_parquet(path)
    with pytest.raises(InvalidInput, match="transaction_id of List"):
        read_labels(path)


def test_parquet_of_numbers_alone_is_read_row_by_row(tmp_path: Path) -> None:
    path = tmp_path / "labels.parquet"
    pl.DataFrame({"transaction_id": [1], "value": [2], "label_time": [3]}).write_parquet(path)
    assert [it.place for it in read_labels(path)[1]] == ["row 1"]
