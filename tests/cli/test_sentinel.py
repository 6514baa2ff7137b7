"""`fraud sentinel` on a real data folder: a log, partly archived, a ledger and a champion."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fraud.cli.id_file import read_ids
from fraud.cli.main import run
from fraud.errors import InvalidInput
from fraud.records import BatchRetracted
from tests.retrainer.patterns import World, ids_of, with_champion

BURSTS = ids_of("burst", range(30, 35))
HONEST = "d30-100"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    with_champion(folder)
    return folder


@pytest.fixture
def world(made: Path, tmp_path: Path) -> Iterator[World]:
    """The folder with its log open for writing, as beside a running scorer."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    opened = World(tmp_path)
    yield opened
    opened.close()


def sentinel(
    world: World, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, dict[str, Any], str]:
    capsys.readouterr()
    status = run(["--config", str(world.config), "--output", "json", "sentinel", *arguments])
    told = capsys.readouterr()
    return status, json.loads(told.out) if told.out else {}, told.err


def add(
    world: World,
    capsys: pytest.CaptureFixture[str],
    ids: list[str],
    *more: str,
    pattern: str = "burst",
    model: str = "card",
) -> tuple[int, dict[str, Any], str]:
    path = world.config.parent / "ids.txt"
    path.write_text("\n".join(ids))
    given = ("--model", model, "--pattern", pattern, "--reason", "audit", "--actor", "jane")
    return sentinel(world, capsys, "add", str(path), *given, *more)


def test_confirmed_frauds_are_frozen_with_the_champions_share(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    status, document, _ = add(world, capsys, BURSTS)
    assert (status, document["added"], document["refused"], document["notes"]) == (0, 30, 0, [])
    found = world.ledger.state().sentinels["card", "burst"]
    assert set(found.transaction_ids) == set(BURSTS)
    assert list(found.positions) == sorted(found.positions)
    assert (found.actor, found.reason, found.source) == ("jane", "audit", "chargeback")
    assert found.champion == document["sentinels"]["champion"] == "card-1"
    assert found.caught is not None
    assert found.caught == document["sentinels"]["share"] > 0.8
    entry = world.log.find([found.transaction_ids[0]])[found.transaction_ids[0]]
    assert entry.position == found.positions[0]


def test_the_list_says_what_is_frozen_and_who_still_catches_it(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    add(world, capsys, BURSTS)
    status, document, _ = sentinel(world, capsys, "list")
    (row,) = document["sentinels"]
    assert status == 0
    assert (row["pattern"], row["rows"], row["source"], row["actor"]) == ("burst", 30, "chargeback", "jane")
    assert row["caught"] == row["caught_now"]
    assert row["share"] == row["share_now"] == row["caught"] / 30
    assert row["caught"] > row["needed"] >= 0.8 * row["caught"]
    assert row["confirmed"] == 30
    assert sentinel(world, capsys, "list", "--model", "transfer")[1] == {"sentinels": []}


def test_each_refused_id_is_named_with_why_and_nothing_is_added(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    add(world, capsys, ids_of("quiet", range(30, 34)), pattern="quiet")
    head = world.ledger.head()
    quiet, amount, disputed = ids_of("quiet", [30])[0], ids_of("amount", [30])[0], ids_of("burst", [10])[0]
    status, document, _ = add(world, capsys, [*BURSTS, "lost", quiet, amount, disputed, HONEST])
    assert (status, document["added"], document["refused"]) == (1, 0, 5)
    assert {row["transaction_id"]: row["why"] for row in document["refused_ids"]} == {
        "lost": "no such transaction in the log or the archive",
        quiet: "it is a sentinel of 'quiet' already",
        amount: "its fraud label comes from customer, not from chargeback",
        disputed: "analyst says it is legitimate",
        HONEST: "no label stands for it",
    }
    assert "--skip-refused" in document["notes"][0]
    assert world.ledger.head() == head
    status, document, _ = add(world, capsys, [*BURSTS, "lost"], "--skip-refused")
    assert (status, document["added"], document["refused"]) == (1, 30, 1)


def test_frauds_of_another_model_are_refused(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    _, document, _ = add(world, capsys, BURSTS, model="transfer")
    assert document["refused_by_reason"] == {"it is of model 'card'": 30}
    status, _, told = add(world, capsys, BURSTS, model="cheque")
    assert status == 2
    assert "'cheque' is not configured; there are: card, transfer" in told


def test_what_a_retracted_or_excluded_batch_said_confirms_nothing(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.log.append([BatchRetracted("chargeback-31", "bank", "test run")], world.log.last_arrival_us(), [])
    body = {
        "exclusion": {"what": "labels", "batch_id": "chargeback-32"},
        "first_position": 1,
        "labels": 6,
        "transactions": 0,
        "muted": False,
        "retrain": False,
    }
    world.ledger.append("DataExcluded", body, actor="test", reason="", time_us=0)
    status, document, _ = add(world, capsys, BURSTS)
    assert status == 1
    refused = {row["transaction_id"] for row in document["refused_ids"]}
    assert refused == set(ids_of("burst", [31, 32]))


def test_excluded_transactions_are_refused(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    entry = world.log.find([BURSTS[0]])[BURSTS[0]]
    time_us = entry.event.event_time_us  # type: ignore[union-attr]
    body = {
        "exclusion": {"what": "transactions", "from_us": time_us, "to_us": time_us + 1},
        "first_position": entry.position,
        "labels": 0,
        "transactions": 1,
        "muted": False,
        "retrain": False,
    }
    world.ledger.append("DataExcluded", body, actor="test", reason="", time_us=0)
    _, document, _ = add(world, capsys, BURSTS)
    assert document["refused_by_reason"] == {"it is among the transactions excluded from training": 1}


def test_a_set_is_frozen_and_a_new_name_is_proposed(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    add(world, capsys, BURSTS)
    status, _, told = add(world, capsys, ids_of("burst", range(20, 22)))
    assert status == 1
    assert "choose a new pattern name, like 'burst-2'" in told
    assert add(world, capsys, ids_of("burst", range(20, 22)), pattern="burst-2")[0] == 0


@pytest.mark.parametrize(
    ("variable", "value", "ids", "told"),
    [
        ("ROWS_MIN", "31", BURSTS, "30 confirmed frauds, a set has at least 31 (sentinels.rows_min)"),
        ("ROWS_MAX", "29", BURSTS, "30 transactions, a set has at most 29 (sentinels.rows_max)"),
        ("PATTERNS_MAX", "1", BURSTS, "as many as it may (sentinels.patterns_max)"),
        ("ROWS_MIN", "10", ["  "], "holds no transaction ids"),
    ],
)
def test_bounds_are_kept_and_named(
    world: World,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    ids: list[str],
    told: str,
) -> None:
    add(world, capsys, ids_of("quiet", range(30, 34)), pattern="quiet")
    monkeypatch.setenv(f"FRAUD__SENTINELS__{variable}", value)
    status, document, error = add(world, capsys, ids)
    assert (status != 0, document) == (True, {})
    assert told in error


def test_a_pattern_the_champion_never_caught_is_called_a_weak_guard(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    status, document, _ = add(world, capsys, ids_of("quiet", range(30, 34)), pattern="quiet")
    assert status == 0
    assert document["sentinels"]["share"] < 0.2
    assert "a weak guard: card-1 does not alert on" in document["notes"][0]


def test_frauds_the_champion_may_have_learned_from_are_counted(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    _, document, _ = add(world, capsys, ids_of("burst", range(18, 26)))
    assert "card-1 may have learned from 30 of them" in document["notes"][0]


def test_the_answer_is_the_same_when_nothing_is_archived(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(world.settings.places.archive)
    status, document, _ = add(world, capsys, BURSTS)
    assert (status, document["added"]) == (0, 30)
    assert document["sentinels"]["share"] > 0.8


def test_the_answer_is_the_same_when_everything_is_archived_and_the_log_pruned(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    position = world.archive.copy_from(world.log)
    world.log.prune(position, world.log.last_arrival_us())
    assert not world.log.find(BURSTS)
    status, document, _ = add(world, capsys, BURSTS)
    assert (status, document["added"]) == (0, 30)
    assert document["sentinels"]["share"] > 0.8


def test_a_retired_set_is_gone_from_the_list_and_its_name_is_spent(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    add(world, capsys, BURSTS)
    given = ("--model", "card", "--pattern", "burst", "--reason", "superseded")
    status, document, _ = sentinel(world, capsys, "retire", *given)
    assert (status, document["rows"], document["retired"]) == (0, 30, True)
    assert sentinel(world, capsys, "list")[1] == {"sentinels": []}
    status, _, told = sentinel(world, capsys, "retire", *given)
    assert status == 1
    assert "has no sentinels 'burst'" in told
    assert "retired; choose a new pattern name" in add(world, capsys, BURSTS)[2]


def test_people_read_tables(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    path = world.config.parent / "ids.csv"
    path.write_text("transaction_id,note\n" + "".join(f"{each},x\n" for each in BURSTS))
    given = ["--model", "card", "--pattern", "burst", "--reason", "audit"]
    assert run(["--config", str(world.config), "sentinel", "add", str(path), *given]) == 0
    assert run(["--config", str(world.config), "sentinel", "list"]) == 0
    told = capsys.readouterr().out
    assert "caught by card-1" in told
    assert "chargeback" in told


def test_a_folder_without_a_log_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "fraud.toml"
    assert run(["init", "--config", str(config)]) == 0
    assert run(["--config", str(config), "sentinel", "list"]) == 1
    assert "no event log yet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("a\nb\n\n a \n", ["a", "b"]),
        ("\ufefftransaction_id\na\nb\n", ["a", "b"]),
        ('score,transaction_id\n0.9,a\n0.8,"b"\n0.7\n', ["a", "b"]),
    ],
)
def test_ids_come_as_lines_or_as_a_column(tmp_path: Path, text: str, ids: list[str]) -> None:
    path = tmp_path / "ids"
    path.write_text(text)
    assert read_ids(path) == ids


@pytest.mark.parametrize(("content", "told"), [(b"id,score\na,1\n", "no column"), (b"\xff\xfe", "read")])
def test_a_file_without_ids_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "ids"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=told):
        read_ids(path)
