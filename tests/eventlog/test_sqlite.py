import os
import resource
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from fraud.errors import ConfigError, Conflict, Damaged, NotFound, Unavailable
from fraud.eventlog import NewToken, SqliteEventLog
from fraud.eventlog.checkpoint import sync_log
from fraud.eventlog.tables import LAYOUT
from fraud.records import Heading, Scored
from tests.eventlog.events import applied, labels, same_entries, scored
from tests.waiting import wait_until

NAMES = ["card", "merchant"]


def open_log(path: Path, *, writable: bool = True) -> SqliteEventLog:
    return SqliteEventLog.open(path, writable=writable, entity_names=NAMES, durability="process")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
def log(path: Path) -> Iterator[SqliteEventLog]:
    opened = open_log(path)
    yield opened
    opened.close()


def test_everything_is_there_after_reopening(path: Path) -> None:
    log = open_log(path)
    heading = Heading(("age",), (), (("amount", "amount"),))
    log.hold_to_heading(heading)
    log.append([scored("a"), labels("b"), applied("card", "card-1")], 7, [NewToken(0, 0, "x")])
    log.prune(1, 8)
    before = (log.read(0, 9), log.first(), log.batches(0, "", 0, 9), log.last_applied(), list(log.tokens()))
    log.close()
    log = open_log(path)
    after = (log.read(0, 9), log.first(), log.batches(0, "", 0, 9), log.last_applied(), list(log.tokens()))
    assert before == after
    assert list(log.headings()) == [(1, heading)]
    assert (log.head(), log.last_arrival_us()) == (3, 7)
    log.prune(3, 8)
    log.close()
    log = open_log(path)
    assert (log.head(), log.first(), log.last_arrival_us()) == (3, 4, 7)
    log.close()


def test_a_log_of_other_entities_is_refused_naming_both(path: Path, log: SqliteEventLog) -> None:
    log.append([scored("a")], 1, [])
    for writable in (True, False):
        with pytest.raises(
            ConfigError, match="for the entities card, merchant, the configuration names card, device"
        ):
            SqliteEventLog.open(path, writable=writable, entity_names=["card", "device"])


def test_a_reader_needs_a_log_to_read(path: Path) -> None:
    with pytest.raises(NotFound, match=r"log\.db: no event log there"):
        open_log(path, writable=False)
    assert not path.exists()


def test_another_layout_is_refused_with_the_way_out(path: Path, log: SqliteEventLog) -> None:
    log.close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(
        Damaged, match=f"has format 99 of the event log, this release reads format {LAYOUT.version}"
    ):
        open_log(path)


def test_a_file_that_is_no_database_is_damaged(path: Path) -> None:
    path.write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(Damaged, match="is no event log"):
        open_log(path)


def test_an_entry_that_cannot_be_read_is_named(path: Path, log: SqliteEventLog) -> None:
    log.append([scored("a"), scored("b")], 1, [])
    log.close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE entries SET body = x'ffff' WHERE position = 2")
    connection.commit()
    connection.close()
    log = open_log(path)
    assert len(log.read(0, 1)) == 1
    with pytest.raises(Damaged, match="position 2"):
        log.read(0, 9)
    log.close()


def test_a_reader_follows_the_writer_and_cannot_write(path: Path, log: SqliteEventLog) -> None:
    reader = open_log(path, writable=False)
    assert reader.head() == 0
    for i in range(5):
        log.append([scored(f"t{i}"), labels(f"b{i}")], i, [])
        assert (reader.head(), reader.last_arrival_us()) == (2 * i + 2, i)
        assert same_entries(reader.read(0, 99), log.read(0, 99))
        assert reader.batch_digest(f"b{i}", 0) == f"digest-b{i}-0"
    assert sorted(reader.find(["t0", "t4", "x"])) == ["t0", "t4"]
    with pytest.raises(Unavailable, match="readonly"):
        reader.append([scored("x")], 9, [])
    reader.close()


def test_a_reader_opens_a_log_whose_writer_has_gone(path: Path, log: SqliteEventLog) -> None:
    log.append([scored("a")], 1, [])
    log.close()
    reader = open_log(path, writable=False)
    assert reader.head() == 1
    reader.close()


def test_threads_see_gapless_prefixes_while_one_appends_and_one_prunes(log: SqliteEventLog) -> None:
    done = threading.Event()
    failures: list[str] = []

    def watch() -> None:
        while not done.is_set():
            entries = log.read(max(0, log.head() - 40), 1_000)
            positions = [entry.position for entry in entries]
            if positions and positions != list(range(positions[0], positions[0] + len(positions))):
                failures.append(f"gap in {positions}")
            ids = [entry.event.transaction_id for entry in entries if isinstance(entry.event, Scored)]
            if not set(log.find(ids)) <= set(ids) or len(log.decisions([], 0, "", 0, 10)) > 10:
                failures.append("wrong answer")

    def prune() -> None:
        while not done.is_set():
            log.prune(log.head() - 100, 2**62)

    threads = [threading.Thread(target=target) for target in (watch, watch, prune)]
    for thread in threads:
        thread.start()
    try:
        for i in range(150):
            log.append([scored(f"{i}-{k}") for k in range(10)], i, [])
        wait_until(lambda: log.first() > 1, "something pruned")
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert log.head() == 1_500
    assert log.first() > 1


def test_threads_that_have_ended_leave_no_connection_behind(path: Path, log: SqliteEventLog) -> None:
    def handles() -> int:
        return sum(it.path == str(path) for it in psutil.Process().open_files())

    before = handles()
    for _ in range(6):
        reader = threading.Thread(target=log.next_surrogates)
        reader.start()
        reader.join()
    # SQLite closes the file of a connection when no other one holds a lock.
    assert handles() <= before + 2


def test_an_append_that_fails_keeps_nothing_and_the_next_one_works(path: Path, log: SqliteEventLog) -> None:
    log.append([scored("a")], 1, [])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    full = Path(f"{path}-wal").stat().st_size
    try:
        # The file system refuses to let any file grow: what a full disk does.
        resource.setrlimit(resource.RLIMIT_FSIZE, (full, limits[1]))
        with pytest.raises(Unavailable, match="nothing of them was kept") as caught:
            log.append([scored(f"x{i}") for i in range(500)], 5, [NewToken(0, 0, "x")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert isinstance(caught.value.__cause__, sqlite3.Error)
    assert (log.head(), log.last_arrival_us()) == (1, 1)
    assert log.find(["x0", "x499"]) == {}
    assert list(log.tokens()) == []
    assert log.append([scored("x0")], 5, [NewToken(0, 0, "x")]) == 2
    log.close()
    log = open_log(path)
    assert [entry.position for entry in log.read(0, 9)] == [1, 2]
    log.close()


def test_pages_reach_the_database_file_without_the_writer_carrying_them(
    path: Path, log: SqliteEventLog
) -> None:
    empty = path.stat().st_size
    log.append([scored(f"t{i}") for i in range(2_000)], 1, [])
    wait_until(lambda: path.stat().st_size >= empty + 2_000 * 100, "pages moved by the checkpointing thread")
    assert log.head() == 2_000


def test_appends_made_together_are_seen_together_or_never_were(path: Path, log: SqliteEventLog) -> None:
    reader = open_log(path, writable=False)

    def append(*names: str) -> None:
        with log.together():
            for surrogate, name in enumerate(names, start=1):
                before = reader.head()
                log.append([scored(name)], 7, [NewToken(0, surrogate, name)])
                assert (log.head(), reader.head()) == (1 + surrogate, before)

    log.append([scored("a")], 1, [NewToken(0, 0, "a")])
    with pytest.raises(Conflict):
        append("b", "c", "a")
    assert (log.head(), log.last_arrival_us(), reader.head()) == (1, 1, 1)
    append("b", "c")
    assert (reader.head(), reader.last_arrival_us()) == (3, 7)
    assert [it.token for it in reader.tokens()] == ["a", "b", "c"]
    assert log.append([scored("d")], 8, []) == reader.head() == 4, "an append by itself again"
    reader.close()


def test_what_is_secured_is_synced_without_a_touch_of_the_database_file(
    path: Path, log: SqliteEventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[Path] = set()
    monkeypatch.setattr(os, "fsync", lambda handle: synced.add(Path(f"/proc/self/fd/{handle}").readlink()))
    log.append([scored("a")], 1, [])
    reader = open_log(path, writable=False)
    for each in (reader, log):
        synced.clear()
        assert each.secure() == 1
        assert synced == {path.with_name("log.db-wal"), path.parent}
    reader.close()
    log.close()
    assert not path.with_name("log.db-wal").exists()
    sync_log(path)
