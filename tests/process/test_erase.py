"""Erasing a person from a real service: beside a retrainer, through crashes, and before a retrain."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fraud import faults
from fraud.cli.main import run
from fraud.client import Client
from fraud.errors import FraudError, NotFound
from fraud.registry.store import LedgerStore
from tests.process.test_loop import retraining
from tests.serving.persons import (
    BACKUP,
    EMAIL,
    SECRETS,
    TOKEN,
    files_with,
    personal_settings,
    take,
    verdicts,
)
from tests.serving.worlds import START_S, Process, Stream, serving, start, train_at_once
from tests.waiting import wait_until

pytestmark = pytest.mark.process

Shown = pytest.CaptureFixture[str]


def fill(client: Client, stream: Stream, rows: int = 200) -> None:
    """Score payments, Ann's among them, and label some with comments."""
    for _ in range(0, rows, 50):
        wires = take(stream, 50)
        for result in client.score_batch(wires):
            assert result.HasField("decision"), result.error
        client.submit_labels(f"batch-{stream.count}", 0, "analyst", "jane", verdicts(wires))


def fraud(folder: Path, process: Process | None, *arguments: str) -> int:
    """Run a command line on the folder, against the process where there is one."""
    target = ["--target", process.target] if process else []
    return run([*arguments, *target, "--config", str(folder / "fraud.toml"), "--output", "json"])


def erased(folder: Path) -> list[tuple[int, str]]:
    """Return surrogate and reason of the erasures in the ledger."""
    ledger = LedgerStore.open(folder / "data" / "registry.sqlite", writable=False)
    try:
        entries = [entry for entry in ledger.read() if entry.kind == "EntityErased"]
        return [(entry.body["surrogate"], entry.reason) for entry in entries]
    finally:
        ledger.close()


def test_a_person_is_erased_while_scorer_and_retrainer_run(tmp_path: Path, capsys: Shown) -> None:
    personal_settings(tmp_path)
    stream = Stream(seed=61)
    command = ["erase", "--entity", f"card={TOKEN}", "--actor", "dpo", "--reason", "request 4711"]
    with serving(tmp_path) as process, process.client() as client, retraining(tmp_path):
        fill(client, stream)
        wait_until(lambda: any((tmp_path / "data" / "archive").rglob("*.parquet")))
        assert fraud(tmp_path, process, *command) == 2, "nobody there to ask"
        assert fraud(tmp_path, process, *command, "--dry-run") == 0
        assert json.loads(capsys.readouterr().out)["transactions"] == 20
        assert files_with(tmp_path / "data") != []
        fill(client, stream, 50)
        assert fraud(tmp_path, process, *command, "--yes") == 0
        done = json.loads(capsys.readouterr().out)
        assert done["complete"]
        assert (done["transactions"], done["fields"], done["comments"]) == (25, 25, 25)
        assert done["linked"] == {"device": {"erased": 1, "kept": 0}}
        assert done["not_touched"] == [BACKUP]
        assert files_with(tmp_path / "data") == []
        assert fraud(tmp_path, process, *command, "--yes") == 0
        again = json.loads(capsys.readouterr().out)
        assert (again["repeated"], again["ledger_seq"]) == (True, done["ledger_seq"])
        unknown = ["erase", "--entity", "card=nobody", "--reason", "request", "--yes"]
        assert fraud(tmp_path, process, *unknown) == 1
        assert "no such token" in capsys.readouterr().err
        # Others score on, and the same person may come back as somebody new.
        fill(client, stream, 50)
        assert fraud(tmp_path, None, "replay") == 0
        assert process.stop() == 0
    assert [reason for _, reason in erased(tmp_path)] == ["request 4711"]
    assert fraud(tmp_path, None, "replay") == 0


@pytest.mark.parametrize("point", [name for name in faults.POINTS if name.startswith("erasure.")])
def test_an_erasure_that_is_killed_anywhere_is_finished_by_the_next_scorer(
    tmp_path: Path, point: str, capsys: Shown
) -> None:
    personal_settings(tmp_path)
    stream = Stream(seed=62)
    process = start(tmp_path, **{faults.VARIABLE: point})
    with process.client() as client:
        fill(client, stream)
        with pytest.raises(FraudError):
            client.erase_entity("card", TOKEN, actor="dpo", reason="request 4711")
    assert process.child.wait(START_S) != 0, "it died at the point"
    assert fraud(tmp_path, None, "replay") == 0
    with serving(tmp_path) as process, process.client() as client:
        with pytest.raises(NotFound, match="it was erased before"):
            client.erase_entity("card", TOKEN, actor="dpo", reason="request 4711")
        wait_until(lambda: erased(tmp_path))
        (surrogate, reason) = erased(tmp_path)[0]
        assert reason == "request 4711"
        wait_until(lambda: files_with(tmp_path / "data") == [])
        reply = client.erase_entity("card", surrogate=surrogate)
        assert (reply.transactions, reply.fields, reply.comments, reply.repeated) == (20, 20, 20, True)
        fill(client, stream, 50)
    assert len(erased(tmp_path)) == 1
    capsys.readouterr()
    assert fraud(tmp_path, None, "replay") == 0


RETRAIN = """
import sys
from pathlib import Path
from fraud.retrainer.daemon import run_once
from fraud.settings import load_settings
run_once(load_settings(Path(sys.argv[1]), {}), [], "test", "test")
"""


def boosters(folder: Path) -> dict[str, bytes]:
    """Retrain once in a process of its own; return the boosters, by the digest of nothing but them."""
    subprocess.run([sys.executable, "-c", RETRAIN, str(folder / "fraud.toml")], check=True, env=os.environ)
    found = sorted((folder / "data" / "bundles").glob("*/booster.ubj"))
    return {path.parent.name: path.read_bytes() for path in found}


def test_a_retrain_after_an_erasure_gives_the_same_boosters_byte_for_byte(tmp_path: Path) -> None:
    whole, without = tmp_path / "whole", tmp_path / "without"
    whole.mkdir()
    personal_settings(whole)
    train_at_once(whole)
    stream = Stream(seed=63)
    with serving(whole) as process, process.client() as client:
        for _ in range(10):
            fill(client, stream, 200)
            stream.skip_days(0.6)
        assert process.stop() == 0
    shutil.copytree(whole, without)
    with serving(without) as process, process.client() as client:
        assert client.erase_entity("card", TOKEN, actor="dpo", reason="request").complete
        assert process.stop() == 0
    assert files_with(whole / "data", (TOKEN.encode(), EMAIL.encode()))
    assert files_with(without / "data") == []
    made = boosters(whole)
    assert made
    assert list(boosters(without).values()) == list(made.values())
    assert files_with(without / "data", SECRETS) == [], "nor do bundles hold anything"
