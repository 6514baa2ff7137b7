"""What stands below the simulation is tried by itself: SQLite over power cuts, folders over power cuts."""

import os
import sqlite3
from pathlib import Path
from random import Random

import pytest

from fraud.bundle.store import BundleStore
from fraud.errors import Unavailable
from fraud.features.fold import FeatureFold
from fraud.features.spec import FeatureSpec
from fraud.labels.standing import ConflictRule
from fraud.policy.lists import Lists
from fraud.serving.recovery import Snapshots
from tests.serving.worlds import settings_in
from tests.simulation.disk import Disk, Fault, Kind
from tests.simulation.operators import bundle_of
from tests.simulation.power import Change, Pages
from tests.simulation.vfs import below_sqlite

SEEDS = 40


def _rows_after_a_cut(folder: Path, seed: int, synchronous: str) -> tuple[int, list[int]]:
    """Insert 1, 2, … until the power is cut; return the last one told, and what is there afterwards."""
    random = Random(seed)
    disk = Disk(folder, lambda _: None)
    told = 0
    with disk.below(), below_sqlite(disk):
        connection = sqlite3.connect(folder / "x.sqlite", isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("CREATE TABLE t (i INTEGER PRIMARY KEY, b BLOB)")
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        disk.fault = Fault("crash", random.randrange(60), random.random())
        try:
            while True:
                connection.execute("INSERT INTO t VALUES (?, ?)", (told + 1, random.randbytes(300)))
                told += 1
                if told % 10 == 0:
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.OperationalError:
            assert disk.frozen, "the disk failed, and nothing else"
        connection.close()
        disk.thaw(random, power=True)
        connection = sqlite3.connect(folder / "x.sqlite", isolation_level=None)
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        held = [i for (i,) in connection.execute("SELECT i FROM t ORDER BY i")]
        connection.close()
    return told, held


def test_a_database_that_syncs_loses_nothing_and_is_a_prefix(tmp_path: Path) -> None:
    for seed in range(SEEDS):
        folder = tmp_path / str(seed)
        folder.mkdir()
        told, held = _rows_after_a_cut(folder, seed, "FULL")
        assert held == list(range(1, len(held) + 1))
        assert told <= len(held) <= told + 1, f"seed {seed}"


def test_a_database_that_does_not_sync_loses_some_and_is_a_prefix(tmp_path: Path) -> None:
    lost = 0
    for seed in range(SEEDS):
        folder = tmp_path / str(seed)
        folder.mkdir()
        told, held = _rows_after_a_cut(folder, seed, "NORMAL")
        assert held == list(range(1, len(held) + 1))
        lost += len(held) < told
    assert lost > SEEDS // 4, "a power cut that costs nothing tests nothing"


def test_after_a_cut_each_change_is_there_or_not_or_torn_at_a_sector(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    seen = set()
    for seed in range(200):
        Path(path).write_bytes(b"")
        pages = Pages()
        pages.opened(path)
        pages.waiting[path] = [Change(0, b"a" * 100)]
        pages.synced(path)
        pages.waiting[path] = [Change(100, b"b" * 1_000)]
        pages.cut(Random(seed))
        content = Path(path).read_bytes()
        assert content[:100] == b"a" * 100
        seen.add(content[100:].count(b"b"))
    assert {0, 1_000} < seen, "kept, lost, and something in between"
    assert seen <= {0, 412, 512, 76, 412 + 512, 412 + 76, 512 + 76, 1_000}


@pytest.mark.parametrize("synced", ["nothing", "file", "file and folder"])
def test_a_renamed_file_survives_for_certain_when_file_and_folder_were_synced(
    tmp_path: Path, synced: str
) -> None:
    left = set()
    for seed in range(40):
        root = tmp_path / str(seed)
        (root / "state").mkdir(parents=True)
        disk = Disk(root, lambda _: None)
        with disk.below():
            disk.tree.settle()
            draft = root / "state" / "draft"
            draft.write_bytes(b"content")
            _sync(draft, synced.startswith("file"))
            draft.rename(root / "state" / "place")
            _sync(root / "state", synced.endswith("folder"))
            disk.thaw(Random(seed), power=True)
            place = root / "state" / "place"
            left.add(place.read_bytes() if place.exists() else None)
    match synced:
        case "file and folder":
            assert left == {b"content"}
        case "file":
            assert left == {b"content", None}
        case _:
            assert {b"content", None, b""} < left


def _sync(path: Path, wanted: bool) -> None:
    if wanted:
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def test_a_frozen_process_changes_nothing_and_its_files_are_put_back(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "kept").write_bytes(b"before")
    disk = Disk(tmp_path, lambda _: None)
    with disk.below():
        disk.freeze("scorer")
        with pytest.raises(OSError, match="simulated"):
            (tmp_path / "state" / "kept").write_bytes(b"after")
        (tmp_path / "state" / "kept").rename(tmp_path / "state" / "new")
        with (tmp_path / "state" / "new").open("rb") as file, pytest.raises(OSError, match="simulated"):
            os.fsync(file.fileno())
        disk.thaw(Random(1), power=False)
    assert (tmp_path / "state" / "kept").read_bytes() == b"before"
    assert not (tmp_path / "state" / "new").exists()


def _bundle_written(root: Path, kind: Kind, after: int) -> tuple[Disk, list[str]]:
    """Write a bundle while a fault is on; return the disk, and what lies beside bundles afterwards."""
    disk = Disk(root, lambda _: None)
    with disk.below():
        disk.fault = Fault(kind, after)
        with pytest.raises(Unavailable, match="was not stored"):
            BundleStore(root / "bundles").write(bundle_of(1))
        disk.thaw(Random(1), power=False)
    return disk, sorted(path.relative_to(root).as_posix() for path in (root / "bundles").rglob("*"))


@pytest.mark.parametrize("after", [0, 1, 2])
@pytest.mark.parametrize("kind", ["full", "write"])
def test_a_bundle_that_has_no_room_leaves_nothing(tmp_path: Path, kind: Kind, after: int) -> None:
    disk, left = _bundle_written(tmp_path, kind, after)
    assert disk.struck[f"{kind}: bundles"] >= 1
    assert left == []


def test_a_writer_killed_in_a_bundle_leaves_what_it_wrote_under_a_name_that_is_told_again(
    tmp_path: Path,
) -> None:
    for name in ("once", "again"):
        (tmp_path / name).mkdir()
        _, left = _bundle_written(tmp_path / name, "crash", 2)
        aside = "bundles/.writing-00000001"
        names = list(bundle_of(1).files())
        assert left == sorted([aside, f"{aside}/{names[0]}", f"{aside}/{names[1]}"])
        size = (tmp_path / name / aside / names[1]).stat().st_size
        assert size == len(bundle_of(1).files()[names[1]]) // 2, "the second is half done"


@pytest.mark.parametrize("kind", ["full", "write"])
def test_a_snapshot_that_has_no_room_is_not_there(tmp_path: Path, kind: Kind) -> None:
    settings = settings_in(tmp_path)
    fold = FeatureFold(FeatureSpec.of(settings), ConflictRule.of(settings.labels))
    disk, snapshots = Disk(tmp_path, lambda _: None), Snapshots(tmp_path / "state", 2)
    with disk.below():
        for after in range(4):
            disk.fault = Fault(kind, after)
            with pytest.raises(Unavailable, match="no snapshot was written"):
                snapshots.write(fold, {"lists": Lists(("card",))})
            assert snapshots.paths() == []
        disk.fault = None
        assert snapshots.write(fold) == snapshots.paths()[0]
    assert disk.struck[f"{kind}: state"] >= 4
