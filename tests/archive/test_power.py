"""The archive over power cuts: what it was relied upon for is there, and what was torn is copied anew."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest

from fraud.archive import Archive, mending
from fraud.archive.mending import added_by, mend
from fraud.errors import Unavailable
from fraud.eventlog import MemoryEventLog
from tests.archive.history import FEATURES, HEADING, SCHEMA, history
from tests.eventlog.events import same_entries
from tests.simulation.power import Tree

SEEDS = 8
RESTING = timedelta(days=7)


class Books:
    """Stands between `os.fsync` and the system: notes what was synced, and fails when told to."""

    def __init__(self, tree: Tree | None = None) -> None:
        self.synced: set[Path] = set()
        self.failing = False
        self._tree = tree

    def fsync(self, handle: int) -> None:
        if self.failing:
            raise OSError(5, "simulated: input/output error")
        self.synced.add(Path(f"/proc/self/fd/{handle}").readlink())
        if self._tree is not None:
            self._tree.synced(handle)

    @contextmanager
    def kept(self) -> Iterator[None]:
        former = os.fsync
        os.fsync = self.fsync  # type: ignore[assignment]
        try:
            yield
        finally:
            os.fsync = former


def opened(root: Path) -> Archive:
    return Archive(root / "archive", SCHEMA, FEATURES)


def after_a_cut(root: Path, seed: int, *, synced: bool) -> tuple[MemoryEventLog, int]:
    """Copy, merge and secure at random, cut the power; return the log and up to where it could be pruned."""
    random, log = Random(seed), MemoryEventLog()
    log.hold_to_heading(HEADING)
    tree = Tree(root, ("archive",))
    books = Books(tree if synced else None)
    secured = 0
    with books.kept():
        tree.settle()
        copiers = opened(root), opened(root)
        for _ in range(random.randrange(2, 8)):
            log.append(history(random.randrange(1, 60), seed, log.head()), 1, [])
            random.choice(copiers).copy_from(log, rows_max=random.choice((20, 1_000)))
            if random.random() < 0.3:
                random.choice(copiers).compact(random.choice((RESTING, timedelta(0))))
            if random.random() < 0.5:
                secured = random.choice(copiers).secure()
    tree.cut(random)
    tree.forget()
    return log, secured


def test_what_the_log_may_have_given_up_is_there_after_a_power_cut(tmp_path: Path) -> None:
    for seed in range(SEEDS):
        root = tmp_path / str(seed)
        root.mkdir()
        log, secured = after_a_cut(root, seed, synced=True)
        archive = opened(root)
        position = archive.position()
        assert position >= secured, f"seed {seed}"
        assert same_entries(list(archive.entries()), log.read(0, position)), f"seed {seed}"
        archive.copy_from(log)
        assert same_entries(list(archive.entries()), log.read(0, 10_000)), f"seed {seed}"


def test_without_syncs_a_power_cut_costs_something(tmp_path: Path) -> None:
    lost = 0
    for seed in range(SEEDS):
        root = tmp_path / str(seed)
        root.mkdir()
        log, secured = after_a_cut(root, seed, synced=False)
        try:
            archive = opened(root)
            whole = same_entries(list(archive.entries()), log.read(0, archive.position()))
            lost += not whole or archive.position() < secured
        except Exception:  # noqa: BLE001 — what a torn table raises is of many kinds
            lost += 1
    assert lost > SEEDS // 4, "a power cut that costs nothing tests nothing"


def test_every_file_of_the_version_is_synced_before_it_is_relied_upon(tmp_path: Path) -> None:
    log = MemoryEventLog()
    log.append(history(200, seed=4), 1, [])
    opened(tmp_path).copy_from(log)
    opened(tmp_path).compact(RESTING)
    books = Books()
    with books.kept():
        archive = opened(tmp_path)
        assert archive.secure() == 200
        held = set(archive.held().files)
        folders = {path.parent for path in held}
        assert (held | folders) - books.synced - {tmp_path / "archive" / "format.json"} == set()
        assert {path.suffix for path in held} >= {".json", ".parquet"}
        books.synced.clear()
        archive.secure()
        assert books.synced == set(), "what was synced is not synced again"
        log.append(history(5, 4, 200), 1, [])
        archive.copy_from(log)
        data = {path for path in books.synced if path.suffix == ".parquet"}
        assert data == set(archive.held().files) - held - {it for it in books.synced if it.suffix == ".json"}


def test_a_file_that_cannot_be_opened_for_a_moment_is_synced_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = MemoryEventLog()
    log.append(history(50, seed=4), 1, [])
    archive = opened(tmp_path)
    archive.copy_from(log)
    log.append(history(50, 4, 50), 1, [])
    with monkeypatch.context() as crowded:

        def refuse(path: object, *_: object) -> int:
            raise OSError(errno.EMFILE, "simulated: too many open files", str(path))

        within = SimpleNamespace(open=refuse, fsync=os.fsync, close=os.close, O_RDONLY=os.O_RDONLY)
        crowded.setattr("fraud.durable.os", within)
        with pytest.raises(Unavailable, match=r"cannot be made durable.*too many open files"):
            archive.copy_from(log)
    assert archive.copy_from(log) == archive.secure() == 100


def test_a_copy_whose_files_cannot_be_synced_is_relied_upon_by_nobody(tmp_path: Path) -> None:
    log, books = MemoryEventLog(), Books()
    log.append(history(50, seed=4), 1, [])
    archive = opened(tmp_path)
    archive.copy_from(log)
    log.append(history(50, 4, 50), 1, [])
    with books.kept():
        books.failing = True
        with pytest.raises(Unavailable, match="cannot be made durable"):
            archive.copy_from(log)
        # The system may have dropped what it could not write, and says so once.
        books.failing = False
        with pytest.raises(Unavailable, match="could not be synced earlier"):
            archive.secure()


@pytest.mark.parametrize("torn", ["empty", "half", "zeros", "data", "checkpoint"])
def test_a_torn_end_is_set_aside_and_copied_anew(tmp_path: Path, torn: str) -> None:
    log, archive = MemoryEventLog(), opened(tmp_path)
    for _ in range(51):  # a checkpoint comes with the fiftieth
        log.append(history(2, 4, log.head()), 1, [])
        archive.copy_from(log)
    folder = tmp_path / "archive" / "transactions"
    before = set(archive.held().files)
    log.append(history(9, 4, log.head()), 1, [])
    archive.copy_from(log)
    newest = max((folder / "_delta_log").glob("*.json"))
    content = newest.read_bytes()
    match torn:
        case "empty":
            newest.write_bytes(b"")
        case "half":
            newest.write_bytes(content[: len(content) // 2])
        case "zeros":
            newest.write_bytes(bytes(len(content)))
        case "data":
            (data,) = (it for it in set(archive.held().files) - before if it.parent == folder)
            data.write_bytes(b"")
        case _:
            (checkpoint,) = (folder / "_delta_log").glob("*.checkpoint.parquet")
            checkpoint.write_bytes(bytes(99))
    fresh = opened(tmp_path)
    assert fresh.position() == (log.head() if torn == "checkpoint" else log.head() - 9)
    assert list((folder / "_delta_log").glob("*.torn"))
    assert mend(folder) == []
    fresh.copy_from(log)
    assert same_entries(list(fresh.entries()), log.read(0, 10_000))


def test_files_that_a_later_commit_removed_are_no_sign_of_a_torn_one(tmp_path: Path) -> None:
    log, archive = MemoryEventLog(), opened(tmp_path)
    for _ in range(3):
        log.append(history(20, 4, log.head()), 1, [])
        archive.copy_from(log)
    archive.compact(timedelta(0))
    assert mend(tmp_path / "archive" / "transactions") == []
    assert opened(tmp_path).position() == log.head()


def test_a_commit_missing_between_others_takes_along_what_came_after(tmp_path: Path) -> None:
    log, archive = MemoryEventLog(), opened(tmp_path)
    for _ in range(3):
        log.append(history(20, 9, log.head()), 1, [])
        archive.copy_from(log)
    *_, lost, newest = sorted((tmp_path / "archive" / "transactions" / "_delta_log").glob("*.json"))
    lost.unlink()
    again = opened(tmp_path)
    assert again.position() == 20
    assert newest.with_name(f"{newest.name}.torn").is_file()
    assert again.copy_from(log) == 60
    assert same_entries(list(again.entries()), log.read(0, 10_000))


def test_a_commit_that_is_cleaned_up_while_it_is_looked_at_is_not_torn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Delta deletes commits that a checkpoint stands for; whoever has listed them before finds them gone."""
    folder = tmp_path / "transactions"
    log = folder / "_delta_log"
    log.mkdir(parents=True)
    for version in range(3):
        (log / f"{version:020d}.json").write_text('{"metaData": {}}\n')
    listed, looks = mending._commits, 0

    def then_cleaned_up(place: Path) -> list[Path]:
        nonlocal looks
        looks += 1
        found = listed(place)
        if looks == 1:
            found[0].unlink()
        return found

    monkeypatch.setattr(mending, "_commits", then_cleaned_up)
    assert mend(folder) == []
    assert looks > 1
    assert not list(log.glob("*.torn"))
    assert added_by(log / f"{0:020d}.json") == []
