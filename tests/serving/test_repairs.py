"""Rollback, exclusion, retraction, lineage and history over the real wire."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fraud.client import Client
from fraud.errors import Conflict, FraudError, InvalidInput, NotAllowedNow, NotFound
from fraud.eventlog import SqliteEventLog
from fraud.features.archive import open_archive
from fraud.features.spec import FeatureSpec
from fraud.labels.exclusions import Exclusion
from fraud.v1.models_pb2 import ExclusionStatus, Selection
from tests.serving.registered import Polluted, polluted
from tests.serving.worlds import Stream
from tests.waiting import wait_until

LATE_US = 2**61
OUTCOMES = ("approved", "challenged", "reviewed", "declined")


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


def test_lineage_of_a_batch_names_versions_descendants_and_decisions(still: Polluted) -> None:
    lineage = still.client.get_lineage(batch_id="bad")
    uses = [(use.version, use.labels, use.frauds, use.fed_features) for use in lineage.uses]
    assert uses == [("card-2", 4, 0, False), ("card-3", 0, 0, False)], "card-3 continues card-2"
    assert {(use.batch_id, use.source, use.submitter) for use in lineage.uses} == {
        ("bad", "analyst", "mallory")
    }
    (counts,) = lineage.decisions
    assert counts.version == "card-2"
    assert sum(getattr(counts, name) for name in OUTCOMES) == 20
    good = still.client.get_lineage(batch_id="good")
    assert [use.version for use in good.uses] == ["card-1", "card-2", "card-3"]
    assert [each.version for each in good.decisions] == ["card-1", "card-2"], "card-3 never served"


def test_decisions_are_counted_once_wherever_they_stand(world: Polluted) -> None:
    settings = world.ledger.settings
    spec = FeatureSpec.of(settings)
    archive = open_archive(settings)
    log = SqliteEventLog.open(settings.places.log, writable=False, entity_names=spec.entity_names)
    decisions = list(world.client.get_lineage(batch_id="good").decisions)
    assert [sum(getattr(it, name) for name in OUTCOMES) for it in decisions] == [40, 20]
    for upto in (174, None):
        archive.copy_from(log, upto=upto)
        assert list(world.client.get_lineage(batch_id="good").decisions) == decisions
    log.close()


def test_lineage_of_a_version_names_batches_and_ancestors(still: Polluted) -> None:
    lineage = still.client.get_lineage(version="card-2")
    assert [(use.batch_id, use.labels) for use in lineage.uses] == [("good", 6), ("bad", 4)]
    assert not lineage.ancestors
    assert not lineage.tainted_by
    assert list(still.client.get_lineage(version="card-3").ancestors) == ["card-2"]


def test_history_tells_what_served_by_whom_and_why_newest_first(still: Polluted) -> None:
    entries = still.client.get_history().entries
    assert [(it.model, it.version, it.kind) for it in entries] == [
        ("card", "card-2", "Promoted"),
        ("card", "card-1", "Promoted"),
    ]
    assert (entries[0].actor, entries[0].reason) == ("retrainer", "card-2 is better")
    page = still.client.get_history("card", page_size=1)
    assert [it.version for it in page.entries] == ["card-2"]
    page = still.client.get_history("card", page_size=1, page_token=page.next_page_token)
    assert [it.version for it in page.entries] == ["card-1"]
    assert not still.client.get_history("transfer").entries


Call = Callable[[Client], Any]
SIGNED: dict[str, Any] = {"actor": "ann", "reason": "polluted"}


def rollback(**changed: Any) -> Call:
    given: dict[str, Any] = {"version": "card-1", **SIGNED} | changed
    model = given.pop("model", "card")
    return lambda client: client.rollback(model, **given)


def exclude(selection: Selection, **changed: Any) -> Call:
    given: dict[str, Any] = SIGNED | changed
    return lambda client: client.exclude(selection, **given)


BAD = Selection(batch_id="bad")
SPAN: dict[str, Any] = {"transactions": True, "from_us": 1, "to_us": 2}


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (rollback(model="loan"), "model"),
        (rollback(model=""), "model"),
        (rollback(version=""), "before, version"),
        (rollback(before_us=5), "before, version"),
        (rollback(before_us=-1), "before_us"),
        (rollback(before_us=LATE_US), "before_us"),
        (rollback(mute_labels_since_us=-1), "mute_labels_since_us"),
        (rollback(model="transfer"), "version"),
        (rollback(actor=""), "actor"),
        (rollback(actor="x" * 129), "actor"),
        (rollback(reason=" "), "reason"),
        (rollback(reason="x" * 1001), "reason"),
        (exclude(Selection()), "selection"),
        (exclude(Selection(source="rumour")), "source"),
        (exclude(Selection(batch_id="bad", transactions=True)), "transactions"),
        (exclude(Selection(transactions=True)), "from, to"),
        (exclude(Selection(transactions=True, from_us=2, to_us=1)), "to"),
        (exclude(Selection(batch_id="bad", from_us=-1)), "selection.from_us"),
        (exclude(Selection(batch_id="bad", to_us=LATE_US)), "selection.to_us"),
        (exclude(Selection(batch_id="bad", where={"card": "c1"})), "where"),
        (exclude(Selection(**SPAN, where={"phone": "1"})), "where.phone"),
        (exclude(BAD, actor=""), "actor"),
        (exclude(BAD, reason=""), "reason"),
        (exclude(Selection(**SPAN, where={"card": "tok-1"}), reason="tok-1 was a load test"), "reason"),
        (exclude(Selection(**SPAN, where={"card": "tok-1"}), actor="tok-1"), "actor"),
        (lambda client: client.undo_exclusion(1, actor="", reason="why"), "actor"),
        (lambda client: client.undo_exclusion(1, actor="ann", reason=""), "reason"),
        (lambda client: client.get_lineage(), "batch_id, version"),
        (lambda client: client.get_lineage(batch_id="bad", version="card-1"), "batch_id, version"),
        (lambda client: client.get_history("loan"), "model"),
        (lambda client: client.get_history(page_token="x"), "page_token"),
        (lambda client: client.get_history(page_size=-1), "page_size"),
        (lambda client: client.retract_batch("bad", "", "why"), "submitter"),
        (lambda client: client.retract_batch("bad", "x" * 129, "why"), "submitter"),
        (lambda client: client.retract_batch("bad", "ann", ""), "reason"),
        (lambda client: client.retract_batch("bad", "ann", "x" * 1001), "reason"),
    ],
)
def test_a_wrong_field_is_refused_by_name(still: Polluted, call: Call, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        call(still.client)
    assert caught.value.field == field
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("call", "kind", "says"),
    [
        (rollback(version="card-9"), NotFound, "'card-9' is not in the ledger"),
        (rollback(version="card-2"), NotAllowedNow, "is the champion of 'card' already"),
        (rollback(version="card-3"), NotAllowedNow, "is challenger and never was champion"),
        (rollback(version="", before_us=5), NotFound, "no version of 'card' served before"),
        (exclude(Selection(batch_id="none")), NotFound, "holds nothing"),
        (exclude(Selection(**SPAN, where={"card": "nobody"})), NotFound, "where.card"),
        (lambda client: client.undo_exclusion(1, **SIGNED), NotFound, "entry 1 is no exclusion"),
        (lambda client: client.list_exclusions(1), NotFound, "entry 1 is no exclusion"),
        (lambda client: client.get_lineage(batch_id="none"), NotFound, "no such batch came in"),
        (lambda client: client.get_lineage(version="card-9"), NotFound, "'card-9' is not in the ledger"),
        (lambda client: client.retract_batch("none", "ann", "why"), NotFound, "no such batch came in"),
        (lambda client: client.retract_batch("", "ann", "why"), NotFound, "no such batch came in"),
    ],
)
def test_what_there_is_not_or_may_not_be_is_refused_with_the_remedy(
    still: Polluted, call: Call, kind: type[FraudError], says: str
) -> None:
    with pytest.raises(kind, match=says):
        call(still.client)


def test_dry_runs_say_what_would_be_and_change_nothing(still: Polluted) -> None:
    client = still.client
    head = still.ledger.store.head()
    plan = client.rollback("card", before_us=client.get_champion("card").since_us, dry_run=True)
    assert (plan.from_version, plan.to_version) == ("card-2", "card-1")
    assert [it.view for it in plan.forecasts] == ["now", "all labels"]
    assert {it.rows for it in plan.forecasts} == {180}
    muted = client.rollback("card", version="card-1", mute_labels_since_us=1, dry_run=True)
    assert [it.view for it in muted.forecasts] == ["now", "all labels", "labels muted"]
    assert muted.muted_labels == 10
    excluded = client.exclude(BAD, dry_run=True)
    assert (excluded.exclusion_seq, excluded.labels, list(excluded.tainted)) == (0, 4, ["card-2", "card-3"])
    (replaced,) = excluded.replacements
    assert (replaced.model, replaced.from_version, replaced.to_version) == ("card", "card-2", "card-1")
    assert still.ledger.store.head() == head
    assert client.get_champion("card").version == "card-2"


def test_a_rollback_serves_at_once_and_stands_in_the_history(world: Polluted) -> None:
    done = world.client.rollback("card", version="card-1", mute_labels_since_us=1, **SIGNED)
    assert (done.applied, done.muted_labels, done.mute_seq) == (True, 10, done.ledger_seq)
    assert 0 < done.seconds < 60
    assert world.client.get_champion("card").version == "card-1"
    kinds = {(it.model, it.version, it.kind, it.actor) for it in world.client.get_history().entries[:2]}
    assert kinds == {("card", "card-1", "RolledBack", "ann"), ("", "", "RolledBack", "ann")}
    (status,) = world.client.list_exclusions()
    assert (status.muted, status.labels, list(status.tainted)) == (True, 10, [])
    assert steps(status) == [("recorded", True), ("in force", True)]
    back = world.client.rollback("card", version="card-2", **SIGNED)
    assert (back.applied, back.from_version, back.mute_seq) == (True, "card-1", 0)


def steps(status: ExclusionStatus) -> list[tuple[str, bool]]:
    return [(step.step, step.done) for step in status.steps]


def status_of(world: Polluted, seq: int) -> ExclusionStatus:
    (status,) = world.client.list_exclusions(seq)
    return status


def test_an_exclusion_is_repaired_step_by_step_and_undone_on_the_record(world: Polluted) -> None:
    client = world.client
    reply = client.exclude(BAD, **SIGNED)
    seq = reply.exclusion_seq
    assert client.get_champion("card").version == "card-1"
    assert {it.version: list(it.tainted_by) for it in client.list_versions().versions} == {
        "card-1": [],
        "card-2": [seq],
        "card-3": [seq],
    }
    assert list(client.get_lineage(version="card-3").tainted_by) == [seq]
    with pytest.raises(
        NotAllowedNow, match=f"is tainted: it learned from data that exclusion {seq} cuts out"
    ):
        client.rollback("card", version="card-2", **SIGNED)

    done = [("recorded", True), ("rolled back", True), ("in force", True), ("retrain requested", True)]
    wait_until(lambda: steps(status_of(world, seq))[:4] == done)
    status = status_of(world, seq)
    assert steps(status)[4] == ("retrained", False)
    assert status.steps[1].text == "card: card-2 → card-1"
    assert (status.selection, status.actor, status.reason) == ("labels of batch bad", "ann", "polluted")
    assert list(status.tainted) == ["card-2", "card-3"]

    request = world.ledger.store.state().requests()[-1]
    assert request.exclusion == seq
    world.ledger.append("CycleStarted", {"request_seq": request.seq, "models": ["card"]})
    assert status_of(world, seq).steps[4].text == "runs"
    world.ledger.append("CycleFailed", {"request_seq": request.seq, "error": "out of memory"})
    last = status_of(world, seq).steps[4]
    assert (last.step, last.done, last.text) == ("retrain failed", True, "out of memory")

    undo_seq = client.undo_exclusion(seq, actor="bob", reason="it was right after all").ledger_seq
    undone = status_of(world, seq)
    assert undone.undone_seq == undo_seq
    assert (undone.steps[-1].step, undone.steps[-1].done) == ("undone", True)
    assert not any(version.tainted_by for version in client.list_versions().versions)
    newest = client.get_history().entries[0]
    assert (newest.kind, newest.actor, newest.ledger_seq) == ("ExclusionUndone", "bob", undo_seq)
    with pytest.raises(NotAllowedNow, match="was undone before"):
        client.undo_exclusion(seq, **SIGNED)


def test_the_same_exclusion_again_is_answered_with_its_entry_and_changes_nothing(world: Polluted) -> None:
    client, store = world.client, world.ledger.store
    seq = client.exclude(BAD, no_retrain=True, **SIGNED).exclusion_seq
    head = store.head()
    again = client.exclude(BAD, actor="joe", reason="did it arrive?")
    assert (again.exclusion_seq, again.in_force_seq, again.labels) == (seq, seq, 4)
    plan = client.exclude(BAD, dry_run=True)
    assert (plan.exclusion_seq, plan.in_force_seq) == (0, seq)
    assert store.head() == head
    assert client.exclude(Selection(batch_id="bad", to_us=2**51), dry_run=True).in_force_seq == 0

    client.undo_exclusion(seq, **SIGNED)
    anew = client.exclude(BAD, no_retrain=True, **SIGNED)
    assert (anew.exclusion_seq > seq, anew.in_force_seq) == (True, 0)


def test_calls_for_the_same_exclusion_at_once_make_one_entry(world: Polluted) -> None:
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda _: world.client.exclude(BAD, no_retrain=True, **SIGNED), range(4)))
    assert len({it.exclusion_seq for it in replies}) == 1
    assert len(world.client.list_exclusions()) == 1


def test_what_was_muted_is_excluded_all_the_same(world: Polluted) -> None:
    span = Selection(from_us=1, to_us=2**51)
    muted = Exclusion("labels", from_us=1, to_us=2**51).to_dict()
    counts = {"first_position": 1, "labels": 4, "transactions": 0}
    world.ledger.append("DataExcluded", {"exclusion": muted, **counts, "muted": True, "retrain": False})
    assert world.client.exclude(span, no_retrain=True, **SIGNED).in_force_seq == 0


WHOLE = Selection(transactions=True, from_us=1, to_us=4_000_000_000_000_000)


def test_a_champion_without_a_clean_one_before_it_serves_on_and_says_so_in_every_answer(
    world: Polluted,
) -> None:
    client = world.client
    stream = Stream(seed=10)
    stream.skip_days(1)
    plan = client.exclude(WHOLE, dry_run=True)
    assert [(it.from_version, it.to_version) for it in plan.replacements] == [("card-2", "card-2")]
    assert "TAINTED_CHAMPION" not in client.score(stream.next()).limits
    reply = client.exclude(WHOLE, no_retrain=True, **SIGNED)
    assert (reply.labels, reply.transactions) == (0, 181)
    assert list(reply.tainted) == ["card-1", "card-2", "card-3"]
    seq = reply.exclusion_seq
    done = [("recorded", True), ("kept", True), ("in force", True)]
    wait_until(lambda: steps(status_of(world, seq)) == done)
    text = status_of(world, seq).steps[1].text
    assert text == "card-2 is tainted and serves on, for there is no clean one to go back to"
    decision = client.score(stream.next())
    assert decision.version == "card-2"
    assert "TAINTED_CHAMPION" in decision.limits
    assert [entry.kind for entry in client.get_history().entries[:1]] == ["DataExcluded"]
    assert not world.ledger.store.state().requests()

    client.undo_exclusion(seq, **SIGNED)
    assert "TAINTED_CHAMPION" not in client.score(stream.next()).limits
    assert ("kept", True) not in steps(status_of(world, seq))


def test_a_tainted_champion_leaves_without_a_successor_where_that_is_wanted(tmp_path: Path) -> None:
    with polluted(tmp_path, FRAUD__MODELS__CARD__NO_CLEAN_CHAMPION="NONE") as world:
        reply = world.client.exclude(WHOLE, no_retrain=True, **SIGNED)
        assert [(it.from_version, it.to_version) for it in reply.replacements] == [("card-2", "")]
        done = [("recorded", True), ("rolled back", True), ("in force", True)]
        wait_until(lambda: steps(status_of(world, reply.exclusion_seq)) == done)
        assert status_of(world, reply.exclusion_seq).steps[1].text == "card: card-2 → no champion"
        assert world.client.get_champion("card").version == ""


def test_a_retracted_batch_counts_no_more_and_takes_no_more_parts(world: Polluted) -> None:
    client = world.client
    reply = client.retract_batch("bad", "jane", "a broken export")
    assert (reply.labels, reply.repeated, list(reply.versions)) == (4, False, ["card-2", "card-3"])
    again = client.retract_batch("bad", "jane", "a broken export")
    assert (again.labels, again.repeated, list(again.versions)) == (0, True, ["card-2", "card-3"])
    assert [(it.batch_id, it.retracted) for it in client.list_batches().batches] == [
        ("good", False),
        ("bad", True),
    ]
    for part in (0, 1):
        with pytest.raises(Conflict, match=r"'bad' was retracted.*under a new batch_id"):
            client.submit_labels("bad", part, "analyst", "mallory", world.bad)
    assert client.submit_labels("better", 0, "analyst", "ann", world.bad).accepted == 4
