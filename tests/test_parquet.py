"""Parquet at which Polars ends its process ends another than ours."""

from pathlib import Path

import polars as pl
import pytest

from fraud.cli.label_file import read_labels
from fraud.errors import InvalidInput
from fraud.parquet import scan_parquet
from fraud.serving.history_table import read_history
from tests.fuzz import seeds

ENDED = r"a process that reads it is ended \(SIGABRT\).*write it again"


def test_labels_whose_reading_ends_a_process_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.parquet"
    path.write_bytes(seeds.made_up_labels())
    with pytest.raises(InvalidInput, match=rf"labels\.parquet.*{ENDED}"):
        read_labels(path)


def test_a_history_whose_reading_ends_a_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "history.parquet"
    path.write_bytes(seeds.made_up_history())
    with pytest.raises(InvalidInput, match=rf"history\.parquet.*{ENDED}"):
        read_history(seeds.importing(), path)


def test_a_file_of_too_many_rows_is_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "labels.parquet"
    path.write_bytes(seeds.made_up_labels())
    assert scan_parquet(path, rows_max=199).select(pl.len()).collect().item() == 200
    with pytest.raises(InvalidInput):
        scan_parquet(path, rows_max=200)


def test_whatever_polars_says_of_a_file_is_said_here(tmp_path: Path) -> None:
    path = tmp_path / "-labels.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(pl.exceptions.PolarsError):
        scan_parquet(path).collect()
    frame = pl.DataFrame({"id": ["a", "b"]})
    frame.write_parquet(path)
    assert scan_parquet(path).collect().equals(frame)
