from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fraud.registry import LedgerStore
from fraud.report.provenance import ancestors, descendants, label_givers, timeline
from tests.registry.entries import add, registered, verdict


def batch(source: str, submitter: str, labels: int, frauds: int, arrival_us: int) -> dict[str, Any]:
    return {
        "batch_id": f"{source}-{arrival_us}",
        "source": source,
        "submitter": submitter,
        "labels": labels,
        "frauds": frauds,
        "arrival_us": [arrival_us, arrival_us + 1_000_000],
    }


def test_labels_are_summed_by_source_and_submitter_most_frauds_first() -> None:
    day = 86_400_000_000
    givers = label_givers(
        [
            batch("analyst", "ann", 10, 1, 0),
            batch("chargeback", "bank", 5, 5, day),
            batch("chargeback", "bank", 4, 4, 2 * day),
            batch("analyst", "bob", 3, 0, 0),
        ]
    )
    assert [(it.source, it.submitter, it.batches, it.labels, it.frauds) for it in givers] == [
        ("chargeback", "bank", 2, 9, 9),
        ("analyst", "ann", 1, 10, 1),
        ("analyst", "bob", 1, 3, 0),
    ]
    assert [it.fraud_share for it in givers] == [0.9, 0.1, 0.0]
    assert (givers[0].first, givers[0].last) == ("1970-01-02T00:00:00Z", "1970-01-03T00:00:01Z")
    assert label_givers([]) == []


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LedgerStore]:
    opened = LedgerStore.open(tmp_path / "ledger.db")
    for version, parent in (("card-1", ""), ("card-2", "card-1"), ("card-3", "card-2"), ("card-4", "card-1")):
        add(opened, "VersionRegistered", registered(version, parent=parent))
    yield opened
    opened.close()


def test_a_family_is_told_both_ways(store: LedgerStore) -> None:
    state = store.state()
    assert ancestors(state, state.version("card-3")) == ["card-2", "card-1"]
    assert ancestors(state, state.version("card-1")) == []
    assert descendants(state, "card-1") == ["card-2", "card-3", "card-4"]
    assert descendants(state, "card-3") == []


def test_a_version_s_entries_are_told_with_overrides_and_what_followed(store: LedgerStore) -> None:
    add(store, "VerdictGiven", verdict("card-1", "INCONCLUSIVE"))
    given = {"model": "card", "expected": "", "override": True, "overridden": "its verdict"}
    add(store, "Promoted", {**given, "version": "card-1"})
    add(store, "Promoted", {"model": "card", "version": "card-2", "expected": "card-1"})
    events = timeline(store.read(), "card-1")
    assert [(event.seq, event.kind) for event in events] == [
        (1, "VersionRegistered"),
        (5, "VerdictGiven: INCONCLUSIVE"),
        (6, "Promoted by override: its verdict"),
        (7, "Promoted (card-2 follows)"),
    ]
    assert (events[2].actor, events[2].reason) == ("ann", "test")
