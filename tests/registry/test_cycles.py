"""Cycles as the ledger tells of them: what started each, and whether anything passed the gate in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fraud.registry import LedgerStore
from fraud.registry.cycles import deaths_of, trained_us
from tests.registry.entries import add, registered, verdict


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LedgerStore]:
    opened = LedgerStore.open(tmp_path / "ledger.db")
    yield opened
    opened.close()


def start(store: LedgerStore, **body: object) -> None:
    add(store, "CycleStarted", {"request_seq": None, "models": ["card"], **body})


def finish(store: LedgerStore, *verdicts: dict[str, str]) -> None:
    add(store, "CycleFinished", {"request_seq": None, "verdicts": list(verdicts), "seconds": 1.0})


def test_a_cycle_is_fruitful_when_a_challenger_passes_the_gate_in_it(store: LedgerStore) -> None:
    add(store, "VersionRegistered", registered("card-1"))
    for given in ("INCONCLUSIVE", "PROMOTE"):
        start(store, trigger="misses")
        add(store, "VerdictGiven", verdict("card-1", given))
        finish(store)
    start(store, trigger="schedule")
    finish(store)
    assert [(it.trigger, it.fruitful) for it in store.state().cycles] == [
        *(("misses", False), ("misses", True), ("schedule", False))
    ]


def test_a_verdict_after_a_cycle_makes_it_no_better(store: LedgerStore) -> None:
    add(store, "VersionRegistered", registered("card-1"))
    start(store, trigger="misses")
    add(store, "CycleFailed", {"request_seq": None, "error": "worker lost"})
    add(store, "VerdictGiven", verdict("card-1", "PROMOTE"))
    assert [it.fruitful for it in store.state().cycles] == [False]


def test_only_the_emergency_triggers_count_against_their_budget(store: LedgerStore) -> None:
    body = {"model": "", "cut_position": 5, "cut_time_us": 50, "trigger": "hand"}
    request = add(store, "RetrainRequested", body).seq
    add(store, "CycleStarted", {"request_seq": request, "models": ["card"]})
    start(store)
    for trigger in ("schedule", "new_frauds", "misses", "value_detection", "probing"):
        start(store, trigger=trigger)
    found = [(it.trigger, it.emergency) for it in store.state().cycles]
    assert found == [
        *(("request", False), ("", False), ("schedule", False), ("new_frauds", False)),
        *(("misses", True), ("value_detection", True), ("probing", True)),
    ]


def test_a_cycle_says_how_it_ended_and_which_models_it_has_trained(store: LedgerStore) -> None:
    both = ["card", "transfer"]
    frozen = {"model": "card", "verdict": "FROZEN"}
    nothing = {"model": "transfer", "verdict": "NOT TRAINED"}
    start(store, models=both)
    finish(store, frozen, nothing, {"model": "transfer", "verdict": "REJECT"})
    start(store, models=both)
    finish(store, nothing)
    start(store, models=both)
    add(store, "CycleFailed", {"request_seq": None, "error": "worker lost"})
    start(store)
    start(store)
    cycles = store.state().cycles
    assert [(it.models, it.ended, it.trained) for it in cycles] == [
        (("card", "transfer"), "finished", ("transfer",)),
        (("card", "transfer"), "finished", ("card",)),
        (("card", "transfer"), "failed", ()),
        (("card",), "unfinished", ()),
        (("card",), "unfinished", ()),
    ]


def test_a_model_was_trained_last_by_a_cycle_that_finished_with_it(store: LedgerStore) -> None:
    for time_us, models in ((10, ["card", "transfer"]), (20, ["transfer"]), (30, ["card", "transfer"])):
        add(store, "CycleStarted", {"request_seq": None, "models": models}, time_us)
        if time_us < 30:
            finish(store)
    cycles = store.state().cycles
    assert [trained_us(cycles, model) for model in ("card", "transfer", "wire")] == [10, 20, 0]


def test_a_cycle_says_itself_of_which_models_it_made_a_version(store: LedgerStore) -> None:
    waits = {"model": "card", "verdict": "INCONCLUSIVE"}
    failed = {"model": "card", "verdict": "NOT TRAINED"}
    for trained in (["card"], []):
        start(store, trigger="misses")
        body = {"request_seq": None, "verdicts": [failed, waits], "trained": trained, "seconds": 1.0}
        add(store, "CycleFinished", body)
    start(store, trigger="misses")
    finish(store, failed, waits)  # of a release that does not say
    assert [it.trained for it in store.state().cycles] == [("card",), (), ("card",)]


def test_a_cycle_that_was_stopped_is_as_one_that_never_started(store: LedgerStore) -> None:
    body = {"model": "", "cut_position": 5, "cut_time_us": 50, "trigger": "hand"}
    request = add(store, "RetrainRequested", body).seq
    for seq in (None, request):
        add(store, "CycleStarted", {"request_seq": seq, "models": ["card"]})
        add(store, "CycleFailed", {"request_seq": seq, "error": "told to stop", "stopped": True})
    state = store.state()
    assert (state.cycles, state.cycle_runs) == ([], False)
    assert (state.request(request).state, state.request(request).error) == ("WAITING", "")
    # As an older release says it: no word of a stop.
    add(store, "CycleStarted", {"request_seq": request, "models": ["card"]})
    add(store, "CycleFailed", {"request_seq": request, "error": "worker lost"})
    state = store.state()
    assert [it.ended for it in state.cycles] == ["failed"]
    assert (state.request(request).state, state.request(request).error) == ("FAILED", "worker lost")


def test_a_stop_behind_a_version_is_a_failure_and_its_request_waits(
    store: LedgerStore,
) -> None:
    body = {"model": "", "cut_position": 5, "cut_time_us": 50, "trigger": "hand"}
    request = add(store, "RetrainRequested", body).seq
    for seq, version in (None, "card-1"), (request, "card-2"):
        add(store, "CycleStarted", {"request_seq": seq, "models": ["card"]})
        add(store, "VersionRegistered", registered(version))
        add(store, "CycleFailed", {"request_seq": seq, "error": "told to stop", "stopped": True})
    state = store.state()
    assert [(it.ended, it.registered) for it in state.cycles] == [("failed", True)] * 2
    assert (state.cycle_runs, deaths_of(state.cycles, request)) == (False, 0)
    assert (state.request(request).state, state.request(request).error) == ("WAITING", "")


def test_what_had_died_before_a_stop_has_still_died(store: LedgerStore) -> None:
    body = {"model": "", "cut_position": 5, "cut_time_us": 50, "trigger": "hand"}
    request = add(store, "RetrainRequested", body).seq
    for _ in range(2):
        add(store, "CycleStarted", {"request_seq": request, "models": ["card"]})
    add(store, "CycleFailed", {"request_seq": request, "error": "told to stop", "stopped": True})
    assert deaths_of(store.state().cycles, request) == 1
