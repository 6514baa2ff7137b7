"""A person goes from the archive's rows, its files and its own log; nothing else changes."""

import dataclasses
import os
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from fraud.archive import Archive
from fraud.archive.lease import Lease
from fraud.errors import Unavailable
from fraud.eventlog import MemoryEventLog, SqliteEventLog
from fraud.records import Event, Label, LabelsSubmitted, LabelValue
from tests.archive.history import FEATURES, SCHEMA, history
from tests.eventlog.events import same_entries, scored

ROOT = Path(__file__).parents[2]
ANN = 7


@pytest.fixture
def log() -> MemoryEventLog:
    return MemoryEventLog()


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "archive", SCHEMA, FEATURES)


def payment(name: str, card: int, word: str, merchant: int = -1) -> Event:
    return dataclasses.replace(scored(name), surrogates=(card, merchant), categoricals=("web", word))


def comment(batch: str, **comments: str) -> LabelsSubmitted:
    rows = tuple(Label(name, LabelValue.FRAUD, 5, text) for name, text in comments.items())
    return LabelsSubmitted(batch, 0, "analyst", "jane", rows, "digest")


def bytes_under(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


EVENTS = [
    payment("t1", ANN, "ann@secret"),
    payment("t2", 8, "bob@open"),
    comment("b1", t1="secret visit", t2="open visit", t3="secret too, it's odd"),
    payment("t3", ANN, "ann@secret2"),
    payment("t4", ANN, ""),
    payment("t5", ANN, "ann@secret3"),
]


def erase(archive: Archive, log: MemoryEventLog, upto: int) -> None:
    traces = archive.traces("card", ANN, upto, ["country"])
    log.erase([*traces.transactions, *traces.labels], [1], traces.ids)
    archive.erase("card", ANN, upto, ["country"], traces)


def test_traces_name_what_is_there_and_are_found_again_after_blanking(
    log: MemoryEventLog, archive: Archive
) -> None:
    log.append(EVENTS, 1, [])
    archive.copy_from(log)
    before = archive.traces("card", ANN, 5, ["country"])
    assert (before.transactions, before.labels) == ((1, 4, 5), (3,))
    assert before.ids == {"t1", "t3", "t4"}
    assert (before.fields, before.comments) == (2, ((3, "t1"), (3, "t3")))
    erase(archive, log, 5)
    after = archive.traces("card", ANN, 5, ["country"])
    assert after == dataclasses.replace(before, fields=0, comments=())


def test_only_the_persons_words_are_blanked_and_log_and_archive_stay_alike(
    log: MemoryEventLog, archive: Archive, tmp_path: Path
) -> None:
    log.append([*EVENTS, *history(200, seed=3, start=10)], 1, [])
    archive.copy_from(log, rows_max=20)
    position = archive.position()
    erase(archive, log, 5)
    assert archive.position() == position
    assert same_entries(list(archive.entries()), log.read(0, 1_000))
    words = archive.transactions().sort("position").head(5).collect()["categorical_country"].to_list()
    assert words == [None, "bob@open", None, None, "ann@secret3"]  # t5 stands beyond position 5
    erase(archive, log, 6)
    archive.drop_old_files(1.0)
    content = bytes_under(tmp_path / "archive")
    assert b"secret" not in content
    assert b"open visit" in content
    assert same_entries(list(archive.entries()), log.read(0, 1_000))


def test_erasing_again_changes_no_table(log: MemoryEventLog, archive: Archive, tmp_path: Path) -> None:
    log.append(EVENTS, 1, [])
    archive.copy_from(log)
    erase(archive, log, 6)
    before = sorted((tmp_path / "archive").rglob("_delta_log/*.json"))
    erase(archive, log, 6)
    assert sorted((tmp_path / "archive").rglob("_delta_log/*.json")) == before


def test_many_comments_are_blanked_in_several_commits(
    log: MemoryEventLog, archive: Archive, tmp_path: Path
) -> None:
    names = [f"t'{i}" for i in range(1_200)]
    log.append([payment(name, ANN, "") for name in names], 1, [])
    log.append([comment(f"b{i}", **dict.fromkeys(names[i::7], "secret")) for i in range(7)], 2, [])
    archive.copy_from(log)
    erase(archive, log, log.head())
    archive.drop_old_files(1.0)
    assert b"secret" not in bytes_under(tmp_path / "archive")
    assert same_entries(list(archive.entries()), log.read(0, 9_999))


def test_every_bit_of_a_feature_survives_an_erasure(log: MemoryEventLog, archive: Archive) -> None:
    patterns = ["0100807f", "ffffffff", "0000c07f", "00000080", "01000000", "0000807f"]
    for i in range(0, 6, 3):
        features = bytes.fromhex("".join(patterns[i : i + 3]))
        row = dataclasses.replace(scored(f"t{i}"), features=features, categoricals=("web", "secret"))
        log.append([row], i, [])
    archive.copy_from(log)
    erase(archive, log, 2)
    assert same_entries(list(archive.entries()), log.read(0, 9))


def test_entities_beside_a_person_go_with_it_unless_somebody_else_has_them(
    log: MemoryEventLog, archive: Archive
) -> None:
    rows = [(ANN, 1), (ANN, 2), (8, 2), (ANN, 3), (5, 3), (ANN, 4), (-1, 4), (8, 9), (ANN, -1)]
    log.append([payment(f"t{i}", card, "", merchant) for i, (card, merchant) in enumerate(rows)], 1, [])
    archive.copy_from(log)
    (linked,) = archive.linked("card", ANN, ["merchant"], gone=[5])
    assert (linked.entity, linked.own, linked.shared) == ("merchant", (1, 3), 2)


def test_an_archive_without_anything_has_no_traces(archive: Archive) -> None:
    traces = archive.traces("card", ANN, 9, ["country"])
    assert (traces.transactions, traces.fields, traces.comments) == ((), 0, ())
    archive.erase("card", ANN, 9, ["country"], traces)
    assert archive.drop_old_files(0.0) == 0
    assert archive.unnamed(timedelta(0)) == []


def test_erasing_and_copying_at_once_leave_every_row_once_and_blank(tmp_path: Path) -> None:
    """Copiers hold what they read before it was blanked; none of it may come back."""
    path, folder = tmp_path / "log.db", tmp_path / "archive"
    log = SqliteEventLog.open(path, writable=True, entity_names=SCHEMA.entity_names, durability="process")
    log.append([payment(f"t{i}", ANN if i % 3 else 8, f"word-{i % 3}", i % 5) for i in range(600)], 1, [])
    command = [sys.executable, "-m", "tests.archive.copier", str(path), str(folder), "900"]
    copiers = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for copier in copiers:
        assert copier.stdout is not None
        copier.stdout.readline()
    archive, upto = Archive(folder, SCHEMA, FEATURES), log.head()
    archive.copy_from(log, upto=upto)
    traces = archive.traces("card", ANN, upto, ["country"])
    log.erase(traces.transactions, [1], traces.ids)
    log.append([payment(f"t{i}", 8, "word-0") for i in range(600, 900)], 2, [])
    archive.erase("card", ANN, upto, ["country"], traces)
    for copier in copiers:
        copier.communicate(timeout=180)
        assert copier.returncode == 0
    assert archive.position() == 900
    archive.drop_old_files(180.0)
    assert same_entries(list(archive.entries()), log.read(0, 1_000))
    assert b"word-1" not in bytes_under(folder)
    log.close()


def test_files_that_somebody_reads_stay_until_it_is_done(
    log: MemoryEventLog, archive: Archive, tmp_path: Path
) -> None:
    log.append(EVENTS, 1, [])
    archive.copy_from(log)
    with archive.reading():
        scan = archive.transactions()
        erase(archive, log, 6)
        with pytest.raises(Unavailable, match="reads the archive"):
            archive.drop_old_files(0.0)
        assert scan.collect()["categorical_country"].to_list().count("ann@secret") == 1
        waiting = threading.Thread(target=archive.drop_old_files, args=(180.0,))
        waiting.start()
    waiting.join()
    assert b"secret" not in bytes_under(tmp_path / "archive")


def test_a_lease_ends_with_its_holder(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from fraud.archive.lease import Lease\n"
    code += "with Lease(Path(sys.argv[1])).shared(): print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(tmp_path)]
    holder = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(Unavailable), Lease(tmp_path).exclusive(0.0):
        pass
    with Lease(tmp_path).shared():
        pass
    holder.kill()
    holder.wait()
    with Lease(tmp_path).exclusive(180.0):
        pass


def test_unnamed_files_go_by_age_and_others_stay(
    log: MemoryEventLog, archive: Archive, tmp_path: Path
) -> None:
    log.append(history(100, seed=1), 1, [])
    archive.copy_from(log, rows_max=20)
    rows = archive.transactions().sort("position").collect()
    sizes = archive.sizes()
    archive.compact(timedelta(days=7))
    assert archive.sizes()["transactions"].files == 1 < sizes["transactions"].files
    table = tmp_path / "archive" / "transactions"
    old, new = table / "part-of-a-killed-copy.parquet", table / "part-being-written.parquet"
    for path in (old, new):
        path.write_bytes(b"rows")
    then = time.time() - 8 * 86_400
    os.utime(old, (then, then))
    assert archive.unnamed(timedelta(days=7)) == [old]
    assert archive.vacuum(timedelta(days=7)) == [old]
    assert new.exists()
    assert not old.exists()
    assert archive.transactions().sort("position").collect().equals(rows)


def test_the_log_of_a_table_remembers_no_word_of_its_rows(
    log: MemoryEventLog, archive: Archive, tmp_path: Path
) -> None:
    """Minimum and maximum of a column would outlive the file they were taken from."""
    log.append(EVENTS, 1, [])
    archive.copy_from(log, rows_max=1)
    erase(archive, log, 1)
    archive.compact()
    for path in (tmp_path / "archive").rglob("_delta_log/*"):
        assert b"secret" not in path.read_bytes()
        assert b"ann@" not in path.read_bytes()
