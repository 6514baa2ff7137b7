"""`fraud import`: what it says of frauds that become known after the history ends, and where they are."""

import json
import shlex
from itertools import pairwise
from pathlib import Path
from unittest.mock import Mock

import pytest

from fraud.cli.import_ import how_to_push
from fraud.cli.label_file import read_labels, write_labels
from fraud.cli.main import run
from fraud.cli.times import parse_time_us
from fraud.clock import DAY_US
from fraud.errors import Unavailable
from fraud.eventlog import lock_data_folder
from fraud.eventlog.folder import open_log
from fraud.records import Label, LabelValue
from fraud.serving.history import LATER
from fraud.serving.recovery import Snapshots
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
    line = next(it for it in told.splitlines() if "fraud label push" in it)
    command = shlex.split(line.strip())[1:]
    given = dict(pairwise(command))
    since_us, until_us = (parse_time_us(given[name], name) for name in ("--since", "--until"))
    times_us = [it.label_time_us for it in labels]
    assert since_us <= min(times_us) < until_us <= since_us + 7 * DAY_US
    assert given["--batch"] == f"later-{given['--until']}"

    where = ["--config", str(tmp_path / "fraud.toml"), "--output", "json"]
    assert run([*where, *command, "--dry-run"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["accepted"] == sum(time_us < until_us for time_us in times_us) > 0
    assert document["refused"] == 0


def test_frauds_known_over_weeks_are_pushed_a_week_at_a_time() -> None:
    first_us = parse_time_us("2026-11-30T13:00:00Z", "first")
    told = how_to_push(Path("my data/later.jsonl"), "bank", [first_us + 20 * DAY_US, first_us])
    assert told == (
        "From 2026-12-07 on:\n  fraud label push 'my data/later.jsonl' --batch later-2026-12-07 "
        "--source bank --submitter YOU --since 2026-11-30 --until 2026-12-07\n"
        "and so on to 2026-12-21, each span when it is over, under a batch id of its own"
    )


def test_a_history_that_is_only_tried_is_checked_as_if_it_were_loaded_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = test_history.configured(tmp_path)
    path, frame = test_history.made(tmp_path, seed=8)

    def imported(*more: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = run(
            ["import", str(path), "--config", str(tmp_path / "fraud.toml"), "--output", "json", *more]
        )
        told = capsys.readouterr()
        return status, told.out, told.err

    status, tried, _ = imported("--dry-run")
    assert status == 0
    assert not settings.data_dir.exists()
    with lock_data_folder(settings.data_dir):
        assert json.loads(imported("--dry-run")[2])["error"] == "DATA_FOLDER_LOCKED"
    status, loaded, _ = imported()
    assert json.loads(tried) == json.loads(loaded) | {"dry_run": True}
    again = [json.loads(imported(*more)[2]) for more in ((), ("--dry-run",))]
    assert again[0] == again[1]
    assert again[0]["error"] == "NOT_ALLOWED_NOW"
    frame.drop("id").write_parquet(path)
    wrong = [json.loads(imported(*more)[2]) for more in ((), ("--dry-run",))]
    assert wrong[0] == wrong[1]
    assert wrong[0]["error"] == "INVALID_INPUT"


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


def test_a_history_that_is_loaded_leaves_its_later_frauds_whatever_comes_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = test_history.configured(tmp_path)
    path, _ = test_history.made(tmp_path, seed=8)
    full = Unavailable("no space is left for a snapshot")
    monkeypatch.setattr(Snapshots, "write", Mock(side_effect=full))
    assert run(["import", str(path), "--config", str(tmp_path / "fraud.toml")]) == 0
    assert read_labels(settings.data_dir / LATER)[0]


def test_later_frauds_that_cannot_be_kept_leave_the_log_empty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = test_history.configured(tmp_path)
    path, _ = test_history.made(tmp_path, seed=8)
    (settings.data_dir / LATER).mkdir(parents=True)
    assert run(["import", str(path), "--config", str(tmp_path / "fraud.toml")]) == 1
    assert LATER in capsys.readouterr().err
    log = open_log(settings)
    assert log.head() == 0
    log.close()
    (settings.data_dir / LATER).rmdir()
    assert run(["import", str(path), "--config", str(tmp_path / "fraud.toml")]) == 0


def test_an_id_that_a_spreadsheet_would_calculate_comes_back_as_it_is(tmp_path: Path) -> None:
    labels = [Label('=HYPERLINK("x","y")', LabelValue.FRAUD, 1_700_000_000_000_000)]
    write_labels(tmp_path / LATER, labels)
    assert read_labels(tmp_path / LATER) == (labels, [])
    assert not (tmp_path / LATER).read_text().startswith("=")
