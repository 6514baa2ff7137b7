"""The two-person rule over the wire: one operator asks, another carries out; on the record, and in time."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from fraud.client import Client
from fraud.clock import HOUR_US
from fraud.errors import FraudError, NotAllowedNow, PermissionDenied
from fraud.records import Label, LabelValue
from fraud.v1.models_pb2 import Selection
from tests.serving.authority import Guarded
from tests.serving.registered import Ledger, batch_row
from tests.serving.worlds import START_US, Process, Stream, serving

METHODS = ("Promote", "Rollback", "ExcludeData")


@dataclass
class World:
    """A service under the rule, with three operators, a champion and a former one."""

    process: Process
    ledger: Ledger
    stream: Stream
    clients: dict[str, Client]

    def pass_time(self, hours: float) -> None:
        """Let the service's clock, which follows payments, go on."""
        self.stream.skip_days(hours / 24)
        self.clients["shop"].score(self.stream.next())

    def kinds(self) -> list[str]:
        """The kinds of all ledger entries, in order."""
        return [entry.kind for entry in self.ledger.store.read()]


@pytest.fixture
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    guarded = Guarded(tmp_path)
    roles = dict.fromkeys(("jane", "joe", "ann"), "operator") | {"shop": "scorer", "bank": "analyst"}
    for name, role in roles.items():
        guarded.add(name, role)
    rule = {
        "FRAUD__SERVER__TWO_PERSON__METHODS": json.dumps(getattr(request, "param", METHODS)),
        "FRAUD__SERVER__TWO_PERSON__EXPIRES": "4h",
    }
    with serving(tmp_path, **guarded.environment(**rule)) as process:
        clients = {name: guarded.as_(process, name) for name in roles}
        ledger, stream = Ledger(tmp_path), Stream(seed=71)
        clients["shop"].score_batch(stream.take(40))
        clients["bank"].submit_labels("bad", 0, "analyst", "", [Label("t71-1", LabelValue.FRAUD, START_US)])
        for version in ("card-1", "card-2", "card-3"):
            rows = (
                [batch_row("bad", "analyst", "bank", 41, labels=1, frauds=1)] if version == "card-2" else []
            )
            ledger.register(version, upto=40 if version == "card-1" else 41, batches=rows)
        for version in ("card-1", "card-2"):
            ledger.promote(clients["jane"], version)
        yield World(process, ledger, stream, clients)
        for client in clients.values():
            client.close()
        ledger.store.close()


def promote(client: Client, reason: str = "agreed") -> tuple[int, bool]:
    """Promote card-3 by override; return the entry that asks for it, and whether it serves."""
    reply = client.promote("card-3", actor="", reason=reason, override=True)
    return reply.asked_seq, reply.applied


def test_one_asks_and_another_promotes_and_the_history_names_both(world: World) -> None:
    jane, joe = world.clients["jane"], world.clients["joe"]
    seq, applied = promote(jane, "it is better")
    assert seq
    assert not applied
    assert jane.get_champion("card").version == "card-2"
    (asked,) = joe.list_asked()
    assert (asked.ledger_seq, asked.method, asked.actor, asked.reason) == (
        seq, "Promote", "jane", "it is better",
    )  # fmt: skip
    with pytest.raises(NotAllowedNow, match=rf"jane has asked for it already \(entry {seq}\)"):
        promote(jane)
    assert promote(joe) == (0, True)
    newest = joe.get_history("card").entries[0]
    assert (newest.version, newest.actor, newest.asked_by) == ("card-3", "joe", "jane")
    assert joe.list_asked() == []
    assert [it.done_seq for it in joe.list_asked(all_=True)] == [newest.ledger_seq]


def test_what_is_not_exactly_the_same_is_asked_for_by_itself(world: World) -> None:
    promote(world.clients["jane"])
    reply = world.clients["joe"].promote("card-1", actor="", reason="the old one", override=True)
    assert reply.asked_seq
    assert [it.actor for it in world.clients["ann"].list_asked()] == ["joe", "jane"]


def test_what_was_asked_expires(world: World) -> None:
    seq, _ = promote(world.clients["jane"])
    world.pass_time(4.5)
    assert world.clients["joe"].list_asked() == []
    later, applied = promote(world.clients["joe"])
    assert later > seq
    assert not applied
    assert world.kinds().count("Asked") == 2


def test_once_the_champion_has_changed_it_has_to_be_asked_anew(world: World) -> None:
    promote(world.clients["jane"])
    world.ledger.promote(world.clients["jane"], "card-1")
    asked, applied = promote(world.clients["joe"])
    assert asked
    assert not applied


def test_of_two_second_people_one_carries_it_out(world: World) -> None:
    promote(world.clients["jane"])

    def second(name: str) -> object:
        try:
            return promote(world.clients[name])
        except FraudError as error:
            return type(error)

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(second, ("joe", "ann")))
    assert (0, True) in outcomes
    assert len(set(map(str, outcomes))) == 2
    assert world.kinds().count("Promoted") == 3


def test_what_may_not_be_promoted_is_refused_before_anybody_is_asked(world: World) -> None:
    with pytest.raises(NotAllowedNow, match="gate does not stand behind it"):
        world.clients["jane"].promote("card-3", actor="", reason="agreed")
    assert "Asked" not in world.kinds()


def test_a_rollback_takes_two_and_its_dry_run_one(world: World) -> None:
    jane, joe = world.clients["jane"], world.clients["joe"]
    assert jane.rollback("card", version="card-1", dry_run=True).to_version == "card-1"
    asked = jane.rollback("card", version="card-1", reason="alerts doubled")
    assert asked.asked_until_us - world.stream.now_us <= 4 * HOUR_US
    assert not asked.applied
    assert jane.get_champion("card").version == "card-2"
    done = joe.rollback("card", version="card-1", reason="I see it too")
    assert done.applied
    assert joe.get_history("card").entries[0].asked_by == "jane"


def test_an_exclusion_takes_two_and_its_dry_run_one(world: World) -> None:
    jane, joe = world.clients["jane"], world.clients["joe"]
    data = Selection(batch_id="bad")
    assert jane.exclude(data, dry_run=True).labels == 1
    asked = jane.exclude(data, reason="wrong month")
    assert asked.asked_seq
    assert not asked.exclusion_seq
    assert joe.get_champion("card").version == "card-2"
    done = joe.exclude(data, reason="yes")
    assert done.exclusion_seq
    assert list(done.tainted) == ["card-2"]
    assert joe.list_exclusions()[0].actor == "joe"


def test_what_took_two_takes_two_to_undo(world: World) -> None:
    jane, joe = world.clients["jane"], world.clients["joe"]
    data = Selection(batch_id="bad")
    jane.exclude(data, reason="wrong month")
    seq = joe.exclude(data, reason="yes").exclusion_seq
    asked = joe.undo_exclusion(seq, actor="", reason="never mind")
    assert asked.asked_seq
    assert not asked.ledger_seq
    assert joe.list_exclusions(seq)[0].undone_seq == 0
    with pytest.raises(NotAllowedNow, match="joe has asked for it already"):
        joe.undo_exclusion(seq, actor="", reason="never mind")
    done = jane.undo_exclusion(seq, actor="", reason="it was the right month")
    assert joe.list_exclusions(seq)[0].undone_seq == done.ledger_seq > 0
    with pytest.raises(NotAllowedNow, match="was undone before"):
        joe.undo_exclusion(seq, actor="", reason="once more")
    assert joe.list_asked() == []


def test_labels_that_two_muted_with_a_rollback_take_two_to_count_again(world: World) -> None:
    jane, joe = world.clients["jane"], world.clients["joe"]
    jane.rollback("card", version="card-1", mute_labels_since_us=1, reason="alerts doubled")
    seq = joe.rollback("card", version="card-1", mute_labels_since_us=1, reason="I see it too").mute_seq
    assert seq
    assert joe.undo_exclusion(seq, actor="", reason="reviewed").asked_seq
    assert jane.undo_exclusion(seq, actor="", reason="so did I").ledger_seq


@pytest.mark.parametrize("world", [["ExcludeData"]], indirect=True)
def test_a_rollback_that_mutes_takes_two_where_an_exclusion_does(world: World) -> None:
    jane, joe = world.clients["jane"], world.clients["joe"]
    assert jane.rollback("card", version="card-1", mute_labels_since_us=1, reason="alerts doubled").asked_seq
    assert jane.get_champion("card").version == "card-2"
    seq = joe.rollback("card", version="card-1", mute_labels_since_us=1, reason="I see it too").mute_seq
    assert seq
    assert joe.undo_exclusion(seq, actor="", reason="reviewed").asked_seq
    assert joe.rollback("card", version="card-2", reason="back again").applied


def test_no_operator_takes_back_alone_what_takes_two_to_exclude(world: World) -> None:
    jane, bank = world.clients["jane"], world.clients["bank"]
    with pytest.raises(PermissionDenied, match=r"bank handed in part 0.*'fraud exclude --batch'"):
        jane.retract_batch("bad", "", "wrong month")
    assert bank.retract_batch("bad", "", "we sent it by mistake").labels == 1


@pytest.mark.parametrize("world", [["Promote", "Rollback"]], indirect=True)
def test_an_operator_takes_back_any_batch_where_excluding_takes_one(world: World) -> None:
    assert world.clients["jane"].retract_batch("bad", "", "wrong month").labels == 1


def test_an_exclusion_that_would_replace_another_champion_is_asked_anew(world: World) -> None:
    jane, joe = world.clients["jane"], world.clients["joe"]
    world.ledger.promote(jane, "card-1")
    data = Selection(batch_id="bad")
    assert not jane.exclude(data, dry_run=True).replacements
    jane.exclude(data, reason="nobody serves with it")
    world.ledger.promote(jane, "card-2")
    assert joe.exclude(data, reason="yes").asked_seq, "card-2 would go, which jane has not seen"
    assert joe.get_champion("card").version == "card-2"
    assert jane.exclude(data, reason="still").exclusion_seq


def test_an_override_is_of_what_the_gate_said_when_it_was_asked_for(world: World) -> None:
    promote(world.clients["jane"])
    said = {"version": "card-3", "model": "card", "verdict": "REJECT", "way": "", "against": "card-2"}
    world.ledger.append("VerdictGiven", {**said, "report": {}})
    asked, applied = promote(world.clients["joe"])
    assert asked
    assert not applied


def test_no_token_of_a_person_gets_into_what_is_asked(world: World) -> None:
    card = world.stream.next()
    card.entities["card"] = "tok_secret"
    world.clients["shop"].score(card)
    data = Selection(
        transactions=True, from_us=1, to_us=world.stream.now_us + 1, where={"card": "tok_secret"}
    )
    assert world.clients["jane"].exclude(data, reason="a load test").asked_seq
    place = world.ledger.settings.places.ledger
    kept = b"".join(path.read_bytes() for path in place.parent.glob(f"{place.name}*"))
    assert b"a load test" in kept
    assert b"tok_secret" not in kept
    (asked,) = world.clients["joe"].list_asked()
    assert "tok_secret" not in asked.what_json
    assert world.clients["joe"].exclude(data, reason="yes").exclusion_seq
