import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from fraud.errors import Conflict, Damaged, InvalidInput, NotAllowedNow, NotFound, StaleHead
from fraud.registry import LedgerEntry, LedgerStore, RegistryState, promote
from fraud.registry.chain import GENESIS_HASH, canonical_json
from fraud.registry.ledger import FOLDS
from fraud.registry.view import Registry
from tests.registry.entries import add, registered, verdict


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LedgerStore]:
    opened = LedgerStore.open(tmp_path / "ledger.db")
    yield opened
    opened.close()


def crown(store: LedgerStore, version: str, expected: str, time_us: int = 0) -> None:
    model = version.rpartition("-")[0]
    promote(store, model, version, expected, actor="gate", reason="", time_us=time_us)


def test_an_empty_ledger_knows_nothing() -> None:
    state = RegistryState.fold([])
    assert (state.seq, state.champion("card"), state.champion_at("card", 9), state.attempts("card")) == (
        0,
        "",
        "",
        0,
    )
    assert state.next_version("card") == "card-1"
    assert state.pending("card") == []
    assert state.requests() == []


def test_the_champion_at_a_moment_is_the_last_one_promoted_by_then(store: LedgerStore) -> None:
    for i in (1, 2, 3):
        add(store, "VersionRegistered", registered(f"card-{i}"), time_us=i * 10)
        crown(store, f"card-{i}", f"card-{i - 1}" if i > 1 else "", time_us=i * 10 + 5)
    state = store.state()
    assert state.champion("card") == "card-3"
    reign = state.reign("card")
    assert reign is not None
    assert (reign.version, reign.since_us, reign.seq) == ("card-3", 35, 6)
    assert state.reign("transfer") is None
    moments = [14, 15, 24, 25, 34, 35, 99]
    champions = ["", "card-1", "card-1", "card-2", "card-2", "card-3", "card-3"]
    assert [state.champion_at("card", moment) for moment in moments] == champions
    statuses = ["former champion", "former champion", "champion"]
    assert [version.status for version in state.versions.values()] == statuses


def test_models_do_not_disturb_each_other(store: LedgerStore) -> None:
    add(store, "VersionRegistered", registered("card-1"))
    add(store, "VersionRegistered", registered("transfer-1"))
    crown(store, "card-1", "")
    state = store.state()
    assert (state.champion("card"), state.champion("transfer")) == ("card-1", "")
    assert (state.attempts("card"), state.attempts("transfer")) == (0, 1)
    with pytest.raises(NotAllowedNow, match="of model 'transfer'"):
        promote(store, "card", "transfer-1", "card-1", actor="", reason="", time_us=0)


def test_a_challenger_is_pending_until_it_is_rejected_dropped_or_promoted(store: LedgerStore) -> None:
    for i in range(1, 7):
        add(store, "VersionRegistered", registered(f"card-{i}"))
    add(store, "VerdictGiven", verdict("card-2", "INCONCLUSIVE"))
    add(store, "VerdictGiven", verdict("card-3", "INCONCLUSIVE"))
    add(store, "VerdictGiven", verdict("card-3", "REJECT"))
    add(store, "VerdictGiven", verdict("card-4", "PROMOTE"))
    add(store, "VersionDropped", {"version": "card-5", "why": "superseded"})
    crown(store, "card-6", "")
    state = store.state()
    assert [version.version for version in state.pending("card")] == ["card-1", "card-2", "card-4"]
    assert {name: version.status for name, version in state.versions.items()} == {
        "card-1": "challenger",
        "card-2": "challenger",
        "card-3": "rejected",
        "card-4": "challenger",
        "card-5": "superseded",
        "card-6": "champion",
    }
    assert [given.verdict for given in state.version("card-3").verdicts] == ["INCONCLUSIVE", "REJECT"]
    assert state.version("card-3").verdict == "REJECT"
    assert state.next_version("card") == "card-7"


def test_a_verdict_on_a_champion_does_not_change_its_status(store: LedgerStore) -> None:
    add(store, "VersionRegistered", registered("card-1"))
    crown(store, "card-1", "")
    add(store, "VerdictGiven", verdict("card-1", "REJECT"))
    assert store.state().version("card-1").status == "champion"


def test_promotion_is_compare_and_swap_on_the_champion(store: LedgerStore) -> None:
    for i in (1, 2, 3):
        add(store, "VersionRegistered", registered(f"card-{i}"))
    crown(store, "card-1", "")
    with pytest.raises(StaleHead, match="the champion of 'card' is card-1"):
        crown(store, "card-2", "")
    crown(store, "card-2", "card-1")
    with pytest.raises(StaleHead):
        crown(store, "card-3", "card-1")
    crown(store, "card-1", "card-2")
    assert store.state().champion("card") == "card-1"


@pytest.mark.parametrize("ending", ["rejected", "superseded", "champion"])
def test_only_a_challenger_or_a_former_champion_is_promoted(store: LedgerStore, ending: str) -> None:
    add(store, "VersionRegistered", registered("card-1"))
    if ending == "rejected":
        add(store, "VerdictGiven", verdict("card-1", "REJECT"))
    elif ending == "superseded":
        add(store, "VersionDropped", {"version": "card-1", "why": ""})
    else:
        crown(store, "card-1", "")
    with pytest.raises(NotAllowedNow, match=f"card-1 is {ending}"):
        crown(store, "card-1", store.state().champion("card"))


def test_a_retrain_request_is_followed_to_its_end(store: LedgerStore) -> None:
    body = {"model": "", "cut_position": 5, "cut_time_us": 50, "trigger": "hand"}
    seqs = [add(store, "RetrainRequested", body).seq for _ in range(3)]
    for seq in seqs[1:]:
        add(store, "CycleStarted", {"request_seq": seq, "models": ["card"]})
    assert [request.state for request in store.state().requests()] == ["WAITING", "RUNNING", "RUNNING"]
    lines = [{"model": "card", "version": "card-1", "verdict": "PROMOTE", "reason": "first"}]
    add(store, "CycleFinished", {"request_seq": seqs[1], "verdicts": lines, "seconds": 1.5})
    add(store, "CycleFailed", {"request_seq": seqs[2], "error": "worker lost"})
    add(store, "CycleStarted", {"request_seq": None, "models": ["card"]})
    add(store, "CycleFinished", {"request_seq": None, "verdicts": [], "seconds": 0.1})
    state = store.state()
    assert [request.state for request in state.requests()] == ["WAITING", "FINISHED", "FAILED"]
    assert state.request(seqs[1]).verdicts == lines
    assert (state.request(seqs[0]).cut_position, state.request(seqs[0]).cut_time_us) == (5, 50)
    assert len(state.cycles) == 3
    assert state.request(seqs[2]).error == "worker lost"
    with pytest.raises(NotFound):
        state.request(seqs[2] + 1)


@pytest.mark.parametrize(
    ("kind", "body", "error"),
    [
        ("Crowned", {}, InvalidInput),
        ("VersionRegistered", {"version": "card-2"}, InvalidInput),
        ("VersionRegistered", registered("card-x"), InvalidInput),
        ("VersionRegistered", registered("card-1"), Conflict),
        ("VersionRegistered", {**registered("card-2"), "model": "transfer"}, InvalidInput),
        ("VersionRegistered", {**registered("card-2"), "manifest": {"share": float("nan")}}, InvalidInput),
        ("VersionRegistered", {**registered("card-2"), "manifest": {"raw": b""}}, InvalidInput),
        ("VerdictGiven", verdict("card-9", "PROMOTE"), NotFound),
        ("VerdictGiven", verdict("card-1", "MAYBE"), InvalidInput),
        ("VersionDropped", {"version": "card-9", "why": ""}, NotFound),
        ("CycleStarted", {"request_seq": 77, "models": []}, NotFound),
    ],
)
def test_what_does_not_fold_is_not_written(
    store: LedgerStore, kind: str, body: dict[str, object], error: type[Exception]
) -> None:
    add(store, "VersionRegistered", registered("card-1"))
    with pytest.raises(error):
        add(store, kind, body)
    assert store.head() == 1
    assert list(store.state().versions) == ["card-1"]
    add(store, "VersionRegistered", registered("card-2"))
    store.verify()


def test_a_fold_refuses_gaps_and_kinds_it_does_not_know() -> None:
    entry = LedgerEntry(1, 0, "FromTheFuture", "", "", {}, GENESIS_HASH, "h")
    with pytest.raises(Damaged, match="'FromTheFuture'"):
        RegistryState.fold([entry])
    assert "FromTheFuture" not in FOLDS
    with pytest.raises(Damaged, match="entry 2 does not follow entry 0"):
        RegistryState.fold([LedgerEntry(2, 0, "CycleFailed", "", "", {}, "", "h")])


def test_a_version_is_found_by_the_digest_of_its_bundle(store: LedgerStore) -> None:
    for version in ("card-1", "card-2"):
        add(store, "VersionRegistered", {**registered(version), "digest": "same"})
    state = store.state()
    assert (state.version_of("same"), state.version_of("other")) == ("card-2", "")
    with pytest.raises(NotFound, match="'card-9' is not in the ledger"):
        state.version("card-9")


def test_a_running_fold_reads_only_what_is_new(store: LedgerStore) -> None:
    registry = Registry(store)
    assert registry.refresh().seq == 0
    for i in (1, 2):
        add(store, "VersionRegistered", registered(f"card-{i}"))
        assert registry.refresh().next_version("card") == f"card-{i + 1}"
    assert registry.refresh().last_hash == store.state().last_hash


def test_what_taught_a_version_costs_the_fold_a_fraction_of_its_text(store: LedgerStore) -> None:
    rng = random.Random(1)
    batches = [
        {"batch_id": f"case-{n}", "source": "chargeback", "submitter": "desk", "position": n}
        | {"parts": 1, "arrival_us": [n, n], "digest": rng.randbytes(32).hex(), "labels": 1, "frauds": 1}
        for n in range(700)
    ]
    for i in range(1, 9):
        body = registered(f"card-{i}")
        taught = {"label_batches": batches[25 * i : 25 * i + 500]}
        add(store, "VersionRegistered", body | {"manifest": body["manifest"] | taught})
    entries = store.read()
    tracemalloc.start()
    state = RegistryState.fold(entries)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 3 * held < sum(len(canonical_json(entry.body)) for entry in entries)
    assert [state.version(f"card-{i}").manifest for i in range(1, 9)] == [
        entry.body["manifest"] for entry in entries
    ]
