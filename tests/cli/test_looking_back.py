"""Who looks back needs no scorer: the data folder answers as the scorer did, and stderr says so."""

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fraud.cli.main import run
from fraud.clock import DAY_US, LATEST_US
from fraud.eventlog import lock_data_folder
from fraud.eventlog.folder import open_log
from fraud.eventlog.sqlite import SqliteEventLog
from fraud.features.archive import open_archive
from fraud.policy.lists import Lists
from fraud.records import BatchRetracted, EntityListed
from fraud.settings import Settings, load_settings
from fraud.v1.models_pb2 import Selection
from tests.serving.registered import Polluted, polluted
from tests.serving.worlds import Stream, settings_in
from tests.waiting import wait_until

pytestmark = pytest.mark.process
LOOKS: tuple[tuple[str, ...], ...] = (
    ("champion",),
    ("champion", "--model", "card", "--at", "2026-01-01"),
    ("versions",),
    ("versions", "--model", "card", "--limit", "1"),
    ("show", "card-2"),
    ("history",),
    ("lineage", "--batch", "bad"),
    ("lineage", "--version", "card-2"),
    ("asked",),
    ("asked", "--all"),
    ("exclude", "--list"),
    ("list", "show"),
    ("list", "show", "card", "--limit", "1"),
    ("list", "show", "card", "stolen"),
    ("list", "show", "card", "never came"),
    ("label", "batches"),
    ("label", "batches", "--source", "analyst"),
    ("decisions",),
    ("decisions", "--outcome", "approve", "--outcome", "decline", "--since", "90d", "--limit", "60"),
    ("decisions", "--outcome", "decline", "--model", "card"),
    ("decision", "t9-3"),
    ("decision", "t9-121"),
    ("decision", "t9-170"),
    ("decision", "t4-1"),
)
OUTPUT = ("--output", "json")
Fraud = Callable[..., tuple[int, Any, str]]


def of_a_moment(document: Any) -> Any:
    """What a scorer alone knows is left out: who is in shadow."""
    if isinstance(document, dict):
        return {name: of_a_moment(value) for name, value in document.items() if name != "shadow"}
    return [of_a_moment(each) for each in document] if isinstance(document, list) else document


def look_worthy(world: Polluted) -> None:
    """Let there be something on each list that can be looked at."""
    client, (actor, reason) = world.client, ("ann", "case 7")
    at_us = client.get_champion("card").since_us
    for list_name, entity, token, days in (
        ("block", "card", "stolen", 0),
        ("allow", "merchant", "m1", 9),
        ("block", "card", "c7", 9),
        ("allow", "card", "c8", 0),
        ("", "card", "c8", 0),
    ):
        until_us = at_us + days * DAY_US if days else 0
        client.set_listing(list_name, entity, token, until_us=until_us, actor=actor, reason=reason)
    wire = Stream(seed=4, now_us=at_us).next()
    wire.entities["card"] = "stolen"
    assert client.score(wire).rule == "block:card"
    for until_us in (at_us + DAY_US, 2):
        world.ledger.append("Asked", {"method": "Promote", "what": {"v": until_us}, "until_us": until_us})
    seq = client.exclude(Selection(batch_id="bad"), actor=actor, reason=reason).exclusion_seq
    wait_until(lambda: [it.done for it in client.list_exclusions(seq)[0].steps] == [True] * 4 + [False])


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[tuple[str, ...], Any]]:
    """A folder whose scorer has stopped, and what that answered before."""
    folder = tmp_path_factory.mktemp("service")
    settings_in(folder)
    answers: dict[tuple[str, ...], Any] = {}
    with pytest.MonkeyPatch.context() as patch, polluted(folder) as world:
        look_worthy(world)
        said: list[str] = []
        patch.setattr("fraud.cli.shell.typer.echo", lambda text, **_: said.append(text))
        for look in LOOKS:
            assert (
                run(
                    ["--config", str(folder / "fraud.toml"), *OUTPUT, *look, "--target", world.process.target]
                )
                == 0
            )
            answers[look] = json.loads(said.pop())
        assert world.process.stop() == 0
    return folder, answers


@pytest.fixture
def fraud(told: tuple[Path, Any], capsys: pytest.CaptureFixture[str]) -> Fraud:
    def command(*arguments: str, output: tuple[str, ...] = OUTPUT) -> tuple[int, Any, str]:
        capsys.readouterr()
        status = run(["--config", str(told[0] / "fraud.toml"), *output, *arguments])
        said = capsys.readouterr()
        return status, json.loads(said.out) if said.out and output else said.out, said.err

    return command


def files_in(folder: Path) -> dict[Path, bytes]:
    """What is kept; SQLite's readers share an index beside their file."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in paths if not path.name.endswith(("-shm", "-wal"))}


@pytest.mark.parametrize("look", LOOKS, ids=" ".join)
def test_the_folder_at_rest_answers_as_its_scorer_did(
    look: tuple[str, ...], fraud: Fraud, told: tuple[Path, dict[tuple[str, ...], Any]]
) -> None:
    folder, answers = told
    before = files_in(folder)
    status, document, said = fraud(*look)
    assert (status, of_a_moment(document)) == (0, of_a_moment(answers[look]))
    assert json.loads(said)["note"] == f"no scorer runs: read from {folder / 'data'}, as it was left"
    assert files_in(folder) == before


def test_people_are_told_too_and_see_the_same_table(fraud: Fraud) -> None:
    status, text, said = fraud("champion", output=())
    assert (status, said.count("no scorer runs")) == (0, 1)
    assert "card-1" in text
    status, text, said = fraud("exclude", "--list", output=())
    assert (status, said.count("no scorer runs")) == (0, 1)
    assert "labels of batch bad" in text


def test_what_was_asked_for_is_there_to_be_seen(told: tuple[Path, dict[tuple[str, ...], Any]]) -> None:
    answers = told[1]
    assert len(answers["asked",]["asked"]) == 1
    assert len(answers["asked", "--all"]["asked"]) == 2
    (exclusion,) = answers["exclude", "--list"]["exclusions"]
    steps = [(it["step"], it["done"]) for it in exclusion["steps"]]
    assert steps[1:] == [
        ("rolled back", True), ("in force", True), ("retrain requested", True), ("retrained", False)
    ]  # fmt: skip
    assert [it["list"] for it in answers["list", "show"]["listings"]] == ["block", "block", "allow"]
    assert len(answers["list", "show", "card", "stolen"]["listings"]) == 1
    assert answers["list", "show", "card", "never came"]["listings"] == []
    assert [it["batch_id"] for it in answers["label", "batches"]["batches"]] == ["good", "bad"]
    assert len(answers["decisions", "--outcome", "decline", "--model", "card"]["decisions"]) > 0
    assert len(answers["decision", "t9-121"]["labels"]) == 1
    codes = [it["code"] for it in answers["decision", "t4-1"]["reasons"]]
    assert (codes[0], len(codes) > 1) == ("BLOCK_LIST", True)
    assert answers["decision", "t9-170"]["reasons"][0]["feature"]


@pytest.fixture
def copied(told: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A copy of the folder that a test may change; commands look there."""
    shutil.copytree(told[0], tmp_path / "copy")
    monkeypatch.setenv("FRAUD__SERVICE__DATA_DIR", str(tmp_path / "copy" / "data"))
    return load_settings(tmp_path / "copy" / "fraud.toml", {})


LISTED = ("list", "show")


@pytest.mark.parametrize("stored", [None, '{"card": [[1]]}', "{"])
def test_lists_that_lie_beside_no_snapshot_are_folded_from_the_log(
    stored: str | None, fraud: Fraud, told: tuple[Path, Any], copied: Settings
) -> None:
    (path,) = copied.places.state.glob("lists-*.json")
    if stored is None:
        shutil.rmtree(copied.places.state)
    else:
        path.write_text(stored)
    status, document, said = fraud(*LISTED)
    assert (status, document) == (0, told[1][LISTED])
    assert "no scorer runs" in said


def test_lists_beside_an_older_snapshot_are_brought_to_the_end_of_the_log(
    fraud: Fraud, told: tuple[Path, Any], copied: Settings
) -> None:
    names, state = copied.schema_.entity_names, copied.places.state
    shutil.rmtree(state)
    state.mkdir()
    with closing(open_log(copied)) as log:
        listed = [entry for entry in log.read(0, 10_000) if isinstance(entry.event, EntityListed)]
    assert len(listed) == 5
    older = Lists(names)
    for entry in listed[:2]:
        older.take(entry)
    # Only these lie in the snapshot: whoever folds them from the log has one card, not none, on a list.
    at = f"{listed[1].position:020d}"
    (state / f"lists-{at}.json").write_text(json.dumps(older.to_dict()))
    (state / f"features-{at}.npz").touch()
    assert fraud(*LISTED)[1] == told[1][LISTED]
    # A snapshot beyond the log is of a log that has lost its end.
    (state / f"lists-{10**6:020d}.json").write_text("{}")
    (state / f"features-{10**6:020d}.npz").touch()
    assert fraud(*LISTED)[1] == told[1][LISTED]


def test_what_was_pruned_is_read_from_the_archive(
    fraud: Fraud, told: tuple[Path, Any], copied: Settings
) -> None:
    names = copied.schema_.entity_names
    with closing(SqliteEventLog.open(copied.places.log, writable=True, entity_names=names)) as log:
        upto = open_archive(copied).copy_from(log)
        assert log.prune(upto, 2**62) > 100
    shutil.rmtree(copied.places.state)
    for look in (("decision", "t9-121"), ("decision", "t9-170"), ("decision", "t4-1"), LISTED):
        assert fraud(*look)[1] == told[1][look]
    assert fraud("decisions", "--outcome", "decline", "--model", "card")[1]["decisions"] == []


def test_what_was_logged_under_other_features_is_explained_from_the_archive(
    fraud: Fraud, told: tuple[Path, Any], copied: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, more = ("decision", "t9-170"), '["hour", "day_of_week", "night"]'
    with monkeypatch.context() as patch:
        patch.setenv("FRAUD__FEATURES__CALENDAR", more)
        assert [it["code"] for it in fraud(*look)[1]["reasons"]] == ["FEATURES_CHANGED"]
    with closing(open_log(copied)) as log:
        open_archive(copied).copy_from(log)
    monkeypatch.setenv("FRAUD__FEATURES__CALENDAR", more)
    assert fraud(*look)[1] == told[1][look]


def test_a_listing_is_over_by_the_newest_arrival_where_the_clock_was_set_back(
    fraud: Fraud, copied: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAUD__SERVICE__CLOCK", "wall")
    names, year_us = copied.schema_.entity_names, 365 * DAY_US
    since_us = LATEST_US - 3 * year_us
    ended = EntityListed("block", "card", 3, since_us + year_us, "ann", "case 7")
    with closing(SqliteEventLog.open(copied.places.log, writable=True, entity_names=names)) as log:
        log.append([ended], since_us, [])
        assert 3 in [it["surrogate"] for it in fraud("list", "show", "card")[1]["listings"]]
        log.append([BatchRetracted("good", "ann", "case 7")], since_us + 2 * year_us, [])
    assert 3 not in [it["surrogate"] for it in fraud("list", "show", "card")[1]["listings"]]


def test_by_another_entity_key_nobody_is_said_not_to_be_listed(
    fraud: Fraud, told: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "entity.key"
    key.write_text("5a" * 32)
    key.chmod(0o600)
    monkeypatch.setenv("FRAUD__SERVICE__ENTITY_KEY_FILE", str(key))
    status, _, said = fraud("list", "show", "card", "stolen")
    error = json.loads(said)
    assert (status, error["error"]) == (2, "CONFIG")
    assert "its tokens were taken in without an entity key" in error["message"]
    assert fraud(*LISTED)[1] == told[1][LISTED]  # which needs no token


def test_what_is_not_there_is_the_same_error(fraud: Fraud) -> None:
    status, _, said = fraud("show", "card-9")
    assert (status, json.loads(said)["error"]) == (1, "NOT_FOUND")
    status, _, said = fraud("decision", "t9-999")
    assert (status, json.loads(said)["error"]) == (1, "NOT_FOUND")
    for look, field in (
        (("versions", "--model", "crad"), "model"),
        (("decisions", "--model", "crad"), "model"),
        (("list", "show", "crad"), "entity"),
    ):
        status, _, said = fraud(*look)
        assert (status, json.loads(said)["field"]) == (2, field)


def test_a_scorer_that_starts_or_another_server_that_is_named_is_waited_for(
    fraud: Fraud, told: tuple[Path, Any]
) -> None:
    assert json.loads(fraud("versions", "--target", "127.0.0.1:1")[2])["error"] == "UNAVAILABLE"
    with lock_data_folder(load_settings(told[0] / "fraud.toml", {}).data_dir):
        status, _, said = fraud("versions")
    assert (status, json.loads(said)["error"]) == (1, "UNAVAILABLE")
