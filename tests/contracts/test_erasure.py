"""What every event log promises about a person who is erased, held against each implementation."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fraud.errors import Conflict, NotFound
from fraud.eventlog import Erasure, EventLog, MemoryEventLog, NewToken, SqliteEventLog
from fraud.records import Event, Label, LabelsSubmitted, LabelValue, Scored
from tests.eventlog.events import EVENTS, applied, outcomes, same, same_entries, scored

TOKENS = [NewToken(0, 0, "ann"), NewToken(0, 1, "bob"), NewToken(1, 0, "shop"), NewToken(1, 1, "é" * 40)]
ANN = Erasure(0, 0, upto=4, time_us=9, actor="dpo", reason="request 7")


@pytest.fixture(params=["memory", "sqlite"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventLog]:
    opened: EventLog = MemoryEventLog()
    if request.param == "sqlite":
        path = tmp_path / "log.db"
        names = ["card", "merchant"]
        opened = SqliteEventLog.open(path, writable=True, entity_names=names, durability="process")
    yield opened
    opened.close()


def personal(transaction_id: str, *words: str) -> Scored:
    return dataclasses.replace(scored(transaction_id), categoricals=words)


def commented(*comments: tuple[str, str]) -> LabelsSubmitted:
    rows = tuple(Label(name, LabelValue.FRAUD, 5, text) for name, text in comments)
    return LabelsSubmitted("batch", 0, "analyst", "jane", rows, "digest")


def test_an_erased_token_is_gone_and_its_surrogate_stays_taken(log: EventLog) -> None:
    log.append([scored("t")], 1, TOKENS)
    assert log.next_surrogates() == {0: 2, 1: 2}
    erasure = dataclasses.replace(ANN, linked=((1, 1), (1, 7)))
    assert log.begin_erasure(erasure) == [TOKENS[0], TOKENS[3]]
    assert list(log.tokens()) == [TOKENS[1], TOKENS[2]]
    assert log.next_surrogates() == {0: 2, 1: 2}
    with pytest.raises(Conflict):
        log.append([], 2, [NewToken(1, 1, "somebody else")])
    log.append([], 2, [NewToken(0, 2, "ann")])
    assert list(log.tokens())[1] == NewToken(0, 2, "ann")


def test_an_erasure_is_noted_with_the_token_until_it_is_finished(log: EventLog) -> None:
    log.append([scored("t")], 1, TOKENS)
    erasures = [
        dataclasses.replace(ANN, linked=((1, 1),), fields=3, comments=2, transactions=5),
        dataclasses.replace(ANN, surrogate=1, reason="é"),
    ]
    for erasure in reversed(erasures):
        log.begin_erasure(erasure)
    assert log.erasures() == erasures
    log.finish_erasure(erasures[0])
    log.finish_erasure(erasures[0])
    assert log.erasures() == erasures[1:]


@pytest.mark.parametrize("surrogate", [0, 5])
def test_what_has_no_token_cannot_be_erased_and_leaves_no_note(log: EventLog, surrogate: int) -> None:
    log.append([scored("t")], 1, TOKENS)
    log.begin_erasure(ANN)
    log.finish_erasure(ANN)
    gone = dataclasses.replace(ANN, surrogate=surrogate, linked=((0, 1),))
    with pytest.raises(NotFound, match=f"surrogate {surrogate} of entity 0 has no token"):
        log.begin_erasure(gone)
    assert log.erasures() == []
    assert NewToken(0, 1, "bob") in list(log.tokens())


def test_only_the_named_fields_and_comments_of_the_named_entries_are_blanked(log: EventLog) -> None:
    events: list[Event] = [
        personal("a", "web", "ann@x"),
        personal("b", "shop", "bob@x"),
        commented(("a", "called her"), ("b", "called him"), ("c", "")),
        personal("c", "web", "ann@y"),
        outcomes("a"),
        applied("card", "card-1"),
    ]
    log.append(events, 1, [])
    assert log.erase([1, 3, 4, 5, 6, 99], [1], {"a", "c"}) == 3
    after = [
        personal("a", "web", ""),
        events[1],
        commented(("a", ""), ("b", "called him"), ("c", "")),
        personal("c", "web", ""),
        *events[4:],
    ]
    assert all(same(entry.event, event) for entry, event in zip(log.read(0, 9), after, strict=True))
    found = log.find(["a"])["a"].event
    assert isinstance(found, Scored)
    assert found.categoricals == ("web", "")
    assert log.erase([1, 3, 4], [1], {"a", "c"}) == 0
    assert log.batch_digest("batch", 0) == "digest"


def test_what_was_pruned_is_passed_over(log: EventLog) -> None:
    log.append([personal("a", "web", "x"), personal("b", "web", "y"), personal("c", "web", "z")], 1, [])
    log.prune(2, 5)
    assert log.erase([1, 2, 3], [1], {"a", "b", "c"}) == 1
    assert [entry.position for entry in log.read(0, 9)] == [3]
    log.scrub(1.0)


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(events=st.lists(EVENTS, max_size=6), fields=st.sets(st.integers(0, 3)))
def test_everything_else_of_an_event_stays_bit_for_bit(events: list[Event], fields: set[int]) -> None:
    log = MemoryEventLog()
    log.append(events, 1, [])
    before = log.read(0, 99)
    ids = {label.transaction_id for it in events if isinstance(it, LabelsSubmitted) for label in it.labels}
    log.erase(range(1, len(events) + 1), sorted(fields), ids)
    expected = [dataclasses.replace(entry, event=blanked(entry.event, fields)) for entry in before]
    assert same_entries(log.read(0, 99), expected)


def blanked(event: Event, fields: set[int]) -> Event:
    """The naive definition."""
    if isinstance(event, Scored):
        words = tuple("" if i in fields else word for i, word in enumerate(event.categoricals))
        return dataclasses.replace(event, categoricals=words)
    if isinstance(event, LabelsSubmitted):
        labels = tuple(dataclasses.replace(label, comment="") for label in event.labels)
        return dataclasses.replace(event, labels=labels)
    return event
