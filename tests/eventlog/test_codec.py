import pytest
from hypothesis import given, settings

from fraud.errors import Damaged
from fraud.eventlog.codec import Kind, decode, encode
from fraud.records import BatchRetracted, EntityListed, Event, Scored
from tests.eventlog.events import EVENTS, applied, labels, outcomes, same, scored


@settings(max_examples=300, deadline=None)
@given(event=EVENTS)
def test_every_event_comes_back_as_it_was(event: Event) -> None:
    kind, body = encode(event)
    back = decode(kind, body)
    assert same(back, event)
    if isinstance(event, Scored) and isinstance(back, Scored):
        assert back.features == event.features


def test_the_numbers_of_the_kinds_never_change() -> None:
    events: list[Event] = [
        scored("t"),
        labels("b"),
        outcomes("t"),
        applied("card", "card-1"),
        BatchRetracted("b", "ann", "wrong file"),
        EntityListed("block", "card", 7, 0, "ann", "stolen"),
    ]
    assert [encode(event)[0] for event in events] == [1, 2, 3, 4, 5, 6]
    assert [int(kind) for kind in Kind] == [1, 2, 3, 4, 5, 6]


def test_bytes_that_are_no_event_are_damaged() -> None:
    with pytest.raises(Damaged, match="kind 9"):
        decode(9, b"")
    with pytest.raises(Damaged, match="kind 1 cannot be read"):
        decode(1, b"\xff\xff")
    kind, body = encode(scored("t"))
    with pytest.raises(Damaged):
        decode(kind, body[:-3])
