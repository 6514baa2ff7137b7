"""Who is listed is a fold over the log, and counts by the arrival of the payment."""

import json

from hypothesis import given
from hypothesis import strategies as st

from fraud.policy.lists import Lists, list_of
from fraud.records import Applied, EntityListed, Entry, Event

ENTITIES = ("card", "merchant")
SECOND = 1_000_000


def listed(list_name: str, entity: str, surrogate: int, until_us: int = 0) -> EntityListed:
    return EntityListed(list_name, entity, surrogate, until_us, "ann", "case 7")


def lists_of(*events: EntityListed) -> Lists:
    lists = Lists(ENTITIES)
    for position, event in enumerate(events, start=1):
        lists.take(Entry(position, position * SECOND, event))
    return lists


@st.composite
def histories(draw: st.DrawFn) -> list[Entry]:
    """Entries in log order, arrivals rising, ends often in the middle of what follows."""
    entries, arrival_us = [], 0
    for position in range(1, draw(st.integers(0, 30)) + 1):
        arrival_us += draw(st.integers(0, 3))
        span = draw(st.sampled_from([0, 1, 4, 20]))
        event = EntityListed(
            draw(st.sampled_from(["block", "allow", ""])),
            draw(st.sampled_from([*ENTITIES, "wallet"])),
            draw(st.integers(0, 4)),
            arrival_us + span if span else 0,
            "ann",
            "case 7",
        )
        events: list[Event] = [event, event, Applied(1, "card", "card-1", "p")]
        entries.append(Entry(position, arrival_us, draw(st.sampled_from(events))))
    return entries


def naive(entries: list[Entry], surrogates: tuple[int, int], at_us: int) -> str:
    """The last word on each entity, if it has not ended; a block before an allow."""
    last = {}
    for entry in entries:
        if isinstance(entry.event, EntityListed):
            last[entry.event.entity, entry.event.surrogate] = entry.event
    found = [last.get((name, key)) for name, key in zip(ENTITIES, surrogates, strict=True)]
    live = [it for it in found if it and it.list_name and (not it.until_us or at_us < it.until_us)]
    for wanted in ("block", "allow"):
        for it in live:
            if it.list_name == wanted:
                return f"{wanted}:{it.entity}"
    return ""


@given(histories(), st.integers(0, 30), st.integers(0, 25))
def test_the_fold_is_what_was_said_last_and_goes_on_from_any_snapshot(
    entries: list[Entry], cut: int, later: int
) -> None:
    whole, first = Lists(ENTITIES), Lists(ENTITIES)
    for entry in entries:
        whole.take(entry)
    for entry in entries[:cut]:
        first.take(entry)
    resumed = Lists(ENTITIES)
    resumed.resume(json.loads(json.dumps(first.to_dict())))
    for entry in entries[cut:]:
        resumed.take(entry)
    now_us = (entries[-1].arrival_time_us if entries else 0) + later
    for surrogates in [(card, merchant) for card in range(-1, 5) for merchant in range(-1, 5)]:
        wanted = naive(entries, surrogates, now_us)
        assert whole.deciding(surrogates, now_us) == wanted
        assert resumed.deciding(surrogates, now_us) == wanted
    for lists in (whole, resumed):
        lists.turn(now_us)
        assert list(lists.listings(now_us)) == list(whole.listings(now_us))
        assert len(lists) == len(list(lists.listings(now_us)))
        assert lists.empty == (len(lists) == 0)


def test_a_listing_counts_until_the_moment_it_ends() -> None:
    lists = lists_of(listed("block", "card", 3, until_us=10 * SECOND))
    assert lists.deciding((3, -1), 10 * SECOND - 1) == "block:card"
    assert lists.deciding((3, -1), 10 * SECOND) == ""
    assert lists.counts == {"block": 1, "allow": 0}
    lists.turn(10 * SECOND)
    assert lists.counts == {"block": 0, "allow": 0}
    assert lists.empty


def test_a_block_goes_before_an_allow_and_a_new_listing_in_place_of_the_old() -> None:
    lists = lists_of(listed("allow", "card", 3), listed("block", "merchant", 5))
    assert lists.deciding((3, 5), SECOND) == "block:merchant"
    assert lists.deciding((3, 6), SECOND) == "allow:card"
    assert lists.deciding((-1, -1), SECOND) == ""
    lists.put(listed("allow", "merchant", 5), 4 * SECOND)
    assert lists.deciding((-1, 5), 4 * SECOND) == "allow:merchant"
    lists.put(listed("", "merchant", 5), 5 * SECOND)
    assert lists.deciding((-1, 5), 5 * SECOND) == ""


def test_listing_one_entity_over_and_over_takes_no_room() -> None:
    lists = Lists(ENTITIES)
    for i in range(20_000):
        lists.put(listed("block", "card", 1, until_us=10**12 + i), i)
    assert len(lists) == 1
    assert len(lists._ends) < 3_000


def test_a_rule_that_is_no_list_names_none() -> None:
    assert [list_of(rule) for rule in ("block:card", "allow:card", "blocked", "deny:card", "")] == [
        "block",
        "allow",
        "",
        "",
        "",
    ]
