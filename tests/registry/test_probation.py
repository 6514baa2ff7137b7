"""Probation and shadow places: folds over the ledger."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraud.clock import DAY_US
from fraud.errors import NotAllowedNow
from fraud.registry.ledger import RegistryState
from fraud.registry.probation import probation_of
from fraud.registry.shadows import shadows_of
from fraud.registry.store import LedgerStore, promote
from tests.registry.entries import add, registered, verdict


@pytest.fixture
def store(tmp_path: Path) -> LedgerStore:
    return LedgerStore.open(tmp_path / "ledger.sqlite")


def rule(store: LedgerStore, version: str, expected: str, day: int, probation_days: int = 7) -> None:
    promote(
        store,
        "card",
        version,
        expected,
        actor="gate",
        reason="",
        time_us=day * DAY_US,
        probation_us=probation_days * DAY_US,
    )


def roll_back(store: LedgerStore, to: str, expected: str, day: int) -> None:
    body = {"model": "card", "version": to, "expected": expected, "before_us": None, "exclusion": 0}
    add(store, "RolledBack", body | {"mute": None, "probation": {"e_value": 41.0}}, day * DAY_US)


def places(state: RegistryState, day: float, challengers: int = 2) -> list[tuple[str, str]]:
    found = shadows_of(state, "card", int(day * DAY_US), challengers)
    return [(it.slot, it.version) for it in found]


def two_champions(store: LedgerStore) -> None:
    for version in ("card-1", "card-2"):
        add(store, "VersionRegistered", registered(version))
    rule(store, "card-1", "", day=0)
    rule(store, "card-2", "card-1", day=1)


def test_a_first_champion_is_on_no_probation_and_a_second_one_is(store: LedgerStore) -> None:
    add(store, "VersionRegistered", registered("card-1"))
    rule(store, "card-1", "", day=0)
    assert probation_of(store.state(), "card") is None
    add(store, "VersionRegistered", registered("card-2"))
    rule(store, "card-2", "card-1", day=1)
    probation = probation_of(store.state(), "card")
    assert probation is not None
    assert (probation.version, probation.former) == ("card-2", "card-1")
    assert (probation.since_us, probation.until_us) == (DAY_US, 8 * DAY_US)


def test_the_former_champion_is_in_shadow_until_the_span_is_over(store: LedgerStore) -> None:
    two_champions(store)
    state = store.state()
    assert places(state, 7.9) == [("former", "card-1")]
    assert places(state, 8.0) == []
    assert probation_of(state, "card") is not None, "its payments have yet to mature"


def test_promotions_without_a_length_begin_no_probation(store: LedgerStore) -> None:
    two_champions(store)
    add(store, "VersionRegistered", registered("card-3"))
    rule(store, "card-3", "card-2", day=2, probation_days=0)
    state = store.state()
    assert probation_of(state, "card") is None
    assert state.probations["card"][-1].result == "overtaken"


def test_a_rollback_ends_it_and_keeps_what_showed_it(store: LedgerStore) -> None:
    two_champions(store)
    roll_back(store, "card-1", "card-2", day=3)
    state = store.state()
    (ended,) = state.probations["card"]
    assert (ended.result, ended.ended_us, ended.evidence) == ("rolled back", 3 * DAY_US, {"e_value": 41.0})
    assert probation_of(state, "card") is None
    assert places(state, 3) == []


def test_what_passed_ends_once_and_only_the_one_that_is_on(store: LedgerStore) -> None:
    two_champions(store)
    body = {"model": "card", "version": "card-2", "evidence": {"log_e": 0.1}}
    with pytest.raises(NotAllowedNow, match="card-1 is not on probation"):
        add(store, "ProbationEnded", body | {"version": "card-1"})
    add(store, "ProbationEnded", body, 9 * DAY_US)
    assert store.state().probations["card"][-1].result == "passed"
    with pytest.raises(NotAllowedNow, match="card-2 is not on probation"):
        add(store, "ProbationEnded", body)


def test_challengers_in_shadow_are_the_gates_favourites_then_the_newest(store: LedgerStore) -> None:
    two_champions(store)
    for number, cut in ((3, 10), (4, 20), (5, 30), (6, 40)):
        add(store, "VersionRegistered", registered(f"card-{number}") | {"cut_time_us": cut})
    add(store, "VerdictGiven", verdict("card-3", "PROMOTE", "card-2"))
    add(store, "VerdictGiven", verdict("card-4", "PROMOTE", "card-1"))
    add(store, "VerdictGiven", verdict("card-6", "REJECT", "card-2"))
    state = store.state()
    assert places(state, 9, challengers=3) == [
        ("challenger_1", "card-3"),
        ("challenger_2", "card-5"),
        ("challenger_3", "card-4"),
    ], "card-4 passed against another champion, card-6 is rejected"
    assert places(state, 2, challengers=0) == [("former", "card-1")]


@settings(deadline=None)
@given(st.lists(st.sampled_from(["promote", "back", "pass"]), max_size=8))
def test_at_most_the_last_probation_is_on_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    store = LedgerStore.open(tmp_path_factory.mktemp("ledger") / "ledger.sqlite")
    two_champions(store)
    number = 2
    for day, step in enumerate(steps, start=2):
        state = store.state()
        champion = state.champion("card")
        probation = probation_of(state, "card")
        if step == "promote":
            number += 1
            add(store, "VersionRegistered", registered(f"card-{number}"))
            rule(store, f"card-{number}", champion, day)
        elif probation is not None and step == "back":
            roll_back(store, probation.former, champion, day)
        elif probation is not None:
            add(store, "ProbationEnded", {"model": "card", "version": champion, "evidence": {}}, day * DAY_US)
        after = store.state()
        on = [it for it in after.probations["card"] if not it.result]
        assert len(on) == (step == "promote" or (probation is None and bool(on)))
        for it in on:
            assert it is after.probations["card"][-1]
            assert it.version == after.champion("card")
    store.close()
