"""A verdict stands while nothing that it was read from is hidden; a promotion rests on one that does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fraud.errors import Damaged, InvalidInput, NotAllowedNow
from fraud.labels.exclusions import EVERYTHING, Exclusion, View
from fraud.registry import LedgerStore, RegistryState, promote
from fraud.registry.approval import awaiting_approval, unapproved
from tests.registry.entries import add, hiding, read_from, registered, verdict

CUT = 90
B7 = Exclusion("labels", batch_id="b7", source="bank")
WITHOUT_B7 = View((B7,))
MANIFEST = {
    "exclusions": [],
    "positions": {"traffic": [1, CUT], "train": [1, 30], "calibration": [31, 40]},
    "label_batches": [],
    "label_fed_features": [],
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LedgerStore]:
    """card-1 is the champion; nobody learned from any labels that are hidden below."""
    opened = LedgerStore.open(tmp_path / "ledger.db")
    for version in ("card-1", "card-2"):
        add(opened, "VersionRegistered", {**registered(version), "manifest": MANIFEST})
    add(opened, "Promoted", {"model": "card", "version": "card-1", "expected": ""})
    yield opened
    opened.close()


def judge(store: LedgerStore, view: View = EVERYTHING, answer: str = "PROMOTE") -> int:
    """Let the gate judge card-2 on what was known at position 90; return the entry."""
    body = verdict("card-2", answer, "card-1") | read_from(CUT, view)
    return add(store, "VerdictGiven", body).seq


def waits(store: LedgerStore) -> bool:
    return [it.version for it in awaiting_approval(store.state(), "card")] == ["card-2"]


def crown(store: LedgerStore, verdict_seq: int) -> None:
    promote(store, "card", "card-2", "card-1", actor="gate", reason="", time_us=0, verdict_seq=verdict_seq)


@pytest.mark.parametrize("muted", [False, True])
def test_hiding_what_a_verdict_was_read_from_sends_the_version_back_to_be_judged_anew(
    store: LedgerStore, muted: bool
) -> None:
    given = judge(store)
    assert waits(store)
    hidden = add(store, "DataExcluded", hiding(B7, 60, muted=muted)).seq
    state = store.state()
    assert state.tainted_by("card-2") == (), "it has learned from none of it"
    assert not waits(store)
    assert [it.version for it in state.pending("card")] == ["card-2"]
    assert unapproved(state, state.version("card-2")) == (
        f"the verdict on card-2 (ledger entry {given}) was read from data that exclusion {hidden} hides"
    )
    judge(store, WITHOUT_B7)
    assert waits(store)


def test_labels_that_a_rollback_mutes_stand_before_it_whatever_its_position(store: LedgerStore) -> None:
    judge(store)
    add(store, "DataExcluded", hiding(B7, CUT + 50, muted=True))
    assert not waits(store)


def test_hiding_what_came_behind_the_cut_leaves_a_verdict_alone(store: LedgerStore) -> None:
    judge(store)
    add(store, "DataExcluded", hiding(B7, CUT + 1))
    assert waits(store)
    add(store, "DataExcluded", hiding(B7, CUT))
    assert not waits(store)


def test_hiding_again_what_the_gate_did_not_see_leaves_a_verdict_alone(store: LedgerStore) -> None:
    """What the guard dropped, and an operator excludes after it, was no part of the evidence."""
    judge(store, View((Exclusion("labels", source="bank"),)))
    add(store, "DataExcluded", hiding(B7, 60))
    assert waits(store)
    add(store, "DataExcluded", hiding(Exclusion("labels", batch_id="b7"), 60))
    assert not waits(store), "that holds other sources' labels, too"


def test_an_undone_exclusion_lets_a_verdict_stand_again(store: LedgerStore) -> None:
    judge(store)
    hidden = add(store, "DataExcluded", hiding(B7, 60)).seq
    add(store, "ExclusionUndone", {"exclusion": hidden})
    assert waits(store)


def test_a_verdict_stands_when_what_it_did_not_see_counts_again(store: LedgerStore) -> None:
    hidden = add(store, "DataExcluded", hiding(B7, 60)).seq
    given = judge(store, WITHOUT_B7)
    add(store, "ExclusionUndone", {"exclusion": hidden})
    assert waits(store), "it is like evidence that came later"
    crown(store, given)
    assert store.state().champion("card") == "card-2"


@pytest.mark.parametrize("first", ["the verdict", "the exclusion"])
def test_a_verdict_that_says_not_what_it_saw_stands_only_while_nothing_is_hidden(
    store: LedgerStore, first: str
) -> None:
    """Entries of older releases: once anything is excluded, they are judged once more."""
    if first == "the exclusion":
        add(store, "DataExcluded", hiding(B7, 60))
    add(store, "VerdictGiven", verdict("card-2", "PROMOTE", "card-1"))
    if first == "the verdict":
        assert waits(store)
        add(store, "DataExcluded", hiding(B7, 60))
    assert not waits(store)


def test_a_promotion_is_refused_when_its_verdict_does_not_stand_whoever_looked_before(
    store: LedgerStore,
) -> None:
    """The ledger looks inside the write transaction, so nothing slips in between looking and writing."""
    given = judge(store)
    hidden = add(store, "DataExcluded", hiding(B7, 60)).seq
    with pytest.raises(NotAllowedNow, match=f"exclusion {hidden} hides, so the verdict .* does not stand"):
        crown(store, given)
    again = judge(store, WITHOUT_B7)
    with pytest.raises(NotAllowedNow, match=f"card-2 was judged anew .ledger entry {again}."):
        crown(store, given)
    judge(store, WITHOUT_B7, "INCONCLUSIVE")
    with pytest.raises(NotAllowedNow, match="the last verdict on card-2 is INCONCLUSIVE"):
        crown(store, again)
    assert store.state().champion("card") == "card-1"


def test_an_override_rests_on_no_verdict(store: LedgerStore) -> None:
    judge(store)
    add(store, "DataExcluded", hiding(B7, 60))
    body = {"model": "card", "version": "card-2", "expected": "card-1", "override": True}
    add(store, "Promoted", body)
    assert store.state().champion("card") == "card-2"


def test_promotions_of_older_releases_fold_as_they_stand(store: LedgerStore) -> None:
    """They name no verdict, and what was promoted was promoted."""
    judge(store)
    add(store, "DataExcluded", hiding(B7, 60))
    add(store, "Promoted", {"model": "card", "version": "card-2", "expected": "card-1"})
    assert RegistryState.fold(store.read()).champion("card") == "card-2"


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"view": "all"}, InvalidInput),
        ({"cut": {"position": 5}}, InvalidInput),
        ({"cut": {"position": 1e999}, "view": "all"}, InvalidInput),
        ({"cut": {"position": 5}, "view": 7}, InvalidInput),
        ({"cut": {"position": 5}, "view": []}, InvalidInput),
        ({"cut": {"position": 5}, "view": "no view"}, Damaged),
    ],
)
def test_a_verdict_that_says_it_wrongly_is_refused(
    store: LedgerStore, said: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        add(store, "VerdictGiven", {**verdict("card-2", "PROMOTE", "card-1"), "evidence": said})
    assert store.state().version("card-2").verdicts == []
