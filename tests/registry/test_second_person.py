"""An entry that carries out what was asked for: by another person, in time, of the right kind, once."""

from pathlib import Path
from typing import Any

import pytest

from fraud.errors import InvalidInput, NotAllowedNow, NotFound
from fraud.registry.second_person import open_request
from fraud.registry.store import LedgerStore

WHAT = {"exclusion": {"batch_id": "b"}}


@pytest.fixture
def store(tmp_path: Path) -> LedgerStore:
    return LedgerStore.open(tmp_path / "ledger.sqlite")


def ask(store: LedgerStore, actor: str = "jane", **change: Any) -> int:
    body = {"method": "ExcludeData", "what": WHAT, "until_us": 100} | change
    return store.append("Asked", body, actor=actor, reason="r", time_us=10).seq


def carry_out(store: LedgerStore, asked: int, actor: str = "joe", time_us: int = 20) -> int:
    body: dict[str, Any] = {
        "exclusion": {"what": "labels", "batch_id": "b"},
        "first_position": 1,
        "labels": 1,
        "transactions": 0,
        "muted": False,
        "retrain": False,
        "asked": asked,
    }
    return store.append("DataExcluded", body, actor=actor, reason="r", time_us=time_us).seq


def test_another_person_carries_it_out_once(store: LedgerStore) -> None:
    asked = ask(store)
    done = carry_out(store, asked)
    assert store.state().asked[asked].done_seq == done
    with pytest.raises(NotAllowedNow, match=f"carried out before, by entry {done}"):
        carry_out(store, asked, "ann")
    assert store.head() == done


def test_the_same_person_does_not(store: LedgerStore) -> None:
    asked = ask(store)
    with pytest.raises(NotAllowedNow, match=r"jane asked for it .* another person must"):
        carry_out(store, asked, "jane")
    assert store.state().asked[asked].done_seq == 0


def test_it_stands_open_until_its_last_moment(store: LedgerStore) -> None:
    first, second = ask(store), ask(store, "ann")
    carry_out(store, first, time_us=100)
    with pytest.raises(NotAllowedNow, match="has expired at"):
        carry_out(store, second, time_us=101)


def test_it_is_found_by_what_it_asks_for_while_it_is_open(store: LedgerStore) -> None:
    asked = ask(store)
    state = store.state()
    found = open_request(state, "ExcludeData", dict(WHAT), 100)
    assert found is not None
    assert found.seq == asked
    assert open_request(state, "ExcludeData", dict(WHAT), 101) is None
    assert open_request(state, "Rollback", dict(WHAT), 50) is None
    assert open_request(state, "ExcludeData", {"exclusion": {"batch_id": "c"}}, 50) is None
    carry_out(store, asked)
    assert open_request(store.state(), "ExcludeData", dict(WHAT), 50) is None


def test_an_entry_carries_out_what_is_there_and_of_its_kind(store: LedgerStore) -> None:
    asked = ask(store, method="Promote")
    with pytest.raises(NotAllowedNow, match="asks for Promote, which a DataExcluded is not"):
        carry_out(store, asked)
    with pytest.raises(NotFound, match="ledger entry 9 asks for nothing"):
        carry_out(store, 9)


@pytest.mark.parametrize("change", [{"method": "Score"}, {"until_us": 10}])
def test_what_cannot_be_carried_out_is_not_asked(store: LedgerStore, change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        ask(store, **change)
