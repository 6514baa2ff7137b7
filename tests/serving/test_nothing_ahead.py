"""What is durable is never ahead of the log, and a log that ends before it is refused with the remedy."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fraud.errors import Damaged
from fraud.retrainer.daemon import open_workshop
from fraud.serving.history import import_history
from fraud.serving.stores import Stores
from fraud.settings import Settings, load_settings
from tests.cli.test_doctor import doctor
from tests.serving import test_history
from tests.serving.test_recovery import Inside, inside
from tests.serving.worlds import Stream, settings_in

LAZY = {"FRAUD__LOG__DURABILITY": "process"}
Synced = list[tuple[Path, int]]


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> Synced:
    """Every file and folder that the service has synced, in order, with its bytes then."""
    found: Synced = []
    sync = os.fsync

    def noting(handle: int) -> None:
        found.append((Path(f"/proc/self/fd/{handle}").readlink(), os.fstat(handle).st_size))
        sync(handle)

    monkeypatch.setattr(os, "fsync", noting)
    return found


def archived(here: Inside) -> int:
    shop = open_workshop(here.process.settings)
    try:
        return shop.copy()
    finally:
        shop.log.close()
        shop.registry.store.close()


def snapshotted(here: Inside) -> int:
    here.process.keeper.snapshot_now()
    return here.process.snapshots.newest_position()


@pytest.mark.parametrize("made", [archived, snapshotted])
def test_nothing_durable_is_ahead_of_a_log_that_leaves_its_commits_to_the_system(
    tmp_path: Path, synced: Synced, made: Callable[[Inside], int]
) -> None:
    settings, stream = settings_in(tmp_path, **LAZY), Stream(seed=8)
    left = tmp_path / "left"

    async def until_the_power_is_cut(here: Inside) -> None:
        await here.score(stream, 60)
        synced.clear()
        assert made(here) == 60
        await here.score(stream, 40)
        shutil.copytree(settings.data_dir, left / "data", ignore=shutil.ignore_patterns("*-shm", "*.lock"))
        wal = settings.places.log.with_name("events.sqlite-wal")
        durable = max((size for path, size in synced if path == wal), default=0)
        os.truncate(left / "data" / wal.name, durable)

    inside(settings, until_the_power_is_cut)
    stores = Stores.open(settings_in(left, **LAZY))
    assert (stores.log.head(), max(stores.archive.position(), stores.snapshots.newest_position())) == (60, 60)
    stores.close()


def test_an_imported_log_is_synced_before_its_snapshot(tmp_path: Path, synced: Synced) -> None:
    test_history.configured(tmp_path)
    settings = load_settings(tmp_path / "fraud.toml", LAZY)
    import_history(settings, test_history.made(tmp_path, seed=8)[0])
    paths = [path for path, _ in synced]
    first = next(i for i, path in enumerate(paths) if path.is_relative_to(settings.places.state))
    assert settings.places.log.with_name("events.sqlite-wal") in paths[:first]


@pytest.fixture
def older(tmp_path: Path) -> Settings:
    """A data folder whose log ends at 60, while archive and snapshot go up to 100."""
    settings, stream = settings_in(tmp_path), Stream(seed=9)

    async def first(here: Inside) -> None:
        await here.score(stream, 60)

    async def then(here: Inside) -> None:
        await here.score(stream, 40)
        here.process.archive.copy_from(here.process.log)
        here.process.keeper.snapshot_now()

    inside(settings, first)
    shutil.copy(settings.places.log, tmp_path / "older")
    inside(settings, then)
    (tmp_path / "older").replace(settings.places.log)
    return settings


def test_a_log_that_ends_before_its_archive_or_snapshot_is_refused(older: Settings, tmp_path: Path) -> None:
    with pytest.raises(Damaged, match=r"ends at 60, .* the archive reaches 100: move the folder archive out"):
        Stores.open(older)
    older.places.archive.rename(tmp_path / "archive")
    with pytest.raises(Damaged, match=r"ends at 60, .* a snapshot stands at 100: move the folder state out"):
        Stores.open(older)
    older.places.state.rename(tmp_path / "state")
    stores = Stores.open(older)
    assert stores.archive.copy_from(stores.log) == 60
    stores.log.prune(10, 2**62)
    stores.close()
    shutil.rmtree(older.places.archive)
    (tmp_path / "archive").rename(older.places.archive)
    with pytest.raises(Damaged, match="the archive reaches 100: restore the data folder from a backup"):
        Stores.open(older)


@pytest.mark.usefixtures("older")
def test_the_doctor_names_what_is_ahead(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, found = doctor(tmp_path / "fraud.toml", capsys)
    assert (status, found["log"][0]["state"], found["snapshot"][0]["state"]) == (1, "fail", "fail")
    assert "one stands at 100, the log ends at 60" in found["snapshot"][0]["text"]


def test_no_history_goes_before_the_archive_of_another_log(older: Settings, tmp_path: Path) -> None:
    older.places.log.unlink()
    settings = test_history.configured(tmp_path)
    path, _ = test_history.made(tmp_path, seed=9)
    with pytest.raises(Damaged, match=r"ends at 0, .* the archive reaches 100"):
        import_history(settings, path)
    shutil.rmtree(older.places.archive)
    shutil.rmtree(older.places.state)
    import_history(settings, path)
