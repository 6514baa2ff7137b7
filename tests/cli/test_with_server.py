"""The commands against a real scorer, started by the command line."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fraud.adversary.stage import free_port
from fraud.cli.main import run
from fraud.client import Client
from fraud.eventlog.folder import open_log
from fraud.features.archive import open_archive
from fraud.settings import load_settings

pytestmark = pytest.mark.process
START_S = 180.0
T = 1_767_225_600_000_000


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("service") / "fraud.toml"
    assert run(["init", "--config", str(path)]) == 0
    port = free_port()
    text = (
        path.read_text()
        .replace("#port = 50051", f"port = {port}")
        .replace("#scorer_port = 9464", "scorer_port = -1")
    )
    text = text.replace("#label_rows_max = 10000", "label_rows_max = 2").replace(
        "#retrainer_port = 9465", "retrainer_port = -1"
    )
    path.write_text(text)
    command = [sys.executable, "-m", "fraud.cli", "--config", str(path), "serve"]
    with (path.parent / "serve.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        with Client(f"127.0.0.1:{port}") as client:
            client.wait_ready(START_S)
        yield path
    finally:
        server.terminate()
        try:
            assert server.wait(START_S) == 0, (path.parent / "serve.log").read_text()
        finally:
            server.kill()


def fraud(
    config: Path, capsys: pytest.CaptureFixture[str], *arguments: str | Path
) -> tuple[int, dict[str, Any], str]:
    """Run a command; return its status, its document and what it said on stderr."""
    capsys.readouterr()
    status = run(["--config", str(config), "--output", "json", *map(str, arguments)])
    told = capsys.readouterr()
    return status, json.loads(told.out) if told.out else {}, told.err


def transaction(transaction_id: str, **changed: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "transaction_id": transaction_id,
        "event_time_us": T,
        "model": "card",
        "entities": {"card": "tok_1", "merchant": "m_1"},
        "amount_minor": 4990,
        "currency": "EUR",
        "categoricals": {"channel": "web"},
    }
    return fields | changed


def push(
    config: Path, capsys: pytest.CaptureFixture[str], rows: list[tuple[str, str, str]], batch: str, *more: str
) -> tuple[int, dict[str, Any], str]:
    path = config.parent / "labels.csv"
    path.write_text("transaction_id,value,label_time\n" + "".join(",".join(row) + "\n" for row in rows))
    arguments = ("--batch", batch, "--source", "chargeback", "--submitter", "jane", *more)
    return fraud(config, capsys, "label", "push", path, *arguments)


def test_a_transaction_is_scored(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, document, _ = fraud(config, capsys, "score", json.dumps(transaction("one")))
    (decision,) = document["decisions"]
    assert status == 0
    assert (decision["outcome"], decision["score"]) == ("APPROVE", None)
    assert "NO_CHAMPION" in decision["limits"]


def test_decisions_are_listed_by_outcome_and_one_is_told_whole(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("queued-1", "queued-2"):
        fraud(config, capsys, "score", json.dumps(transaction(name)))
    asked = ("decisions", "--outcome", "approve", "--since", "1h")
    listed = [it["transaction_id"] for it in fraud(config, capsys, *asked)[1]["decisions"]]
    assert {"queued-1", "queued-2"} <= set(listed)
    one = fraud(config, capsys, *asked, "--limit", "1")[1]
    assert (len(one["decisions"]), one["more"]) == (1, True)
    nothing = {"decisions": [], "more": False}
    assert fraud(config, capsys, "decisions")[1] == nothing, "nothing is in review without a champion"
    assert fraud(config, capsys, "decisions", "--model", "crad")[0] == 2
    status, found, _ = fraud(config, capsys, "decision", "queued-1")
    assert status == 0
    assert (found["outcome"], found["model"], found["amount_minor"]) == ("APPROVE", "card", 4990)
    assert "NO_CHAMPION" in found["limits"]
    status, _, told = fraud(config, capsys, "decision", "never")
    assert status == 1
    assert "never" in told
    status, _, told = fraud(config, capsys, "decisions", "--outcome", "maybe")
    assert status == 2
    assert "name any of APPROVE, CHALLENGE, REVIEW, DECLINE" in told


def test_a_decision_is_told_with_whose_it_was_and_what_was_said_of_it_since(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("told", "untold"):
        fraud(config, capsys, "score", json.dumps(transaction(name)))
    for value, day in (("FRAUD", "2026-01-09"), ("LEGITIMATE", "2026-01-10")):
        push(config, capsys, [("told", value, day), ("another", value, day)], f"told-{value}")
    fraud(config, capsys, "label", "retract", "told-FRAUD", "--reason", "r", "--submitter", "jane")
    status, found, _ = fraud(config, capsys, "decision", "told")
    assert status == 0
    assert list(found["entities"]) == list(transaction("told")["entities"])
    assert all(isinstance(number, int) for number in found["entities"].values())
    assert [(it["value"], it["source"], it["submitter"], it["retracted"]) for it in found["labels"]] == [
        ("FRAUD", "chargeback", "jane", True),
        ("LEGITIMATE", "chargeback", "jane", False),
    ]
    assert found["labels"][0]["label_time"].startswith("2026-01-09")
    settings = load_settings(config, {})
    with closing(open_log(settings)) as log:
        open_archive(settings).copy_from(log)
    push(config, capsys, [("told", "FRAUD", "2026-01-11")], "told-again")
    later = fraud(config, capsys, "decision", "told")[1]
    assert later["labels"][:2] == found["labels"], "from the archive as from the log"
    assert [it["batch_id"] for it in later["labels"][2:]] == ["told-again"]
    assert fraud(config, capsys, "decision", "untold")[1]["labels"] == []
    assert run(["--config", str(config), "decision", "told"]) == 0
    shown = capsys.readouterr().out
    assert "card, by number" in shown
    assert "retracted" in shown


def test_a_bad_transaction_is_refused_by_name_and_the_others_are_scored(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config.parent / "transactions.jsonl"
    bad = transaction("bad", categoricals={"channel": "web", "colour": "red"})
    path.write_text("\n".join(json.dumps(row) for row in (transaction("two"), bad, transaction("three"))))
    status, document, _ = fraud(config, capsys, "score", path)
    assert status == 1
    assert [each["transaction_id"] for each in document["decisions"]] == ["two", "bad", "three"]
    error = document["decisions"][1]["error"]
    assert "colour" in error["field"] + error["message"]
    assert document["decisions"][2]["outcome"] == "APPROVE"


def test_a_broken_line_sends_nothing_and_is_named(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = config.parent / "transactions.jsonl"
    path.write_text(json.dumps(transaction("unsent")) + "\n" + json.dumps({"colour": "red"}) + "\n")
    status, _, told = fraud(config, capsys, "score", path)
    assert status == 2
    assert f"{path} line 2: colour: is no field of Transaction" in told
    status, _, told = push(config, capsys, [("unsent", "FRAUD", "2026-01-09")], "unsent")
    assert status == 0


def test_labels_are_accepted_wait_and_are_counted_in_parts(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fraud(config, capsys, "score", json.dumps(transaction("labelled")))
    rows = [
        ("labelled", "FRAUD", "2026-01-09"),
        ("later-1", "FRAUD", "2026-01-09"),
        ("later-2", "LEGITIMATE", "2026-01-10"),
    ]
    status, document, _ = push(config, capsys, rows, "batch-1")
    assert status == 0
    assert (document["accepted"], document["waiting"], document["refused"], document["parts"]) == (1, 2, 0, 2)
    status, document, _ = push(config, capsys, rows, "batch-1")
    assert status == 0
    assert (document["accepted"], document["taken_before"]) == (0, 3)
    status, document, _ = fraud(config, capsys, "label", "batches")
    parts = [each for each in document["batches"] if each["batch_id"] == "batch-1"]
    assert [(each["part"], each["frauds"], each["legitimates"]) for each in parts] == [(0, 2, 0), (1, 0, 1)]


def test_a_push_that_is_repeated_says_again_what_was_refused(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [("x" * 200, "FRAUD", "2026-01-09"), ("later-3", "FRAUD", "2026-01-09")]
    for accepted, before in ((1, 0), (0, 1)):
        status, document, _ = push(config, capsys, rows, "batch-refused")
        assert status == 1
        assert (document["refused"], document["taken_before"]) == (1, before)
        assert document["accepted"] + document["waiting"] == accepted


def test_a_push_that_is_only_tried_tells_what_the_push_would_and_sends_nothing(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fraud(config, capsys, "score", json.dumps(transaction("tried")))
    rows = [
        ("tried", "FRAUD", "2026-01-09"),
        ("later", "FRAUD", "2026-01-09"),
        ("x" * 200, "FRAUD", "2026-01-09"),
    ]
    tried = push(config, capsys, rows, "batch-tried", "--dry-run")
    _, document, _ = fraud(config, capsys, "label", "batches")
    assert "batch-tried" not in {each["batch_id"] for each in document["batches"]}
    pushed = push(config, capsys, rows, "batch-tried")
    assert (tried[0], tried[1] | {"dry_run": False}, tried[2]) == pushed
    assert (pushed[0], pushed[1]["accepted"], pushed[1]["waiting"], pushed[1]["refused"]) == (1, 1, 1, 1)
    assert push(config, capsys, rows, "batch-tried", "--dry-run")[1]["taken_before"] == 2
    status, _, told = push(config, capsys, rows[:1], "batch-tried", "--dry-run")
    assert (status, json.loads(told)["error"]) == (1, "CONFLICT")
    broken = [*rows, ("a", "MAYBE", "2026-01-09")]
    assert json.loads(push(config, capsys, broken, "batch-tried", "--dry-run")[2])["error"] == "INVALID_INPUT"


def test_refusals_are_counted_by_kind_and_what_a_file_says_twice_is_counted(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = [
        ("told-twice", "FRAUD", "2026-01-09"),
        ("told-twice", "FRAUD", "2026-01-09"),
        ("told-both", "FRAUD", "2026-01-09"),
        ("told-both", "LEGITIMATE", "2026-01-10"),
        ("taken-back", "FRAUD", "2026-01-09"),
        ("taken-back", "WITHDRAWN", "2026-01-10"),
    ]
    to_come = [(f"to-come-{day}", "FRAUD", f"2090-01-{day:02}") for day in range(1, 28)]
    status, document, _ = push(config, capsys, [*said, *to_come], "kinds")
    assert (status, document["refused"], document["waiting"]) == (1, 27, 6)
    assert (document["duplicates"], document["contradictions"]) == (1, 1)
    ((kind, count),) = document["refused_by_reason"].items()
    assert (count, "send it after its time, under another batch id" in kind) == (27, True)


def test_a_push_is_tried_without_a_service_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "fraud.toml"
    assert run(["init", "--config", str(path)]) == 0
    status, document, told = push(path, capsys, [("a", "FRAUD", "2026-01-09")], "b", "--dry-run")
    assert (status, document["waiting"], document["dry_run"]) == (0, 1, True)
    assert "the log is not here" in json.loads(told)["note"]
    assert not (tmp_path / "data").exists()
    wrong = ("--source", "rumour")
    assert (
        json.loads(push(path, capsys, [("a", "FRAUD", "2026-01-09")], "b", "--dry-run", *wrong)[2])["field"]
        == "source"
    )


def test_the_same_batch_with_other_labels_is_refused(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    push(config, capsys, [("a", "FRAUD", "2026-01-09")], "batch-2")
    status, _, told = push(config, capsys, [("a", "LEGITIMATE", "2026-01-09")], "batch-2")
    assert status != 0
    assert (
        "'batch-2' part 0 was taken before with other labels; send corrections under a new batch_id" in told
    )


def test_an_unknown_source_is_named_with_those_there_are(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, told = push(config, capsys, [("a", "FRAUD", "2026-01-09")], "batch-3", "--source", "martians")
    assert status == 2
    assert "'martians'" in told
    assert "chargeback, analyst, customer" in told


def test_a_broken_row_refuses_the_file_unless_told_to_skip_it(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [("a", "MAYBE", "2026-01-09"), ("labelled-2", "FRAUD", "2026-01-09")]
    status, document, told = push(config, capsys, rows, "batch-4")
    assert (status, document) == (2, {})
    assert "line 2: value: 'MAYBE' is no verdict" in told
    status, document, _ = push(config, capsys, rows, "batch-4", "--skip-broken")
    assert status == 1
    assert (document["waiting"], document["refused"]) == (1, 1)
    assert document["refused_by_reason"] == {"broken row": 1}


def test_a_span_of_a_file_is_pushed_from_its_beginning_to_before_its_end(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(f"span-{hour}", "FRAUD", f"2026-01-09T{hour:02}:00:00Z") for hour in range(8, 13)]
    span = ("--since", "2026-01-09T09:00:00Z", "--until", "2026-01-09T11:00:00Z")
    status, document, _ = push(config, capsys, rows, "span", *span)
    assert status == 0
    assert (document["waiting"], document["left_out"]) == (2, 3)
    batches = fraud(config, capsys, "label", "batches")[1]["batches"]
    assert [each["frauds"] for each in batches if each["batch_id"] == "span"] == [2]
    status, document, _ = push(config, capsys, rows, "rest", "--since", "2026-01-09T11:00:00Z")
    assert (status, document["waiting"], document["left_out"]) == (0, 2, 3)
    status, document, _ = push(config, capsys, rows, "first", "--until", "2026-01-09T09:00:00Z")
    assert (status, document["waiting"], document["left_out"]) == (0, 1, 4)


def test_a_span_without_labels_sends_nothing_and_says_how_many_were_left_out(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [("early", "FRAUD", "2026-01-09")]
    status, document, _ = push(config, capsys, rows, "nobody", "--since", "2026-01-10")
    assert (status, document["parts"], document["left_out"]) == (0, 0, 1)
    status, _, told = push(config, capsys, rows, "no", "--since", "2026-01-10", "--until", "2026-01-10")
    assert status == 2
    assert "--until: '2026-01-10' is not after --since '2026-01-10'; give a later end" in told


def test_no_champion_and_no_version_yet(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, document, _ = fraud(config, capsys, "champion")
    assert status == 0
    assert [(each["model"], each["version"]) for each in document["champions"]] == [
        ("card", ""),
        ("transfer", ""),
    ]
    assert fraud(config, capsys, "versions")[1] == {"versions": []}
    status, _, told = fraud(config, capsys, "show", "card-1")
    assert status == 1
    assert "'card-1'" in told


def test_replay_beside_the_running_scorer_finds_no_difference(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fraud(config, capsys, "score", json.dumps(transaction("replayed")))
    status, document, _ = fraud(config, capsys, "replay")
    assert (status, document["equal"]) == (0, True)
    assert document["transactions"] >= 1


def test_the_doctor_knows_its_own_server(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fraud.cli.checkup._ANSWER_S", START_S)
    status, document, _ = fraud(config, capsys, "doctor")
    found = {each["check"]: each for each in document["findings"]}
    assert status == 0, document
    pid = (load_settings(config, {}).data_dir / "scorer.lock").read_text()
    assert f"is served by this service, process {pid} (" in found["port"]["text"]
    assert found["model card"]["state"] == "warn"


def test_the_doctor_of_another_folder_names_who_has_the_port(
    config: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    other = tmp_path / "fraud.toml"
    other.write_text(config.read_text())
    assert load_settings(other, {}).data_dir != load_settings(config, {}).data_dir
    status, document, _ = fraud(other, capsys, "doctor")
    found = {each["check"]: each for each in document["findings"]}
    pid = (load_settings(config, {}).data_dir / "scorer.lock").read_text()
    assert (status, found["port"]["state"]) == (1, "fail")
    told = found["port"]["text"]
    assert f"is held by process {pid} (" in told
    assert told.endswith("), which is not the scorer of this folder")


def test_a_second_scorer_refuses_to_start(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, told = fraud(config, capsys, "serve")
    assert status == 1
    assert "is the scorer of this folder already" in told
