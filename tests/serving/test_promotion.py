"""A named person promotes, over the real wire."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fraud.errors import InvalidInput, NotAllowedNow, NotFound, StaleHead
from tests.serving.registered import Polluted, polluted
from tests.serving.worlds import START_S, settings_in
from tests.waiting import wait_until

SIGNED: dict[str, Any] = {"actor": "ann", "reason": "the committee agreed"}


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Polluted]:
    """A service with champion card-2 and challenger card-3 that no test changes."""
    with polluted(tmp_path_factory.mktemp("still")) as world:
        yield world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Polluted]:
    """Such a service of the test's own, where promotions take approval."""
    settings_in(tmp_path)
    config = tmp_path / "fraud.toml"
    config.write_text(config.read_text().replace("[gate]\n", '[gate]\nmode = "approval"\n'))
    with polluted(tmp_path) as world:
        yield world


def judge(
    world: Polluted, version: str, answer: str, against: str = "card-2", upto: int | None = None
) -> None:
    """Let the gate answer; on what was known up to a position where one is given."""
    report = {"outcome": answer, "way": "superiority", "reason": "because", "checks": []}
    body: dict[str, Any] = {"version": version, "model": "card", "verdict": answer, "way": "superiority"}
    if upto is not None:
        body |= {"evidence": {"cut": {"position": upto, "time_us": 1}, "view": "all"}}
    world.ledger.append("VerdictGiven", {**body, "against": against, "report": report})


def waiting(world: Polluted) -> list[str]:
    return [it.version for it in world.client.list_versions("card").versions if it.awaiting_approval]


def test_what_the_gate_stands_behind_waits_until_a_person_promotes_it(world: Polluted) -> None:
    client = world.client
    assert waiting(world) == []
    world.ledger.register("card-4", upto=184)
    judge(world, "card-3", "PROMOTE")
    judge(world, "card-4", "PROMOTE")
    wait_until(lambda: waiting(world) == ["card-4", "card-3"])
    assert client.get_version("card-4").version.awaiting_approval
    done = client.promote("card-4", **SIGNED)
    assert (done.applied, done.model, done.from_version, done.to_version) == (
        True,
        "card",
        "card-2",
        "card-4",
    )
    assert (done.overridden, list(done.superseded)) == ("", ["card-3"])
    assert 0 < done.seconds < START_S
    champion = client.get_champion("card")
    assert (champion.version, champion.policy_version) == ("card-4", done.policy_version)
    newest = client.get_history("card").entries[0]
    assert (newest.kind, newest.actor, newest.reason) == ("Promoted", "ann", "the committee agreed")
    assert (newest.ledger_seq, newest.overridden) == (done.ledger_seq, "")
    body = world.ledger.store.find([done.ledger_seq])[done.ledger_seq].body
    assert body.pop("probation_us") > 0
    (verdict,) = world.ledger.store.state().version("card-4").verdicts
    assert body == {"model": "card", "version": "card-4", "expected": "card-2", "verdict": verdict.seq}
    assert waiting(world) == []


@pytest.mark.parametrize("answer", ["", "INCONCLUSIVE", "REJECT"])
def test_any_other_clean_version_takes_an_override_that_stands_on_the_record(
    world: Polluted, answer: str
) -> None:
    if answer:
        judge(world, "card-3", answer)
    with pytest.raises(NotAllowedNow, match=r"does not stand behind it.*--override"):
        world.client.promote("card-3", **SIGNED)
    done = world.client.promote("card-3", override=True, **SIGNED)
    assert done.applied
    assert (answer or "no verdict") in done.overridden
    body = world.ledger.store.find([done.ledger_seq])[done.ledger_seq].body
    assert (body["override"], body["overridden"]) == (True, done.overridden)
    assert world.client.get_history("card").entries[0].overridden == done.overridden


def test_where_promotion_is_automatic_a_person_may_promote_what_is_undecided(tmp_path: Path) -> None:
    with polluted(tmp_path) as world:
        judge(world, "card-3", "INCONCLUSIVE")
        done = world.client.promote("card-3", override=True, **SIGNED)
        assert (done.applied, "INCONCLUSIVE" in done.overridden) == (True, True)


def test_an_override_that_is_not_needed_is_not_recorded(world: Polluted) -> None:
    judge(world, "card-3", "PROMOTE")
    done = world.client.promote("card-3", override=True, **SIGNED)
    assert (done.applied, done.overridden) == (True, "")
    assert "override" not in world.ledger.store.find([done.ledger_seq])[done.ledger_seq].body


def test_a_former_champion_goes_back_by_rollback_or_override(world: Polluted) -> None:
    with pytest.raises(NotAllowedNow, match=r"card-1 is former champion.*'fraud rollback --to'"):
        world.client.promote("card-1", **SIGNED)
    assert world.client.promote("card-1", override=True, **SIGNED).applied


def test_a_tainted_version_is_not_promoted_by_anybody(world: Polluted) -> None:
    from fraud.v1.models_pb2 import Selection

    judge(world, "card-3", "PROMOTE")
    world.client.exclude(Selection(batch_id="bad"), actor="ann", reason="polluted", no_retrain=True)
    wait_until(lambda: waiting(world) == [])
    with pytest.raises(NotAllowedNow, match="card-3 is tainted"):
        world.client.promote("card-3", override=True, **SIGNED)
    assert world.client.get_champion("card").version == "card-1"


def test_a_verdict_on_data_that_is_hidden_by_now_takes_an_override_on_the_record(world: Polluted) -> None:
    from fraud.v1.models_pb2 import Selection

    world.client.submit_labels("late", 0, "chargeback", "bank", world.good)
    judge(world, "card-3", "PROMOTE", upto=1_000)
    wait_until(lambda: waiting(world) == ["card-3"])
    reply = world.client.exclude(Selection(batch_id="late"), actor="ann", reason="wrong", no_retrain=True)
    assert list(reply.tainted) == [], "nobody has learned from it"
    wait_until(lambda: waiting(world) == [])
    hides = f"was read from data that exclusion {reply.exclusion_seq} hides"
    with pytest.raises(NotAllowedNow, match=rf"{hides}, so the gate does not stand behind it.*--override"):
        world.client.promote("card-3", **SIGNED)
    done = world.client.promote("card-3", override=True, **SIGNED)
    assert (done.applied, hides in done.overridden) == (True, True)
    body = world.ledger.store.find([done.ledger_seq])[done.ledger_seq].body
    assert (body["override"], "verdict" in body) == (True, False)


def test_a_newer_challenger_is_left_waiting(world: Polluted) -> None:
    manifest = world.ledger.store.state().version("card-3").manifest
    body = {
        "version": "card-4",
        "model": "card",
        "recipe": "full",
        "digest": "0" * 64,
        "parent": "",
        "attempt": 2,
        "challengers": 1,
        "cut_position": 184,
        "cut_time_us": 2,
        "manifest": manifest,
    }
    world.ledger.append("VersionRegistered", body)
    assert list(world.client.promote("card-3", override=True, **SIGNED).superseded) == []
    assert [it.version for it in world.ledger.store.state().pending("card")] == ["card-4"]
    with pytest.raises(NotFound):
        world.client.promote("card-4", override=True, **SIGNED)
    assert world.client.get_champion("card").version == "card-3", (
        "a bundle that is not there was not promoted"
    )


def test_the_champion_to_follow_may_be_named(still: Polluted) -> None:
    with pytest.raises(StaleHead, match="card-3 was to follow card-1, but the champion of 'card' is card-2"):
        still.client.promote("card-3", override=True, instead_of="card-1", **SIGNED)


def test_where_promotion_is_automatic_nothing_awaits_approval(tmp_path: Path) -> None:
    with polluted(tmp_path) as world:
        judge(world, "card-3", "PROMOTE")
        wait_until(lambda: world.client.get_version("card-3").verdicts_json, "the verdict seen")
        assert waiting(world) == []


@pytest.mark.parametrize(
    ("changed", "field"),
    [({"actor": ""}, "actor"), ({"reason": " "}, "reason"), ({"reason": "x" * 1001}, "reason")],
)
def test_a_promotion_is_signed(still: Polluted, changed: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        still.client.promote("card-3", **{**SIGNED, **changed})
    assert caught.value.field == field


def test_what_there_is_not_or_serves_already_is_refused(still: Polluted) -> None:
    with pytest.raises(NotFound, match="'card-9' is not in the ledger"):
        still.client.promote("card-9", **SIGNED)
    with pytest.raises(NotAllowedNow, match="card-2 is the champion of 'card' already"):
        still.client.promote("card-2", **SIGNED)
