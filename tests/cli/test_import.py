"""`fraud import`: what it says of frauds that become known after the history ends, and where they are."""

import json
from pathlib import Path

import pytest

from fraud.cli.import_ import LATER
from fraud.cli.label_file import read_labels
from fraud.cli.main import run
from fraud.records import LabelValue
from tests.serving import test_history


def test_frauds_known_later_are_named_and_lie_ready_to_be_pushed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = test_history.configured(tmp_path)
    path, frame = test_history.made(tmp_path, seed=8)
    assert run(["import", str(path), "--config", str(tmp_path / "fraud.toml")]) == 0
    told = capsys.readouterr().err
    labels, broken = read_labels(settings.data_dir / LATER)
    assert broken == []
    assert {it.value for it in labels} == {LabelValue.FRAUD}
    assert {int(it.transaction_id) for it in labels} < {*frame.filter(frame["fraud"] == 1)["id"].to_list()}
    assert f"{len(labels)} frauds are NOT loaded" in " ".join(told.split())
    assert "--source chargeback" in told


def test_a_history_whose_frauds_are_all_known_leaves_no_such_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = test_history.configured(tmp_path)
    path, frame = test_history.made(tmp_path, seed=9)
    frame.with_columns(fraud=0).write_parquet(path)
    assert run(["import", str(path), "--config", str(tmp_path / "fraud.toml"), "--output", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["transactions"], document["frauds"], document["frauds_later"]) == (len(frame), 0, 0)
    assert not (settings.data_dir / LATER).exists()
