"""Any order of versions, promotions, rollbacks and exclusions: the fold is what a naive recount says."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraud.errors import FraudError, NotAllowedNow, NotFound, StaleHead
from fraud.labels.exclusions import Exclusion, View
from fraud.registry import LedgerEntry, RegistryState
from fraud.registry.chain import GENESIS_HASH
from fraud.registry.version import VersionState
from tests.registry.entries import hiding, registered

BATCHES = ("b1", "b2", "b3")


class Ledger:
    """Entries in memory; one that does not fold is not kept, as the store does."""

    def __init__(self) -> None:
        self.entries: list[LedgerEntry] = []
        self.state = RegistryState()

    def add(self, kind: str, body: dict[str, Any]) -> LedgerEntry:
        seq = len(self.entries) + 1
        previous = self.entries[-1].hash if self.entries else GENESIS_HASH
        entry = LedgerEntry(seq, seq, kind, "ann", "test", body, previous, f"hash-{seq}")
        self.state.apply(entry)
        self.entries.append(entry)
        return entry


def manifest(batches: tuple[str, ...], last: int, excluded: tuple[str, ...] = ()) -> dict[str, Any]:
    """A manifest of a version that used these batches, on rows up to a position."""
    return {
        "label_batches": [
            {"batch_id": batch, "source": "bank", "submitter": "ann", "arrival_us": [5, 9]}
            for batch in batches
        ],
        "label_fed_features": ["card_fraud_rate_7d_delay_7d"],
        "exclusions": [Exclusion("labels", batch_id=batch).to_dict() for batch in excluded],
        "positions": {"traffic": [1, last + 10], "train": [1, last - 5], "calibration": [last - 4, last]},
    }


def version_body(version: str, given: dict[str, Any], parent: str = "") -> dict[str, Any]:
    return {**registered(version, parent=parent), "manifest": given}


def rollback_body(version: str, expected: str) -> dict[str, Any]:
    return {
        "model": "card",
        "version": version,
        "expected": expected,
        "before_us": None,
        "exclusion": 0,
        "mute": None,
    }


def recount(entries: list[LedgerEntry]) -> tuple[str, dict[str, set[int]], View]:
    """Champion, taint and view from the entries alone, the slow way."""
    champion = ""
    undone = {entry.body["exclusion"] for entry in entries if entry.kind == "ExclusionUndone"}
    excluded = [e for e in entries if e.kind == "DataExcluded" and e.seq not in undone]
    versions = {e.body["version"]: e.body for e in entries if e.kind == "VersionRegistered"}
    for entry in entries:
        if entry.kind in ("Promoted", "RolledBack"):
            champion = entry.body["version"]
    taint: dict[str, set[int]] = {}
    for name, body in versions.items():
        line = [name]
        while versions[line[-1]]["parent"]:
            line.append(versions[line[-1]]["parent"])
        taint[name] = {
            entry.seq
            for entry in excluded
            if not entry.body["muted"] and any(_used(versions[each]["manifest"], entry) for each in line)
        }
        del body
    view = View(tuple(Exclusion.from_dict(entry.body["exclusion"]) for entry in excluded))
    return champion, taint, view


def _used(given: dict[str, Any], entry: LedgerEntry) -> bool:
    data = entry.body["exclusion"]
    if data in given["exclusions"]:
        return False
    used = any(batch["batch_id"] == data["batch_id"] for batch in given["label_batches"])
    return used or entry.body["first_position"] < given["positions"]["calibration"][1]


OPERATIONS = st.one_of(
    st.tuples(
        st.just("register"),
        st.lists(st.sampled_from(BATCHES), max_size=2, unique=True),
        st.integers(6, 60),
        st.lists(st.sampled_from(BATCHES), max_size=1),
        st.booleans(),
    ),
    st.tuples(st.just("promote"), st.integers(1, 6)),
    st.tuples(st.just("roll back"), st.integers(0, 6)),
    st.tuples(st.just("exclude"), st.sampled_from(BATCHES), st.integers(1, 80), st.booleans()),
    st.tuples(st.just("undo"), st.integers(1, 30)),
)


@settings(max_examples=300, deadline=None, print_blob=True)
@given(st.lists(OPERATIONS, max_size=30))
def test_champion_taint_and_view_are_those_of_a_naive_recount(operations: list[tuple[Any, ...]]) -> None:
    ledger = Ledger()
    for name, *given_ in operations:
        champion = ledger.state.champion("card")
        try:
            if name == "register":
                batches, last, excluded, continues = given_
                parent = champion if continues else ""
                body = version_body(
                    ledger.state.next_version("card"), manifest(tuple(batches), last, tuple(excluded)), parent
                )
                ledger.add("VersionRegistered", body)
            elif name == "promote":
                body = {"model": "card", "version": f"card-{given_[0]}", "expected": champion}
                ledger.add("Promoted", body)
            elif name == "roll back":
                version = f"card-{given_[0]}" if given_[0] else ""
                ledger.add("RolledBack", rollback_body(version, champion))
            elif name == "exclude":
                batch, first, muted = given_
                ledger.add("DataExcluded", hiding(Exclusion("labels", batch_id=batch), first, muted=muted))
            else:
                ledger.add("ExclusionUndone", {"exclusion": given_[0]})
        except FraudError:
            pass
        champion, taint, view = recount(ledger.entries)
        state = ledger.state
        assert state.champion("card") == champion
        assert state.view() == view
        assert {version: set(state.tainted_by(version)) for version in state.versions} == taint
        last_entry = ledger.entries[-1] if ledger.entries else None
        if last_entry is not None and last_entry.kind in ("Promoted", "RolledBack") and champion:
            assert not taint[champion], "a tainted version never becomes champion"
        assert all(not taint[version] for version in state.clean_champions("card"))
    again = RegistryState.fold(ledger.entries)
    assert again.champion("card") == ledger.state.champion("card")


def made() -> Ledger:
    """card-1 clean and card-2 polluted, both champions in turn; card-3 continues card-2."""
    ledger = Ledger()
    ledger.add("VersionRegistered", version_body("card-1", manifest(("b1",), 20)))
    ledger.add("Promoted", {"model": "card", "version": "card-1", "expected": ""})
    ledger.add("VersionRegistered", version_body("card-2", manifest(("b1", "b2"), 60)))
    ledger.add("Promoted", {"model": "card", "version": "card-2", "expected": "card-1"})
    ledger.add("VersionRegistered", version_body("card-3", manifest((), 30), parent="card-2"))
    return ledger


def test_descendants_are_tainted_and_barred_and_undoing_makes_them_clean() -> None:
    ledger = made()
    seq = ledger.add("DataExcluded", hiding(Exclusion("labels", batch_id="b2"), 50)).seq
    state = ledger.state
    assert [state.tainted_by(version) for version in state.versions] == [(), (seq,), (seq,)]
    assert state.clean_champions("card") == ["card-1"]
    assert [version.version for version in state.pending("card")] == []
    with pytest.raises(NotAllowedNow, match=f"card-3 is tainted: .* exclusion {seq}"):
        ledger.add("Promoted", {"model": "card", "version": "card-3", "expected": "card-2"})
    ledger.add("ExclusionUndone", {"exclusion": seq})
    assert [version.version for version in state.pending("card")] == ["card-3"]
    with pytest.raises(NotAllowedNow, match="undone before"):
        ledger.add("ExclusionUndone", {"exclusion": seq})
    with pytest.raises(NotFound, match="no exclusion"):
        ledger.add("ExclusionUndone", {"exclusion": 1})


def test_a_version_trained_by_a_cycle_that_did_not_know_the_exclusion_is_tainted_at_once() -> None:
    ledger = made()
    seq = ledger.add("DataExcluded", hiding(Exclusion("labels", batch_id="b2"), 50)).seq
    ledger.add("VersionRegistered", version_body("card-4", manifest(("b2",), 70)))
    ledger.add("VersionRegistered", version_body("card-5", manifest(("b1",), 70, ("b2",))))
    assert ledger.state.tainted_by("card-4") == (seq,)
    assert ledger.state.tainted_by("card-5") == ()


def test_labels_that_came_before_the_last_row_taint_through_label_fed_features() -> None:
    ledger = made()
    ledger.add("DataExcluded", hiding(Exclusion("labels", batch_id="b3"), 59))
    assert ledger.state.tainted_by("card-2"), "its last row stands at 60"
    assert not ledger.state.tainted_by("card-1"), "its last row stands at 20"


def test_a_rollback_names_the_champion_it_expects_and_goes_to_former_champions_only() -> None:
    ledger = made()
    with pytest.raises(StaleHead, match="was to follow card-1"):
        ledger.add("RolledBack", rollback_body("card-1", "card-1"))
    with pytest.raises(NotAllowedNow, match="card-3 is challenger"):
        ledger.add("RolledBack", rollback_body("card-3", "card-2"))
    with pytest.raises(NotAllowedNow, match="already"):
        ledger.add("RolledBack", rollback_body("card-2", "card-2"))
    ledger.add("RolledBack", rollback_body("card-1", "card-2"))
    ledger.add("RolledBack", rollback_body("", "card-1"))
    assert ledger.state.champion("card") == ""
    ledger.add("RolledBack", rollback_body("card-2", ""))
    assert [reign.version for reign in ledger.state.reigns("card")] == [
        "card-1",
        "card-2",
        "card-1",
        "",
        "card-2",
    ]


def test_muting_hides_labels_and_condemns_nobody() -> None:
    ledger = made()
    mute = hiding(Exclusion("labels", from_us=4), 0, muted=True)
    seq = ledger.add("RolledBack", {**rollback_body("card-1", "card-2"), "mute": mute}).seq
    assert ledger.state.view().hides_label("b2", "bank", "ann", 5)
    assert ledger.state.exclusion(seq).muted
    assert not any(ledger.state.tainted_by(version) for version in ledger.state.versions)


def test_a_version_cut_before_the_data_is_not_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger()
    for name, cut in (("card-1", 100), ("card-2", 200)):
        ledger.add("VersionRegistered", version_body(name, manifest(("b1",), cut)) | {"cut_position": cut})
    looked: list[str] = []

    def looked_at(version: VersionState) -> Any:
        looked.append(version.version)
        return version.packed_manifest.value()

    monkeypatch.setattr(VersionState, "manifest", property(looked_at))
    ledger.add("DataExcluded", hiding(Exclusion("labels", batch_id="b1"), 150))
    assert looked == ["card-2"]
    assert ledger.state.tainted_by("card-2") == (3,)
    assert ledger.state.tainted_by("card-1") == ()
