"""Attempts against a champion: one error budget for each reign, whoever outlives another."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraud.errors import FraudError
from fraud.labels.exclusions import Exclusion
from fraud.registry import LedgerStore, promote
from fraud.registry.store import roll_back
from tests.registry.entries import add, hiding, registered, verdict
from tests.registry.test_exclusions import Ledger, rollback_body


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LedgerStore]:
    opened = LedgerStore.open(tmp_path / "ledger.db")
    yield opened
    opened.close()


def crown(store: LedgerStore, version: str, expected: str) -> None:
    promote(store, "card", version, expected, actor="gate", reason="", time_us=0)


def drop(store: LedgerStore, *versions: str) -> None:
    for version in versions:
        add(store, "VersionDropped", {"version": version, "why": "superseded"})


def attempts(store: LedgerStore) -> int:
    return store.state().attempts("card")


def test_attempts_count_groups_and_start_again_once_the_others_are_superseded_unjudged(
    store: LedgerStore,
) -> None:
    for version, attempt in [("card-1", 1), ("card-2", 1), ("card-3", 2)]:
        add(store, "VersionRegistered", registered(version, attempt))
    assert attempts(store) == 2
    crown(store, "card-2", "")
    assert attempts(store) == 2, "card-1 and card-3 may still be judged against card-2"
    drop(store, "card-1", "card-3")
    assert attempts(store) == 0
    add(store, "VersionRegistered", registered("card-4", 1))
    assert attempts(store) == 1


def test_attempts_before_a_moment_may_be_left_out(store: LedgerStore) -> None:
    for attempt in (1, 2, 3):
        body = registered(f"card-{attempt}", attempt) | {"cut_time_us": attempt * 10, "cut_position": attempt}
        add(store, "VersionRegistered", body)
    assert [store.state().attempts("card", since_us) for since_us in (0, 20, 31)] == [3, 2, 0]


def test_after_a_rollback_numbering_goes_on_behind_the_challengers_that_still_wait(
    store: LedgerStore,
) -> None:
    for version in ("card-1", "card-2"):
        add(store, "VersionRegistered", registered(version))
    crown(store, "card-1", "")
    crown(store, "card-2", "card-1")
    for attempt in (1, 2, 3):
        add(store, "VersionRegistered", registered(f"card-{attempt + 2}", attempt))
        add(store, "VerdictGiven", verdict(f"card-{attempt + 2}", "INCONCLUSIVE", "card-2"))
    add(store, "VerdictGiven", verdict("card-4", "REJECT", "card-2"))
    roll_back(store, "card", "card-1", "card-2", actor="ann", reason="", time_us=0)
    assert attempts(store) == 2, "card-4 is not judged again; card-3 and card-5 are, against card-1"


def test_what_was_judged_in_a_reign_counts_to_its_end(store: LedgerStore) -> None:
    for version in ("card-1", "card-2", "card-3"):
        add(store, "VersionRegistered", registered(version, int(version[-1])))
    crown(store, "card-1", "")
    add(store, "VerdictGiven", verdict("card-2", "INCONCLUSIVE", "card-1"))
    drop(store, "card-2", "card-3")
    assert attempts(store) == 1, "card-2 had its chance against card-1, card-3 never"


def test_a_tainted_challenger_counts_since_an_undone_exclusion_brings_it_back(store: LedgerStore) -> None:
    manifest = {"exclusions": [], "positions": {"traffic": [1, 9]}, "label_batches": []}
    add(store, "VersionRegistered", {**registered("card-1"), "manifest": manifest})
    add(store, "VersionRegistered", {**registered("card-2", 2), "manifest": manifest})
    hidden = {"what": "transactions", "from_us": 1, "to_us": 2}
    body = {"exclusion": hidden, "first_position": 5, "labels": 0, "transactions": 1}
    crown(store, "card-1", "")
    add(store, "DataExcluded", {**body, "muted": False, "retrain": False})
    assert store.state().pending("card") == []
    assert attempts(store) == 1


NUMBERS = st.integers(1, 9)
MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("cycle"), st.integers(0, 2)),
        st.tuples(
            st.sampled_from(["reject", "promote", "promote and supersede", "roll back", "drop"]), NUMBERS
        ),
        st.tuples(st.sampled_from(["exclude", "undo"]), st.integers(1, 40)),
    ),
    max_size=40,
)


def carry_out(ledger: Ledger, name: str, number: int) -> None:
    """Do one thing that the service may do; the ledger refuses what it cannot."""
    state, version = ledger.state, f"card-{number}"
    champion = state.champion("card")
    if name == "cycle":
        cut = max([it.cut_position for it in state.versions.values()], default=1) + number
        manifest = {"exclusions": [], "positions": {"traffic": [1, cut]}, "label_batches": []}
        body = registered(state.next_version("card"), state.attempts("card") + 1)
        ledger.add(
            "VersionRegistered", body | {"cut_position": cut, "cut_time_us": cut, "manifest": manifest}
        )
        for each in state.pending("card"):
            ledger.add("VerdictGiven", verdict(each.version, "INCONCLUSIVE", champion))
    elif name == "reject":
        if version in [it.version for it in state.pending("card")]:
            ledger.add("VerdictGiven", verdict(version, "REJECT", champion))
    elif name.startswith("promote"):
        ledger.add("Promoted", {"model": "card", "version": version, "expected": champion})
        for other in state.pending("card") if name == "promote and supersede" else ():
            ledger.add("VersionDropped", {"version": other.version, "why": ""})
    elif name == "roll back":
        ledger.add("RolledBack", rollback_body(version, champion))
    elif name == "drop":
        ledger.add("VersionDropped", {"version": version, "why": ""})
    elif name == "exclude":
        ledger.add("DataExcluded", hiding(Exclusion("transactions", from_us=1, to_us=2), number))
    else:
        ledger.add("ExclusionUndone", {"exclusion": number})


@settings(max_examples=500, deadline=None, print_blob=True)
@given(MOVES)
def test_the_attempts_judged_in_one_reign_never_spend_more_than_one_budget(
    moves: list[tuple[str, int]],
) -> None:
    """Cuts repeat, champions come and go, others are dropped or outlive them: 1 / (j (j + 1)) sums to ≤ 1."""
    ledger = Ledger()
    for name, number in moves:
        with suppress(FraudError):
            carry_out(ledger, name, number)
    judged: dict[int, set[str]] = defaultdict(set)
    reign = 0
    for entry in ledger.entries:
        reign += entry.kind in ("Promoted", "RolledBack")
        if entry.kind == "VerdictGiven":
            judged[reign].add(entry.body["version"])
    for versions in judged.values():
        numbers = [ledger.state.version(version).attempt for version in versions]
        assert sum(Fraction(1, j * (j + 1)) for j in numbers) <= 1, numbers
