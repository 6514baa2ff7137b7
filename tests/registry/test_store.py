import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraud.errors import Conflict, Damaged, NotAllowedNow, NotFound, StaleHead, Unavailable
from fraud.registry import LedgerEntry, LedgerStore, RegistryState, promote
from tests.registry.entries import add, registered, verdict

ROOT = Path(__file__).parents[2]
ENTRIES = 8


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "intact.db"
    filled(path).close()
    return path


def filled(path: Path) -> LedgerStore:
    store = LedgerStore.open(path)
    add(store, "VersionRegistered", registered("card-1"), time_us=5)
    add(store, "VerdictGiven", verdict("card-1", "INCONCLUSIVE"), time_us=6)
    add(
        store,
        "RetrainRequested",
        {"model": "", "cut_position": 1, "cut_time_us": 10, "trigger": "é\n"},
        time_us=7,
    )
    for i in range(2, ENTRIES - 1):
        add(store, "VersionRegistered", registered(f"card-{i}"), time_us=7 + i)
    return store


def test_entries_are_read_as_they_were_appended_also_by_another_reader(tmp_path: Path) -> None:
    store = filled(tmp_path / "ledger.db")
    entry = add(store, "VersionDropped", {"version": "card-1", "why": "old"}, time_us=3)
    assert entry.time_us == 7 + ENTRIES - 2  # never before the entry in front of it
    reader = LedgerStore.open(tmp_path / "ledger.db", writable=False)
    assert reader.head() == store.head() == ENTRIES + 1
    assert reader.read() == store.read()
    assert reader.read(ENTRIES) == [entry]
    assert RegistryState.fold(reader.read()).version("card-1").status == "superseded"
    reader.verify()
    with pytest.raises(Unavailable, match="readonly"):
        add(reader, "VersionDropped", {"version": "card-2", "why": ""})
    reader.close()
    store.close()


def test_a_ledger_that_is_not_there_is_not_made_by_a_reader(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no registry ledger"):
        LedgerStore.open(tmp_path / "ledger.db", writable=False)


def test_a_head_that_moved_on_refuses_the_append(tmp_path: Path) -> None:
    store = filled(tmp_path / "ledger.db")
    head = store.head()
    body = {"version": "card-1", "why": ""}
    with pytest.raises(StaleHead, match=f"the head is entry {head}, not {head - 1}"):
        store.append("VersionDropped", body, actor="", reason="", time_us=0, expected_head=head - 1)
    store.append("VersionDropped", body, actor="", reason="", time_us=0, expected_head=head)
    store.close()


def test_a_store_sees_what_another_one_wrote_before_it_appends(tmp_path: Path) -> None:
    one = filled(tmp_path / "ledger.db")
    other = LedgerStore.open(tmp_path / "ledger.db")
    add(other, "VersionRegistered", registered("card-90"))
    add(one, "VersionRegistered", registered("card-91"))
    add(other, "VersionDropped", {"version": "card-91", "why": ""})
    one.verify()
    assert [entry.seq for entry in one.read()] == list(range(1, one.head() + 1))
    one.close()
    other.close()


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    seq=st.integers(1, ENTRIES - 1),
    column=st.sampled_from(["time_us", "kind", "actor", "reason", "body", "previous_hash", "hash"]),
    place=st.integers(0, 10_000),
    bit=st.integers(0, 6),
)
def test_a_flipped_bit_anywhere_is_found_and_the_entry_named(
    intact: Path, seq: int, column: str, place: int, bit: int
) -> None:
    path = intact.with_name("flipped.db")
    shutil.copy(intact, path)
    connection = sqlite3.connect(path)
    (value,) = connection.execute(f"SELECT {column} FROM ledger WHERE seq = ?", (seq,)).fetchone()
    if isinstance(value, int):
        changed: object = value ^ (1 << bit)
    else:
        text = bytearray(value.encode())
        text[place % len(text)] ^= 1 << bit
        changed = text.decode(errors="replace")
    connection.execute(f"UPDATE ledger SET {column} = ? WHERE seq = ?", (changed, seq))
    connection.commit()
    connection.close()
    store = LedgerStore.open(path, writable=False)
    with pytest.raises(Damaged, match=f"ledger entry {seq} is damaged"):
        store.verify()
    store.close()


def test_a_missing_entry_is_found_and_named(tmp_path: Path) -> None:
    store = filled(tmp_path / "ledger.db")
    connection = sqlite3.connect(tmp_path / "ledger.db")
    connection.execute("DELETE FROM ledger WHERE seq = 4")
    connection.commit()
    connection.close()
    with pytest.raises(Damaged, match="entry 4 is damaged: it is missing"):
        store.verify()
    store.close()


def test_entries_are_found_by_number_and_unknown_ones_left_out(tmp_path: Path) -> None:
    store = filled(tmp_path / "ledger.db")
    found = store.find([4, 2, 2, 99])
    assert [found[seq] for seq in sorted(found)] == [entry for entry in store.read() if entry.seq in (2, 4)]
    assert store.find([]) == {}
    store.close()


@pytest.mark.process
def test_two_processes_never_fork_the_chain_and_never_promote_over_each_other(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    writers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.registry.writer", str(path), name, "40"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("1", "2")
    ]
    appended = promoted = 0
    for writer in writers:
        out, _ = writer.communicate(timeout=180)
        assert writer.returncode == 0
        _, by_it, crowned = map(int, out.split())
        appended += by_it
        promoted += crowned
    store = LedgerStore.open(path, writable=False)
    store.verify()
    entries = store.read()
    assert [entry.seq for entry in entries] == list(range(1, 2 + appended + promoted + 1))
    reigns = [entry.body for entry in entries if entry.kind == "Promoted"]
    assert [reign["expected"] for reign in reigns] == ["", *[reign["version"] for reign in reigns[:-1]]]
    store.close()


def test_what_is_refused_leaves_the_fold_as_it_was_and_is_not_paid_for_again(tmp_path: Path) -> None:
    read: list[int] = []

    class Watched(LedgerStore):
        def _entries(self, after: int) -> Iterator[LedgerEntry]:
            read.append(after)
            return super()._entries(after)

    store = Watched.open(tmp_path / "ledger.db")
    for version in ("card-1", "card-2"):
        add(store, "VersionRegistered", registered(version))
    promote(store, "card", "card-1", "", actor="gate", reason="", time_us=0)
    refused: list[tuple[str, dict[str, Any]]] = [
        ("VersionRegistered", registered("card-1")),
        ("VerdictGiven", verdict("card-9", "PROMOTE")),
        ("Promoted", {"model": "card", "version": "card-2", "expected": ""}),
        ("Promoted", {"model": "card", "version": "card-1", "expected": "card-1"}),
        ("VersionDropped", {"version": "card-1", "why": "superseded"}),
        ("ExclusionUndone", {"exclusion": 1}),
        ("ProbationEnded", {"model": "card", "version": "card-1", "evidence": {}}),
        ("SentinelRetired", {"model": "card", "pattern": "burst"}),
        ("AttackEnded", {"attack": 1}),
        ("Vacuumed", {"bundles": ["digest-card-1"], "files": 0, "bytes": 0}),
        ("CycleFinished", {"request_seq": 1, "verdicts": [], "seconds": 0.0}),
        ("RolledBack", {"model": "card", "version": "card-2", "expected": "card-1", "mute": None}),
    ]
    read.clear()
    for kind, body in refused:
        with pytest.raises((NotAllowedNow, NotFound, Conflict)):
            add(store, kind, body)
        assert set(read) == {3}, "only what is new is read"
        assert vars(store._folded) == vars(store.state()), kind
        read.clear()
    store.close()
