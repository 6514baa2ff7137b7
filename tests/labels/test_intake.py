import json
from pathlib import Path

import polars as pl
import pytest

from fraud.errors import InvalidInput, NotFound
from fraud.labels.intake import RefusedLine, read_labels
from fraud.records import Label, LabelValue

ROWS = [
    {"transaction_id": "t1", "label": "FRAUD", "label_time": "1970-01-01T00:00:05Z", "comment": "ring"},
    {"transaction_id": "t2", "label": "legitimate", "label_time": "1970-01-01T01:00:05+01:00", "comment": ""},
    {"transaction_id": "t3", "label": "1", "label_time": "5000000", "comment": ""},
    {"transaction_id": "t4", "label": "0", "label_time": "5000000", "comment": 'with "quotes", and comma'},
    {"transaction_id": "t5", "label": "Withdrawn", "label_time": "5000000", "comment": ""},
]
FRAUD, LEGITIMATE, WITHDRAWN = LabelValue.FRAUD, LabelValue.LEGITIMATE, LabelValue.WITHDRAWN
LABELS = [
    Label("t1", FRAUD, 5_000_000, "ring"),
    Label("t2", LEGITIMATE, 5_000_000),
    Label("t3", FRAUD, 5_000_000),
    Label("t4", LEGITIMATE, 5_000_000, 'with "quotes", and comma'),
    Label("t5", WITHDRAWN, 5_000_000),
]


def write(folder: Path, ending: str, rows: list[dict[str, str]]) -> Path:
    path = folder / f"labels{ending}"
    frame = pl.DataFrame(rows)
    if ending == ".csv":
        frame.write_csv(path)
    elif ending == ".parquet":
        frame.write_parquet(path)
    else:
        path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return path


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl", ".ndjson"])
def test_every_format_gives_the_same_labels(tmp_path: Path, ending: str) -> None:
    assert read_labels(write(tmp_path, ending, ROWS)) == (LABELS, [])


def test_parquet_may_hold_real_times_and_numbers(tmp_path: Path) -> None:
    path = tmp_path / "labels.parquet"
    times = pl.Series([5_000_000, None]).cast(pl.Datetime("us", "UTC"))
    pl.DataFrame({"transaction_id": ["t1", "t2"], "label": [1, 0], "label_time": times}).write_parquet(path)
    assert read_labels(path, default_time_us=7) == (
        [Label("t1", FRAUD, 5_000_000), Label("t2", LEGITIMATE, 7)],
        [],
    )


@pytest.mark.parametrize(("ending", "first"), [(".csv", 2), (".parquet", 1), (".jsonl", 1)])
def test_wrong_rows_are_refused_with_their_line_and_the_others_read(
    tmp_path: Path, ending: str, first: int
) -> None:
    bad = [
        {**ROWS[0], "transaction_id": " "},
        ROWS[0],
        {**ROWS[0], "label": "maybe"},
        {**ROWS[0], "label_time": "yesterday"},
        {**ROWS[0], "label_time": "1970-01-01T00:00:05"},
        {**ROWS[0], "label_time": ""},
    ]
    labels, refused = read_labels(write(tmp_path, ending, bad))
    assert labels == LABELS[:1]
    assert [(row.line - first, row.field) for row in refused] == [
        (0, "transaction_id"),
        (2, "label"),
        (3, "label_time"),
        (4, "label_time"),
        (5, "label_time"),
    ]
    assert "zone" in refused[3].reason


def test_a_default_time_stands_where_the_file_has_none(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("transaction_id,label\nt1,fraud\n")
    assert read_labels(path, default_time_us=9) == ([Label("t1", FRAUD, 9)], [])
    with pytest.raises(InvalidInput, match="missing label_time"):
        read_labels(path)


def test_lines_that_are_no_json_object_are_refused_alone(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(f"{json.dumps(ROWS[0])}\n\nnonsense\n[1]\n{{}}\n")
    labels, refused = read_labels(path)
    assert labels == LABELS[:1]
    assert [row.line for row in refused] == [3, 4, 5]


def test_a_short_csv_row_is_refused_alone(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("transaction_id,label,label_time\nt1,fraud,5\nt2,fraud\nt3,fraud,6\n")
    labels, refused = read_labels(path)
    assert [label.transaction_id for label in labels] == ["t1", "t3"]
    assert refused == [RefusedLine(3, "row", "has 2 cells, the header 3")]


def test_wrong_columns_refuse_the_file_naming_them_and_those_expected(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("id,label,label_time\nt1,fraud,5\n")
    with pytest.raises(
        InvalidInput, match=r"missing transaction_id; unknown id.*expected transaction_id, label"
    ):
        read_labels(path)


def test_other_files_are_refused_with_the_endings_that_are_read(tmp_path: Path) -> None:
    path = tmp_path / "labels.xlsx"
    path.write_text("")
    with pytest.raises(InvalidInput, match=r"\.csv, \.parquet, \.jsonl"):
        read_labels(path)
    with pytest.raises(NotFound, match="no such file"):
        read_labels(tmp_path / "gone.csv")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1nonsense")
    with pytest.raises(InvalidInput, match="is not Parquet"):
        read_labels(tmp_path / "broken.parquet")
