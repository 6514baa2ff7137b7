"""What every event log promises, held against each implementation."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fraud.errors import ConfigError, Conflict, InvalidInput
from fraud.eventlog import EventLog, MemoryEventLog, NewToken, SqliteEventLog
from fraud.records import BatchRetracted, Event, Heading, Outcome, Scored
from tests.eventlog.events import EVENTS, applied, labels, outcomes, same, same_entries, scored

Opener = Callable[[], EventLog]
FEW = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)


@pytest.fixture(params=["memory", "sqlite"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens a new, empty log each time it is called."""
    opened: list[EventLog] = []

    def open_log() -> EventLog:
        log: EventLog = (
            MemoryEventLog()
            if request.param == "memory"
            else SqliteEventLog.open(
                tmp_path / f"{len(opened)}.db",
                writable=True,
                entity_names=["card", "merchant"],
                durability="process",
            )
        )
        opened.append(log)
        return log

    yield open_log
    for log in opened:
        log.close()


@pytest.fixture
def log(fresh: Opener) -> EventLog:
    return fresh()


def test_what_is_secured_is_all_that_there_is(log: EventLog) -> None:
    assert log.secure() == 0
    log.append([scored("a"), labels("b")], 1, [])
    assert log.secure() == log.head() == 2


def test_an_empty_log_has_head_0_and_first_1(log: EventLog) -> None:
    assert (log.head(), log.first(), log.last_arrival_us()) == (0, 1, 0)
    assert log.read(0, 10) == []
    assert log.find(["t"]) == {}
    assert log.find([]) == {}
    assert list(log.tokens()) == []
    assert log.last_applied() == {}
    assert log.prune(10, 10) == 0
    log.prove_writable()
    assert log.head() == 0


@FEW
@given(batches=st.lists(st.tuples(st.lists(EVENTS, max_size=5), st.integers(0, 100)), max_size=6))
def test_what_is_read_is_what_was_appended_in_gapless_order(
    fresh: Opener, batches: list[tuple[list[Event], int]]
) -> None:
    log = fresh()
    written: list[Event] = []
    newest = 0
    for events, arrival_us in batches:
        assert log.append(events, arrival_us, []) == len(written) + 1
        written += events
        newest = max(newest, arrival_us) if events else newest
        assert log.last_arrival_us() == newest
    entries = log.read(0, 1_000)
    assert [entry.position for entry in entries] == list(range(1, len(written) + 1))
    arrivals = [entry.arrival_time_us for entry in entries]
    assert arrivals == sorted(arrivals)
    assert all(same(a.event, b) for a, b in zip(entries, written, strict=True))
    assert log.head() == len(written)


def test_an_older_arrival_is_raised_to_the_last_one(log: EventLog) -> None:
    log.append([scored("a")], 50, [])
    log.append([scored("b")], 40, [])
    assert [entry.arrival_time_us for entry in log.read(0, 9)] == [50, 50]


def test_a_history_brings_one_arrival_per_event(log: EventLog) -> None:
    log.append([scored("a"), scored("b"), scored("c")], [5, 3, 9], [])
    assert [entry.arrival_time_us for entry in log.read(0, 9)] == [5, 5, 9]
    with pytest.raises(InvalidInput, match="2 for 1 events"):
        log.append([scored("d")], [1, 2], [])


def test_paging_by_position_visits_every_entry_once(log: EventLog) -> None:
    log.append([scored(f"t{i}") for i in range(25)], 1, [])
    seen: list[int] = []
    while page := log.read(seen[-1] if seen else 0, 7):
        seen += [entry.position for entry in page]
    assert seen == list(range(1, 26))


def test_a_transaction_id_is_taken_only_once(log: EventLog) -> None:
    log.append([scored("a")], 1, [])
    with pytest.raises(Conflict, match="taken before"):
        log.append([scored("b"), scored("a", Outcome.DECLINE)], 2, [])
    with pytest.raises(Conflict):
        log.append([scored("c"), scored("c")], 2, [])
    assert log.head() == 1
    assert list(log.find(["a", "b", "c"])) == ["a"]


def test_a_refused_append_leaves_nothing_behind(log: EventLog) -> None:
    log.append([labels("b1")], 1, [NewToken(0, 0, "x")])
    refused: list[tuple[list[Event], list[NewToken]]] = [
        ([scored("a"), applied("card", "card-1"), labels("b2"), labels("b1")], []),
        ([scored("a"), labels("b2")], [NewToken(0, 1, "y"), NewToken(0, 0, "z")]),
    ]
    for events, tokens in refused:
        with pytest.raises(Conflict):
            log.append(events, 9, tokens)
    assert (log.head(), log.last_arrival_us()) == (1, 1)
    assert log.batch_digest("b2", 0) is None
    assert log.last_applied() == {}
    assert list(log.tokens()) == [NewToken(0, 0, "x")]
    assert log.append([scored("a")], 9, []) == 2


@pytest.mark.parametrize("n", [1, 7, 8, 9, 64, 65, 700])
def test_find_returns_held_entries_and_leaves_unknown_ids_out(log: EventLog, n: int) -> None:
    log.append([scored(f"t{i}") for i in range(n)], 1, [])
    asked = [f"t{i}" for i in range(0, n, 2)] + [f"unknown{i}" for i in range(n)] + ["t0"]
    found = log.find(asked)
    assert sorted(found) == sorted({f"t{i}" for i in range(0, n, 2)})
    for key, entry in found.items():
        assert isinstance(entry.event, Scored)
        assert entry.event.transaction_id == key
        assert entry.position == int(key[1:]) + 1


def test_find_compares_ids_exactly(log: EventLog) -> None:
    ids = ["a", "A", "a ", "a\x00", "a\x00b", "ä", "a\u0308", ""]
    log.append([scored(transaction_id) for transaction_id in ids], 1, [])
    assert {key: entry.position for key, entry in log.find(ids).items()} == {
        key: position for position, key in enumerate(ids, 1)
    }


def test_batches_are_listed_by_arrival_and_source_page_by_page(log: EventLog) -> None:
    for i in range(9):
        log.append([labels(f"b{i}", source=("analyst", "chargeback")[i % 2]), scored(f"t{i}")], i * 10, [])
    assert [batch.batch_id for batch in log.batches(0, "", 0, 3)] == ["b0", "b1", "b2"]
    page = log.batches(20, "analyst", 0, 2)
    assert [batch.batch_id for batch in page] == ["b2", "b4"]
    rest = log.batches(20, "analyst", page[-1].position, 9)
    assert [batch.batch_id for batch in rest] == ["b6", "b8"]
    assert (page[0].frauds, page[0].legitimates, page[0].withdrawn) == (1, 1, 1)
    assert (page[0].arrival_time_us, page[0].position, page[0].submitter) == (20, 5, "ann")
    assert page[0].digest == log.batch_digest("b2", 0) == "digest-b2-0"
    assert log.batch_digest("b2", 1) is None


def test_parts_of_a_batch_are_taken_apart(log: EventLog) -> None:
    log.append([labels("b", part=0), labels("b", part=1)], 1, [])
    assert log.batch_digest("b", 1) == "digest-b-1"
    with pytest.raises(Conflict):
        log.append([labels("b", part=1)], 2, [])


def test_a_batch_is_whose_first_part_it_is(log: EventLog) -> None:
    assert log.batch_owner("b") is None
    log.append([labels("b", part=1), replace(labels("b", part=0), submitter="bob"), labels("c")], 1, [])
    assert (log.batch_owner("b"), log.batch_owner("c"), log.batch_owner("d")) == ("bob", "ann", None)


def test_a_retracted_batch_says_so_in_all_its_parts_for_ever(log: EventLog) -> None:
    log.append([labels("a"), labels("a", part=1), labels("b")], 5, [])
    assert not log.is_retracted("a")
    log.append([BatchRetracted("a", "ann", "wrong file")], 6, [])
    assert [(batch.batch_id, batch.retracted) for batch in log.batches(0, "", 0, 9)] == [
        ("a", True),
        ("a", True),
        ("b", False),
    ]
    log.prune(4, 9)
    assert [(part.part, part.labels, part.retracted) for part in log.batch("a")] == [
        (0, 3, True),
        (1, 3, True),
    ]
    assert log.batch("c") == []
    assert [log.is_retracted(batch_id) for batch_id in ("a", "b", "c", "")] == [True, False, False, False]
    with pytest.raises(Conflict):
        log.append([BatchRetracted("a", "bob", "again")], 7, [])


def test_decisions_are_listed_by_outcome_model_and_arrival_page_by_page(log: EventLog) -> None:
    kinds = [Outcome.APPROVE, Outcome.REVIEW, Outcome.UNSPECIFIED, Outcome.DECLINE, Outcome.REVIEW]
    for i in range(40):
        model = ("card", "transfer")[i % 3 == 0]
        log.append([scored(f"t{i}", kinds[i % 5], model), labels(f"b{i}")], i, [])

    def ids(*asked: Outcome, since: int = 0, model: str = "") -> list[str]:
        seen: list[str] = []
        after = 0
        while page := log.decisions(asked, since, model, after, 3):
            assert len(page) <= 3
            after = page[-1].position
            seen += [entry.event.transaction_id for entry in page if isinstance(entry.event, Scored)]
        return seen

    def expected(asked: set[Outcome], since: int = 0, model: str = "") -> list[str]:
        return [
            f"t{i}"
            for i in range(since, 40)
            if kinds[i % 5] in asked and model in ("", ("card", "transfer")[i % 3 == 0])
        ]

    decided = set(kinds) - {Outcome.UNSPECIFIED}
    assert ids() == expected(decided)
    assert ids(Outcome.REVIEW) == expected({Outcome.REVIEW})
    assert ids(Outcome.REVIEW, Outcome.DECLINE, since=17) == expected({Outcome.REVIEW, Outcome.DECLINE}, 17)
    assert ids(model="transfer", since=3) == expected(decided, 3, "transfer")
    assert ids(Outcome.UNSPECIFIED) == []
    assert ids(since=100) == []


def test_tokens_come_back_by_entity_and_surrogate(log: EventLog) -> None:
    log.append([scored("a")], 1, [NewToken(1, 0, "m"), NewToken(0, 1, "ü")])
    log.append([scored("b")], 1, [NewToken(0, 0, "")])
    assert list(log.tokens()) == [NewToken(0, 0, ""), NewToken(0, 1, "ü"), NewToken(1, 0, "m")]


def test_the_newest_applied_entry_of_each_model_is_known(log: EventLog) -> None:
    log.append([applied("card", "card-1"), applied("transfer", "transfer-1")], 1, [])
    log.append([scored("a"), applied("card", "card-2")], 2, [])
    assert {model: entry.position for model, entry in log.last_applied().items()} == {
        "card": 4,
        "transfer": 2,
    }
    assert log.last_applied()["card"] == log.read(3, 1)[0]
    assert [entry.position for entry in log.applied()] == [1, 2, 4]
    assert [entry.position for entry in log.applied(after=1)] == [2, 4]
    assert log.applied(after=4) == []


def test_pruning_needs_both_position_and_arrival_to_be_passed(log: EventLog) -> None:
    for i in range(10):
        log.append([scored(f"t{i}")], i * 10, [])
    assert log.prune(4, 1_000) == 4
    assert log.first() == 5
    assert log.prune(1_000, 60) == 2
    assert (log.first(), log.head()) == (7, 10)
    assert [entry.position for entry in log.read(0, 99)] == [7, 8, 9, 10]
    assert sorted(log.find([f"t{i}" for i in range(10)])) == ["t6", "t7", "t8", "t9"]
    assert log.prune(4, 1_000) == 0


def test_what_must_outlive_pruning_does(log: EventLog) -> None:
    log.append([labels("b"), applied("card", "card-1"), outcomes("x"), scored("t")], 7, [NewToken(0, 0, "x")])
    assert log.prune(4, 8) == 3
    assert (log.head(), log.first(), log.last_arrival_us()) == (4, 5, 7)
    assert [entry.position for entry in log.read(0, 9)] == [2]
    assert log.batch_digest("b", 0) == "digest-b-0"
    assert [batch.batch_id for batch in log.batches(0, "", 0, 9)] == ["b"]
    assert log.last_applied()["card"].position == 2
    assert [entry.position for entry in log.applied()] == [2]
    assert list(log.tokens()) == [NewToken(0, 0, "x")]
    assert log.decisions([], 0, "", 0, 9) == []
    with pytest.raises(Conflict):
        log.append([labels("b")], 8, [])
    # The id left with its entry, so it may come again; positions go on.
    assert log.append([scored("t")], 3, []) == 5
    assert log.read(4, 1)[0].arrival_time_us == 7
    assert [entry.position for entry in log.read(3, 9)] == [5]


@FEW
@given(
    steps=st.lists(
        st.tuples(st.integers(1, 4), st.integers(0, 30), st.integers(0, 20), st.integers(0, 30)), max_size=6
    )
)
def test_pruning_removes_a_prefix_and_keeps_the_rest_as_it_was(
    fresh: Opener, steps: list[tuple[int, int, int, int]]
) -> None:
    log, twin = fresh(), fresh()
    for step, (n, arrival_us, upto, before_us) in enumerate(steps):
        events = [scored(f"{step}-{i}") for i in range(n)]
        log.append(events, arrival_us, [])
        twin.append(events, arrival_us, [])
        held = len(log.read(0, 1_000))
        removed = log.prune(upto, before_us)
        assert len(log.read(0, 1_000)) == held - removed
        assert same_entries(log.read(0, 1_000), twin.read(log.first() - 1, 1_000))
        assert log.head() == twin.head()


FIRST = Heading(("age", "distance"), ("channel", "country"), (("amount", "a"), ("hour", "h"), ("sum", "s")))
OTHER = replace(FIRST, features=(("hour", "h"), ("amount", "in euro")))


def test_a_heading_holds_from_the_next_position_on_and_for_good(log: EventLog) -> None:
    assert list(log.headings()) == []
    for _ in range(2):
        log.hold_to_heading(FIRST)
    assert list(log.headings()) == [(1, FIRST)]
    log.append([scored("t1"), scored("t2")], 1, [])
    log.hold_to_heading(FIRST)
    log.hold_to_heading(OTHER)
    log.append([scored("t3")], 2, [])
    log.hold_to_heading(FIRST)
    log.append([scored("t4")], 3, [])
    assert log.prune(3, 9) == 3
    assert list(log.headings()) == [(1, FIRST), (3, OTHER), (4, FIRST)]


def test_a_heading_under_which_nothing_was_logged_is_replaced(log: EventLog) -> None:
    log.hold_to_heading(OTHER)
    log.hold_to_heading(FIRST)
    assert list(log.headings()) == [(1, FIRST)]
    log.append([scored("t1")], 1, [])
    wide = replace(FIRST, numerics=(*FIRST.numerics, "height"))
    log.hold_to_heading(wide)
    log.hold_to_heading(OTHER)
    assert list(log.headings()) == [(1, FIRST), (2, OTHER)]


def test_what_was_logged_before_any_heading_is_taken_to_be_of_the_first(log: EventLog) -> None:
    log.append([scored("t1")], 1, [])
    log.hold_to_heading(FIRST)
    assert list(log.headings()) == [(1, FIRST)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"numerics": ("distance", "age")},
            "schema.numeric: age was logged in place 1, .* has distance there",
        ),
        ({"numerics": ("age",)}, "schema.numeric: distance was logged in place 2, .* has nothing there"),
        (
            {"categoricals": ("os", "channel", "country")},
            "schema.categorical: channel was logged in place 1, .* has os there.*put channel back",
        ),
    ],
)
def test_fields_are_only_ever_appended(log: EventLog, change: dict[str, Any], words: str) -> None:
    log.hold_to_heading(FIRST)
    log.append([scored("t1")], 1, [])
    with pytest.raises(ConfigError, match=words):
        log.hold_to_heading(replace(FIRST, **change))
    assert list(log.headings()) == [(1, FIRST)]
    log.hold_to_heading(
        replace(FIRST, numerics=("age", "distance", "height"), categoricals=(*FIRST.categoricals, "os"))
    )
