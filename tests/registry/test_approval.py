from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fraud.errors import NotAllowedNow
from fraud.labels.exclusions import Exclusion, View
from fraud.registry import LedgerStore
from fraud.registry.approval import awaiting_approval, unapproved
from tests.registry.entries import add, hiding, read_from, registered, verdict


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LedgerStore]:
    """card-1 is the champion; card-2 may follow it, by the gate."""
    opened = LedgerStore.open(tmp_path / "ledger.db")
    for version in ("card-1", "card-2", "card-3"):
        add(opened, "VersionRegistered", registered(version))
    add(opened, "Promoted", {"model": "card", "version": "card-1", "expected": ""})
    add(opened, "VerdictGiven", verdict("card-2", "PROMOTE", "card-1"))
    yield opened
    opened.close()


def waiting(store: LedgerStore) -> list[str]:
    return [version.version for version in awaiting_approval(store.state(), "card")]


def why(store: LedgerStore, version: str) -> str:
    state = store.state()
    return unapproved(state, state.version(version))


def promoted(version: str, expected: str = "card-1", **more: Any) -> dict[str, Any]:
    return {"model": "card", "version": version, "expected": expected, **more}


def test_a_challenger_awaits_approval_while_the_gate_says_promote_against_the_present_champion(
    store: LedgerStore,
) -> None:
    assert waiting(store) == ["card-2"]
    assert why(store, "card-2") == ""
    add(store, "VerdictGiven", verdict("card-2", "INCONCLUSIVE", "card-1"))
    assert waiting(store) == []
    assert why(store, "card-2").startswith("the last verdict on card-2 is INCONCLUSIVE")


def test_a_verdict_against_a_former_champion_is_no_approval(store: LedgerStore) -> None:
    add(store, "Promoted", promoted("card-3"))
    assert waiting(store) == []
    assert why(store, "card-2") == ("the verdict on card-2 is against card-1, and the champion is card-3 now")


@pytest.mark.parametrize(
    ("version", "says"),
    [("card-1", "card-1 is champion"), ("card-3", "the gate gave no verdict on card-3")],
)
def test_what_the_gate_does_not_stand_behind_is_said(store: LedgerStore, version: str, says: str) -> None:
    assert why(store, version) == says


def test_a_tainted_version_awaits_nothing_and_takes_no_override(tmp_path: Path) -> None:
    store = LedgerStore.open(tmp_path / "tainted.db")
    manifest = {"exclusions": [], "positions": {"traffic": [1, 9]}, "label_batches": []}
    add(store, "VersionRegistered", {**registered("card-1"), "manifest": manifest})
    add(store, "VerdictGiven", verdict("card-1", "PROMOTE"))
    assert waiting(store) == ["card-1"]
    body = {
        "exclusion": {"what": "transactions", "from_us": 1, "to_us": 2},
        "first_position": 5,
        "labels": 0,
        "transactions": 1,
        "muted": False,
        "retrain": False,
    }
    add(store, "DataExcluded", body)
    assert waiting(store) == []
    with pytest.raises(NotAllowedNow, match="card-1 is tainted"):
        add(store, "Promoted", promoted("card-1", "", override=True))
    store.close()


def test_a_verdict_for_the_successor_of_a_tainted_champion_ends_when_the_champion_is_clean_again(
    tmp_path: Path,
) -> None:
    store = LedgerStore.open(tmp_path / "tainted.db")
    for version, upto in (("card-1", 9), ("card-2", 4)):
        manifest = {"exclusions": [], "positions": {"traffic": [1, upto]}, "label_batches": []}
        add(store, "VersionRegistered", {**registered(version), "manifest": manifest})
    add(store, "Promoted", promoted("card-1", ""))
    data = Exclusion("transactions", from_us=1, to_us=2)
    excluded = add(store, "DataExcluded", hiding(data, 5))
    way = {"way": "floors", **read_from(9, View((data,)))}
    add(store, "VerdictGiven", verdict("card-2", "PROMOTE", "card-1") | way)
    assert waiting(store) == ["card-2"]
    add(store, "ExclusionUndone", {"exclusion": excluded.seq})
    assert waiting(store) == []
    assert why(store, "card-2").endswith(
        "is for a successor of a tainted champion, and card-1 is clean again"
    )
    store.close()


@pytest.mark.parametrize("ending", ["rejected", "superseded"])
def test_what_was_rejected_or_superseded_is_promoted_by_override_only(
    store: LedgerStore, ending: str
) -> None:
    if ending == "rejected":
        add(store, "VerdictGiven", verdict("card-3", "REJECT", "card-1"))
    else:
        add(store, "VersionDropped", {"version": "card-3", "why": "card-2 is newer"})
    with pytest.raises(NotAllowedNow, match=f"card-3 is {ending}"):
        add(store, "Promoted", promoted("card-3"))
    add(store, "Promoted", promoted("card-3", override=True, overridden="the committee decided"))
    assert store.state().champion("card") == "card-3"


def test_a_champion_is_not_promoted_even_by_override(store: LedgerStore) -> None:
    with pytest.raises(NotAllowedNow, match="card-1 is champion"):
        add(store, "Promoted", promoted("card-1", override=True))
