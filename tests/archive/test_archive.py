import dataclasses
import os
import time
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fraud.archive import Archive
from fraud.archive.lease import Lease
from fraud.archive.table import Table
from fraud.archive.unfinished import UNFINISHED
from fraud.errors import ConfigError, Damaged, Unavailable
from fraud.eventlog import MemoryEventLog
from fraud.records import Event, Scored
from tests.archive.history import FEATURES, SCHEMA, history
from tests.eventlog.events import EVENTS, same_entries, scored

FEW = settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)


@pytest.fixture
def log() -> MemoryEventLog:
    return MemoryEventLog()


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "archive", SCHEMA, FEATURES)


def test_an_archive_that_does_not_exist_yet_is_empty_with_the_right_columns(archive: Archive) -> None:
    assert archive.position() == 0
    empty = archive.transactions().collect()
    assert empty.is_empty()
    assert [name for name in empty.columns if name.startswith("f_")] == [
        "f_amount",
        "f_hour",
        "f_card_count_1h",
    ]
    assert empty.schema["f_amount"] == pl.Float32()
    assert empty.schema["entity_card"] == pl.Int32()
    assert archive.labels().collect().is_empty()
    assert archive.outcomes().collect().is_empty()
    assert archive.applied().collect().is_empty()
    assert archive.find(["t1"]).is_empty()
    assert list(archive.entries()) == []
    archive.compact()


@FEW
@given(data=st.data(), events=st.lists(EVENTS, max_size=12), span=st.integers(1, 5))
def test_entries_come_back_from_the_archive_as_they_were_logged(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, events: list[Event], span: int
) -> None:
    log = MemoryEventLog()
    arrivals = sorted(data.draw(st.lists(st.integers(0, 2**62), min_size=len(events), max_size=len(events))))
    log.append(events, arrivals, [])
    archive = Archive(tmp_path_factory.mktemp("a") / "archive", SCHEMA, FEATURES)
    assert archive.copy_from(log) == len(events)
    assert same_entries(list(archive.entries(positions_max=span)), log.read(0, 100))


def test_every_bit_pattern_of_a_feature_survives(log: MemoryEventLog, archive: Archive) -> None:
    # Signalling and quiet NaNs with payloads, both zeros, denormals, infinities.
    patterns = ["0100807f", "ffffffff", "0000c07f", "00000080", "01000000", "0000807f"]
    for i in range(0, 6, 3):
        features = bytes.fromhex("".join(patterns[i : i + 3]))
        log.append([dataclasses.replace(scored(f"t{i}"), features=features)], i, [])
    archive.copy_from(log)
    archive.compact(timedelta(0))
    assert same_entries(list(archive.entries()), log.read(0, 9))


def test_copying_goes_on_where_it_stopped_and_never_twice(log: MemoryEventLog, archive: Archive) -> None:
    events = history(300, seed=1)
    log.append(events[:100], 1, [])
    assert archive.copy_from(log, upto=60, rows_max=7) == 60
    assert archive.copy_from(log, upto=60) == 60
    assert archive.position() == 60
    assert archive.copy_from(log) == 100
    log.append(events[100:], 2, [])
    assert archive.copy_from(log, rows_max=50) == 300
    assert archive.copy_from(log) == 300
    assert same_entries(list(archive.entries()), log.read(0, 1_000))


def test_the_position_moves_on_over_entries_without_transactions(
    log: MemoryEventLog, archive: Archive
) -> None:
    only_labels = [event for event in history(300, seed=2) if not isinstance(event, Scored)]
    log.append(only_labels, 1, [])
    assert archive.copy_from(log, rows_max=10) == len(only_labels)
    assert Archive.position(archive) == len(only_labels)
    assert same_entries(list(archive.entries()), log.read(0, 1_000))


def test_scans_stop_at_the_position_asked_for(log: MemoryEventLog, archive: Archive) -> None:
    log.append(history(100, seed=3), 1, [])
    archive.copy_from(log, rows_max=20)
    for scan in (archive.transactions, archive.labels, archive.outcomes, archive.applied):
        every = scan().collect()
        upto = scan(40).collect()
        assert all(position <= 40 for position in upto["position"])
        assert upto.height == every.filter(pl.col("position") <= 40).height
    plan = archive.transactions(40).select("position", "score").explain()
    assert 'SELECTION: [(col("position")) <= (40)]' in plan or 'SELECTION: col("position") <= 40' in plan
    assert "PROJECT 2/" in plan


def test_rows_after_a_crash_between_two_tables_stay_out_of_sight(
    log: MemoryEventLog, archive: Archive, tmp_path: Path
) -> None:
    log.append(history(100, seed=4), 1, [])
    archive.copy_from(log, upto=50)
    ahead = Archive(tmp_path / "ahead", SCHEMA, FEATURES)
    ahead.copy_from(log, upto=50)
    ahead.copy_from(log)
    # The labels table got its commit, the process died before the others.
    (tmp_path / "archive" / "labels").rename(tmp_path / "old")
    (tmp_path / "ahead" / "labels").rename(tmp_path / "archive" / "labels")
    assert archive.position() == 50
    assert all(position <= 50 for position in archive.labels().collect()["position"])
    assert archive.copy_from(log) == 100
    assert same_entries(list(archive.entries()), log.read(0, 1_000))


def test_ids_are_found_and_unknown_ones_left_out(log: MemoryEventLog, archive: Archive) -> None:
    log.append([scored(f"t{i}") for i in range(20)], 1, [])
    archive.copy_from(log)
    found = archive.find(["t11", "t3", "nobody"])
    assert found["position"].to_list() == [4, 12]
    row = found.row(0, named=True)
    assert (row["entity_card"], row["entity_merchant"]) == (7, None)
    assert (row["numeric_age"], row["numeric_distance"]) == (0.5, None)
    assert (row["categorical_channel"], row["categorical_country"]) == ("web", None)
    assert (row["f_hour"], row["limits"], row["outcome"]) == (2.0, "NEW_CARD", 1)


def test_a_new_feature_becomes_a_column_that_is_null_in_older_rows(
    log: MemoryEventLog, archive: Archive, tmp_path: Path
) -> None:
    log.append([scored("a"), scored("b")], 1, [])
    archive.copy_from(log)
    names = ("amount", "card_sum_1h", "hour", "card_count_1h")
    grown = Archive(tmp_path / "archive", SCHEMA, dict.fromkeys(names, ""))
    assert grown.transactions().collect()["f_card_sum_1h"].to_list() == [None, None]
    log.append([scored("c", features=(1, 9, 2, 3))], 1, [])
    assert grown.copy_from(log) == 3
    rows = grown.transactions().sort("position").collect()
    assert rows["f_card_sum_1h"].to_list() == [None, None, 9.0]
    assert rows["f_hour"].to_list() == [2.0, 2.0, 2.0]
    assert archive.transactions().collect().width == rows.width - 1
    kept = [entry.event.features.hex() for entry in grown.entries() if isinstance(entry.event, Scored)]
    assert kept[0] == "0000803f" + "0000c07f" + "00000040" + "00004040"


def test_features_of_another_configuration_are_refused_with_the_way_out(
    log: MemoryEventLog, archive: Archive
) -> None:
    log.append([scored("a", features=(1, 2))], 1, [])
    with pytest.raises(ConfigError, match="position 1 was logged with 2 features, the configuration has 3"):
        archive.copy_from(log)


def test_a_log_pruned_beyond_the_archive_is_noticed(log: MemoryEventLog, archive: Archive) -> None:
    log.append(history(50, seed=5), 1, [])
    archive.copy_from(log, upto=20)
    log.prune(30, 2)
    with pytest.raises(Damaged, match="behind position 20"):
        archive.copy_from(log)
    assert archive.position() == 20


def test_a_log_pruned_behind_the_archive_goes_on(log: MemoryEventLog, archive: Archive) -> None:
    events = history(80, seed=6)
    log.append(events[:50], 1, [])
    archive.copy_from(log, upto=50)
    log.prune(50, 2)
    log.append(events[50:], 2, [])
    assert archive.copy_from(log) == 80
    assert [entry.position for entry in archive.entries()] == list(range(1, 81))


def test_compaction_changes_no_row_and_spares_files_a_reader_may_hold(
    log: MemoryEventLog, archive: Archive, tmp_path: Path
) -> None:
    log.append(history(200, seed=7), 1, [])
    archive.copy_from(log, rows_max=20)
    before = archive.transactions()
    rows = before.collect().sort("position")
    files = set((tmp_path / "archive" / "transactions").glob("*.parquet"))
    archive.compact()
    assert files < set((tmp_path / "archive" / "transactions").glob("*.parquet"))
    assert before.collect().sort("position").equals(rows)
    archive.compact(timedelta(0))
    assert len(list((tmp_path / "archive" / "transactions").glob("*.parquet"))) == 1
    assert archive.transactions().collect().sort("position").equals(rows)
    assert archive.position() == 200
    log.append([scored("later")], 2, [])
    assert archive.copy_from(log) == 201


def test_only_the_tables_named_are_compacted(log: MemoryEventLog, archive: Archive) -> None:
    log.append(history(200, seed=7), 1, [])
    archive.copy_from(log, rows_max=20)
    before = archive.small_files()
    assert before == {name: size.files for name, size in archive.sizes().items()}
    assert min(before["labels"], before["transactions"]) > 1
    archive.compact(tables=["labels"])
    assert archive.small_files() == {**before, "labels": 1}


class Watched(Table):
    """A table that looks, while it is compacted, whether anybody could delete files."""

    def compact(self) -> None:
        """Compact where nobody can."""
        with pytest.raises(Unavailable), Lease(self._folder.parent).exclusive(0):
            pass
        super().compact()


def test_nobody_deletes_unnamed_files_while_files_are_merged(
    log: MemoryEventLog, archive: Archive, tmp_path: Path
) -> None:
    log.append(history(50, seed=7), 1, [])
    archive.copy_from(log, rows_max=10)
    archive._transactions = Watched(tmp_path / "archive" / "transactions", archive._columns.types)
    archive.compact()
    assert archive.small_files()["transactions"] == 1
    assert archive.drop_old_files(0) > 1


def test_scans_of_one_version_share_its_handle_and_a_later_one_sees_what_others_commit(
    log: MemoryEventLog, archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.append(history(40, seed=3), 5, [])
    archive.copy_from(log)
    opened: list[str] = []
    load = Table._load

    def counted(table: Table) -> DeltaTable | None:
        opened.append(table._folder.name)
        return load(table)

    monkeypatch.setattr(Table, "_load", counted)
    before = archive.transactions(10**9)
    for _ in range(5):
        assert archive.transactions().collect().equals(before.collect())
    assert opened.count("transactions") == 1
    log.append(history(40, seed=4, start=40), 6, [])
    Archive(tmp_path / "archive", SCHEMA, FEATURES).copy_from(log)
    after = archive.transactions(10**9).collect()
    assert len(before.collect()) < len(after) == archive.rows()["transactions"]


def test_what_a_killed_writer_left_aside_is_vacuumed(
    log: MemoryEventLog, archive: Archive, tmp_path: Path
) -> None:
    log.append(history(40, seed=3), 5, [])
    archive.copy_from(log)
    data = tmp_path / "archive" / "transactions" / "part-x.parquet#1"
    commit = tmp_path / "archive" / "labels" / "_delta_log" / "00000000000000000009.json#2"
    for path in (data, commit):
        path.write_text("of a customer")
    archive.vacuum(timedelta(0))
    assert data.exists(), "its writer may be at work"
    old = time.time() - 2 * UNFINISHED.total_seconds()
    os.utime(data, (old, old))
    assert archive.unnamed(timedelta(0)) == [data]
    assert archive.vacuum(timedelta(0)) == [data]
    assert not data.exists()
    archive.drop_old_files(0.0)
    assert not commit.exists(), "nobody writes beside an erasure"
    assert same_entries(list(archive.entries()), log.read(0, 100))
