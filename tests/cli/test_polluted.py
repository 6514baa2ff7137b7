"""The commands for polluted data, against a real scorer whose champion learned from a bad batch."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from fraud.cli.main import run
from tests.serving.registered import Polluted, polluted
from tests.waiting import wait_until

pytestmark = pytest.mark.process
Fraud = Callable[..., tuple[int, Any, str]]


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Polluted]:
    """A polluted service that no test changes."""
    with polluted(tmp_path_factory.mktemp("still")) as world:
        yield world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Polluted]:
    """A polluted service of the test's own."""
    with polluted(tmp_path) as world:
        yield world


@pytest.fixture
def fraud(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Fraud:
    """Run a command on a world; return its status, its JSON or table, and what it said on stderr."""
    monkeypatch.setenv("COLUMNS", "200")

    def command(world: Polluted, *arguments: str, output: str = "json") -> tuple[int, Any, str]:
        capsys.readouterr()
        config = world.ledger.settings.places.ledger.parents[1] / "fraud.toml"
        where = ["--config", str(config), "--output", output]
        status = run([*where, *arguments, "--target", world.process.target])
        told = capsys.readouterr()
        shown = json.loads(told.out) if told.out and output == "json" else told.out
        return status, shown, told.err

    return command


def test_lineage_of_a_batch_names_versions_and_their_decisions(still: Polluted, fraud: Fraud) -> None:
    status, document, _ = fraud(still, "lineage", "--batch", "bad")
    assert status == 0
    assert [(use["version"], use["labels"]) for use in document["uses"]] == [("card-2", 4), ("card-3", 0)]
    (counts,) = document["decisions"]
    assert sum(counts[name] for name in ("approved", "challenged", "reviewed", "declined")) == 20
    _, text, _ = fraud(still, "lineage", "--batch", "bad", output="table")
    assert "Batch bad, analyst, by mallory" in text
    assert "the version it continues" in text


def test_lineage_of_a_version_names_what_went_in(still: Polluted, fraud: Fraud) -> None:
    status, document, _ = fraud(still, "lineage", "--version", "card-3")
    assert status == 0
    assert [use["batch_id"] for use in document["uses"]] == ["good"]
    assert document["ancestors"] == ["card-2"]
    assert document["manifest"]["positions"]["train"] == [1, 184]
    _, text, _ = fraud(still, "lineage", "--version", "card-3", output="table")
    assert "What went into card-3" in text


def test_history_champion_and_versions_tell_what_served_and_what_is_clean(
    still: Polluted, fraud: Fraud
) -> None:
    _, document, _ = fraud(still, "history")
    assert [(it["version"], it["kind"], it["actor"]) for it in document["entries"]] == [
        ("card-2", "Promoted", "retrainer"),
        ("card-1", "Promoted", "retrainer"),
    ]
    assert [it["version"] for it in fraud(still, "history", "--limit", "1")[1]["entries"]] == ["card-2"]
    _, document, _ = fraud(still, "champion", "--model", "card")
    assert document["champions"][0]["tainted_by"] == []
    assert "card-2 is better" in fraud(still, "history", output="table")[1]


def test_a_dry_rollback_shows_both_views_and_the_change_of_alerts(still: Polluted, fraud: Fraud) -> None:
    since_us = still.client.get_champion("card").since_us
    status, document, _ = fraud(still, "rollback", "--model", "card", "--before", str(since_us), "--dry-run")
    assert (status, document["to_version"], document["ledger_seq"]) == (0, "card-1", 0)
    views = [each["view"] for each in document["forecasts"]]
    assert views == ["now", "all labels", "labels muted"]
    assert all(each["alert_rate"] == each["alerts"] / each["rows"] for each in document["forecasts"])
    _, text, _ = fraud(still, "rollback", "--to", "card-1", "--dry-run", output="table")
    assert "Dry run of a rollback of card" in text
    assert "alert rate: " in text
    assert still.client.get_champion("card").version == "card-2"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("rollback", "--model", "card"), "--before, --to: must be given one or the other"),
        (("rollback", "--to", "card-1"), "--reason: is not given"),
        (("rollback", "--before", "soon", "--dry-run"), "'soon' is not a time"),
        (("rollback", "--before", "2030-01-01", "--dry-run"), "--model: is not given; name one of: card"),
        (("exclude", "--reason", "r"), "none is given"),
        (("exclude", "--batch", "bad"), "--reason: is not given"),
        (("exclude", "--batch", "bad", "--list"), "contradict each other"),
        (("exclude", "--undo", "3"), "--reason: is not given"),
        (("exclude", "--undo", "3", "--dry-run", "--reason", "a look"), "--undo, --dry-run: contradict"),
        (
            ("exclude", "--transactions", "--where", "card=a", "--where", "card=b", "--reason", "x"),
            "--where: names card twice",
        ),
        (("exclude", "--transactions", "--where", "card", "--dry-run"), "'card' is no condition"),
        (
            ("exclude", "--transactions", "--where", "phone=1", "--from", "2020-01-01", "--dry-run"),
            "where.phone",
        ),
        (("lineage",), "must be given one or the other"),
        (("label", "retract", "bad", "--reason", "", "--submitter", "ann"), "reason: has 0 characters"),
    ],
)
def test_a_wrong_command_line_names_what_is_wrong_and_ends_with_2(
    still: Polluted, fraud: Fraud, arguments: tuple[str, ...], says: str
) -> None:
    status, _, told = fraud(still, *arguments)
    assert (status, says in told) == (2, True), told


def test_a_rollback_is_carried_out_and_stands_in_the_ledger_under_the_user(
    world: Polluted, fraud: Fraud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "jane")
    status, document, _ = fraud(
        world, "rollback", "--to", "card-1", "--mute-labels-since", "2020-01-01", "--reason", "bad labels"
    )
    assert (status, document["applied"], document["muted_labels"]) == (0, True, 10)
    entry = world.ledger.store.find([document["ledger_seq"]])[document["ledger_seq"]]
    assert (entry.actor, entry.reason) == ("jane", "bad labels")
    status, _, told = fraud(world, "rollback", "--to", "card-1", "--reason", "again")
    assert status == 1
    assert "is the champion of 'card' already" in told


def test_an_exclusion_is_followed_to_the_end_of_its_retrain(world: Polluted, fraud: Fraud) -> None:
    def retrain() -> None:
        wait_until(lambda: bool(world.ledger.store.state().requests()))
        (request,) = world.ledger.store.state().requests()
        world.ledger.append("CycleStarted", {"request_seq": request.seq, "models": ["card"]})
        verdicts = [{"model": "card", "version": "card-4", "verdict": "INCONCLUSIVE", "reason": "few"}]
        world.ledger.append(
            "CycleFinished", {"request_seq": request.seq, "verdicts": verdicts, "seconds": 1.0}
        )

    retrainer = Thread(target=retrain)
    retrainer.start()
    status, text, told = fraud(world, "exclude", "--batch", "bad", "--reason", "mallory", output="table")
    retrainer.join()
    assert status == 0
    for step in (
        "recorded",
        "rolled back: card: card-2 → card-1",
        "in force",
        "retrain requested",
        "retrained",
    ):
        assert f" s  {step}" in told
    assert "card: card-4 INCONCLUSIVE" in text
    (listed,) = fraud(world, "exclude", "--list")[1]["exclusions"]
    assert listed["tainted"] == ["card-2", "card-3"]
    versions = {it["version"]: it["tainted_by"] for it in fraud(world, "versions")[1]["versions"]}
    assert versions == {
        "card-1": [],
        "card-2": [listed["exclusion_seq"]],
        "card-3": [listed["exclusion_seq"]],
    }
    assert "exclusion" in fraud(world, "versions", output="table")[1]

    seq = str(listed["exclusion_seq"])
    status, document, _ = fraud(world, "exclude", "--undo", seq, "--reason", "it was right")
    assert (status, document["steps"][-1]["step"]) == (0, "undone")
    seconds = [step["seconds"] for step in document["steps"]]
    assert seconds == sorted(seconds)
    assert seconds[-1] > 0


def test_a_failed_retrain_ends_the_command_with_1(world: Polluted, fraud: Fraud) -> None:
    def retrain() -> None:
        wait_until(lambda: bool(world.ledger.store.state().requests()))
        (request,) = world.ledger.store.state().requests()
        world.ledger.append("CycleFailed", {"request_seq": request.seq, "error": "out of memory"})

    retrainer = Thread(target=retrain)
    retrainer.start()
    status, document, _ = fraud(world, "exclude", "--submitter", "mallory", "--reason", "all of hers")
    retrainer.join()
    assert status == 1
    assert (document["steps"][-1]["step"], document["steps"][-1]["text"]) == (
        "retrain failed",
        "out of memory",
    )


def test_an_exclusion_may_go_without_retrain_and_without_waiting(world: Polluted, fraud: Fraud) -> None:
    status, document, _ = fraud(
        world, "exclude", "--source", "analyst", "--from", "2020-01-01", "--reason", "r", "--no-retrain"
    )
    assert (status, document["labels"]) == (0, 4)
    assert [(it["step"], it["done"]) for it in document["steps"]] == [
        ("recorded", True),
        ("rolled back", True),
        ("in force", True),
    ]
    status, document, _ = fraud(world, "exclude", "--batch", "good", "--reason", "r", "--no-wait")
    assert status == 0
    assert (document["steps"][-1]["step"], document["steps"][-1]["done"]) == ("retrained", False)


def test_the_same_again_does_nothing_and_says_which_entry_did(world: Polluted, fraud: Fraud) -> None:
    bad = ("exclude", "--batch", "bad", "--reason", "mallory")
    seq = fraud(world, *bad, "--no-retrain")[1]["exclusion_seq"]
    head = world.ledger.store.head()
    status, text, told = fraud(world, *bad, output="table")
    assert status == 0
    assert f"excluded already by entry {seq}; nothing was done, and it asked for no retrain" in text
    assert " s  " not in told, "no step is told as if it had happened now"
    status, document, _ = fraud(world, *bad, "--no-retrain")
    assert (status, document["exclusion_seq"], document["in_force_seq"]) == (0, seq, seq)
    assert (
        f"excluded already by entry {seq}; nothing would"
        in fraud(world, *bad, "--dry-run", output="table")[1]
    )
    assert world.ledger.store.head() == head


def test_an_undo_tells_its_own_step_and_what_stays_out_all_the_same(world: Polluted, fraud: Fraud) -> None:
    def exclude(*chosen: str) -> int:
        return int(fraud(world, "exclude", *chosen, "--reason", "r", "--no-retrain")[1]["exclusion_seq"])

    def undo(seq: int) -> tuple[str, str]:
        status, text, told = fraud(world, "exclude", "--undo", str(seq), "--reason", "r", output="table")
        assert status == 0
        return " ".join(text.split()), told

    seq, whole = exclude("--batch", "bad"), exclude("--submitter", "mallory")
    batch = exclude("--batch", "bad", "--submitter", "mallory")
    text, told = undo(batch)
    assert f"; all its data stays out by exclusion {seq}, {whole}" in text
    assert (" s  undone: " in told, "recorded" in told) == (True, False)
    text, _ = undo(whole)
    assert f"; its data counts again, but for what exclusion {seq} hides of it, which stays out" in text
    assert undo(seq)[0].endswith("; its data counts again")


def test_a_batch_is_retracted_and_the_same_again_changes_nothing(world: Polluted, fraud: Fraud) -> None:
    retract = ("label", "retract", "bad", "--reason", "a broken export", "--submitter", "jane")
    status, document, _ = fraud(world, *retract)
    assert (status, document["labels"], document["versions"]) == (0, 4, ["card-2", "card-3"])
    assert fraud(world, *retract)[1]["retracted_before"] is True
    batches = {it["batch_id"]: it["retracted"] for it in fraud(world, "label", "batches")[1]["batches"]}
    assert batches == {"good": False, "bad": True}
    assert "fraud exclude --batch bad" in fraud(world, *retract, output="table")[1]
