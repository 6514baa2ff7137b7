"""Sets of sentinels in the ledger: frozen, named once, each fraud in one set."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraud.errors import Conflict, FraudError, InvalidInput, NotFound
from fraud.registry import LedgerEntry, LedgerStore, RegistryState
from fraud.registry.sentinels import next_name, sentinel_ids
from tests.registry.entries import add


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LedgerStore]:
    opened = LedgerStore.open(tmp_path / "ledger.db")
    yield opened
    opened.close()


def added(pattern: str, *rows: int, model: str = "card", caught: float | None = None) -> dict[str, Any]:
    """The body of a SentinelAdded with the transactions t<row> at these positions."""
    return {
        "model": model,
        "pattern": pattern,
        "transaction_ids": [f"t{row}" for row in rows],
        "positions": list(rows),
        "source": "chargeback",
        "champion": "" if caught is None else "card-1",
        "caught": caught,
    }


def test_a_set_stands_in_the_state_as_it_was_added(store: LedgerStore) -> None:
    add(store, "SentinelAdded", added("amount", 3, 1, 2, caught=2 / 3), time_us=7)
    found = store.state().sentinels["card", "amount"]
    assert (found.transaction_ids, found.positions, len(found)) == (("t3", "t1", "t2"), (3, 1, 2), 3)
    assert (found.source, found.champion, found.caught_rows) == ("chargeback", "card-1", 2)
    assert (found.added_us, found.actor, found.reason) == (7, "ann", "test")


def test_a_set_added_without_a_champion_has_no_share(store: LedgerStore) -> None:
    add(store, "SentinelAdded", added("amount", 1))
    found = store.state().sentinels["card", "amount"]
    assert (found.champion, found.caught, found.caught_rows) == ("", None, None)


def test_adding_to_a_pattern_is_refused_and_a_new_name_proposed(store: LedgerStore) -> None:
    add(store, "SentinelAdded", added("amount", 1, 2))
    with pytest.raises(Conflict, match="choose a new pattern name, like 'amount-2'"):
        add(store, "SentinelAdded", added("amount", 3))
    add(store, "SentinelAdded", added("amount-2", 3))
    with pytest.raises(Conflict, match="'amount-3'"):
        add(store, "SentinelAdded", added("amount-2", 4))
    add(store, "SentinelAdded", added("amount", 5, model="transfer"))
    assert set(store.state().sentinels) == {("card", "amount"), ("card", "amount-2"), ("transfer", "amount")}


def test_a_retired_set_guards_nothing_and_its_name_is_not_used_again(store: LedgerStore) -> None:
    add(store, "SentinelAdded", added("amount", 1, 2))
    add(store, "SentinelRetired", {"model": "card", "pattern": "amount"})
    state = store.state()
    assert (state.sentinels, sentinel_ids(state.sentinels.values())) == ({}, frozenset())
    assert state.retired_sentinels["card", "amount"].positions == (1, 2)
    with pytest.raises(Conflict, match="retired; choose a new pattern name, like 'amount-2'"):
        add(store, "SentinelAdded", added("amount", 1, 2))
    add(store, "SentinelAdded", added("amount-2", 1, 2))
    with pytest.raises(NotFound, match="fraud sentinel list"):
        add(store, "SentinelRetired", {"model": "card", "pattern": "amount"})


def test_a_fraud_stands_in_one_set_at_most(store: LedgerStore) -> None:
    add(store, "SentinelAdded", added("amount", 1, 2))
    with pytest.raises(Conflict, match="1 are sentinels already, such as 't2'"):
        add(store, "SentinelAdded", added("terminal", 2, 3))
    with pytest.raises(Conflict, match="'t2'"):
        add(store, "SentinelAdded", added("terminal", 2, 3, model="transfer"))


@pytest.mark.parametrize(
    "change",
    [
        {"pattern": "Amount"},
        {"pattern": ""},
        {"pattern": "a" * 41},
        {"transaction_ids": [], "positions": []},
        {"transaction_ids": ["t1"]},
        {"positions": [1, 1]},
        {"transaction_ids": ["t1", "t1"]},
        {"caught": 0.5},
        {"champion": "card-1"},
        {"champion": "card-1", "caught": 1.5},
    ],
)
def test_what_is_no_set_is_not_written(store: LedgerStore, change: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        add(store, "SentinelAdded", added("amount", 1, 2) | change)
    assert store.head() == 0
    assert store.state().sentinels == {}


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["add", "retire"]),
            st.sampled_from(["card", "transfer"]),
            st.sampled_from(["amount", "amount-2", "terminal"]),
            st.sets(st.integers(1, 12), min_size=1, max_size=4),
        ),
        max_size=12,
    )
)
def test_any_order_of_additions_and_retirements_is_what_a_naive_count_says(
    steps: list[tuple[str, str, str, set[int]]],
) -> None:
    state = RegistryState()
    sets: dict[tuple[str, str], set[int]] = {}
    used: set[tuple[str, str]] = set()
    for what, model, pattern, rows in steps:
        kind, body = "SentinelRetired", {"model": model, "pattern": pattern}
        if what == "add":
            kind, body = "SentinelAdded", added(pattern, *rows, model=model)
        taken = set().union(*sets.values())
        legal = (model, pattern) in sets if what == "retire" else (model, pattern) not in used
        legal = legal and not (what == "add" and taken & rows)
        entry = LedgerEntry(state.seq + 1, 0, kind, "", "", body, state.last_hash, "h")
        try:
            state.apply(entry)
        except FraudError:
            assert not legal
        else:
            assert legal
            used.add((model, pattern))
            if what == "add":
                sets[model, pattern] = rows
            else:
                del sets[model, pattern]
        assert {key: set(each.positions) for key, each in state.sentinels.items()} == sets
        assert (model, next_name(state, model, pattern)) not in used
