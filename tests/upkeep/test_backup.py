"""A backup agrees with itself whatever runs beside it, and a restore finds every bit that is wrong."""

import json
import os
import shutil
import sqlite3
import tarfile
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

import fraud
from fraud.cli.main import run
from fraud.errors import Damaged, FraudError, InvalidInput, NotAllowedNow, NotFound, OtherFormat, Unavailable
from fraud.eventlog.folder import open_log
from fraud.registry.store import LedgerStore
from fraud.serving.history import LATER
from fraud.settings import Settings, load_settings
from fraud.upkeep.backup import back_up
from fraud.upkeep.inventory import NAME, Inventory
from fraud.upkeep.restoring import restore
from tests.archive.test_power import Books
from tests.golden.test_golden import HERE, RELEASES
from tests.simulation.power import Tree
from tests.waiting import wait_until

NOW_US = 1_800_000_000_000_000


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A small folder with one of everything, at rest."""
    return at_rest(fraud.__version__, tmp_path / "service")


def at_rest(release: str, folder: Path) -> Settings:
    """Copy what a release wrote."""
    shutil.copytree(HERE / release, folder)
    return load_settings(folder / "fraud.toml", {})


def made(settings: Settings, target: Path) -> Inventory:
    return back_up(settings, settings.data_dir.parent / "fraud.toml", target, now_us=NOW_US)


@pytest.mark.parametrize("name", ["backup", "backup.tar"])
def test_what_was_backed_up_comes_back(name: str, settings: Settings, tmp_path: Path) -> None:
    inventory = made(settings, tmp_path / name)
    restored = restore(settings, tmp_path / name, tmp_path / "again", verify=True)
    assert restored.inventory == inventory
    assert restored.bundles_tested == 1
    assert 0 < restored.transactions_replayed < inventory.log_head, "the tail behind the snapshot"
    for line in inventory.files:
        if line.path.startswith("data/archive"):
            original = settings.data_dir / line.path.removeprefix("data/")
            assert (
                tmp_path / "again" / line.path.removeprefix("data/")
            ).read_bytes() == original.read_bytes()
    text = (tmp_path / "service" / "fraud.toml").read_text().replace('"data"', f'"{tmp_path / "again"}"')
    (tmp_path / "again.toml").write_text(text)
    assert run(["--config", str(tmp_path / "again.toml"), "replay"]) == 0
    assert run(["--config", str(tmp_path / "again.toml"), "doctor"]) == 0


def test_labels_of_an_import_that_are_not_due_come_along(settings: Settings, tmp_path: Path) -> None:
    (settings.data_dir / LATER).write_text("labels")
    made(settings, tmp_path / "b.tar")
    restore(settings, tmp_path / "b.tar", tmp_path / "again", verify=False)
    assert (tmp_path / "again" / LATER).read_text() == "labels"


def test_nothing_is_left_beside_a_backup_or_a_restore(settings: Settings, tmp_path: Path) -> None:
    made(settings, tmp_path / "b.tar")
    restore(settings, tmp_path / "b.tar", tmp_path / "again", verify=True)
    assert {path.name for path in tmp_path.iterdir()} == {"service", "b.tar", "again"}
    names = {path.name for path in (tmp_path / "again").iterdir()}
    assert names == {"events.sqlite", "registry.sqlite", "archive", "bundles", "state"}


def test_every_file_of_a_backup_is_guarded(settings: Settings, tmp_path: Path) -> None:
    inventory = made(settings, tmp_path / "b")
    for line in inventory.files:
        if not line.path.startswith("data/"):
            continue
        path = tmp_path / "b" / line.path
        sound = path.read_bytes()
        middle = len(sound) // 2
        path.write_bytes(sound[:middle] + bytes([sound[middle] ^ 1]) + sound[middle + 1 :])
        with pytest.raises(Damaged, match="the inventory says"):
            restore(settings, tmp_path / "b", tmp_path / "again", verify=False)
        path.write_bytes(sound[:-1])
        with pytest.raises(Damaged, match="the inventory says"):
            restore(settings, tmp_path / "b", tmp_path / "again", verify=False)
        path.unlink()
        with pytest.raises(Damaged, match="cannot be read"):
            restore(settings, tmp_path / "b", tmp_path / "again", verify=False)
        path.write_bytes(sound)
    assert not (tmp_path / "again").exists()
    restore(settings, tmp_path / "b", tmp_path / "again", verify=True)


def forged(settings: Settings, tmp_path: Path, statement: str, name: str = "events.sqlite") -> Path:
    """A backup whose inventory fits a changed SQLite file: made by somebody who knows how."""
    with closing(sqlite3.connect(settings.data_dir / name)) as connection:
        connection.execute(statement)
        connection.commit()
    made(settings, tmp_path / "b")
    return tmp_path / "b"


def test_a_feature_that_is_not_what_the_fold_gives_is_found(settings: Settings, tmp_path: Path) -> None:
    with closing(sqlite3.connect(settings.places.log)) as connection:
        query = "SELECT position, body FROM entries WHERE kind = 1 ORDER BY position DESC LIMIT 1"
        position, body = connection.execute(query).fetchone()
    entry = open_log(settings)
    with closing(entry) as log:
        event = log.read(position - 1, 1)[0].event
    features = event.features  # type: ignore[union-attr]
    changed = bytes([features[0] ^ 1]) + features[1:]
    assert body.count(features) == 1
    with closing(sqlite3.connect(settings.places.log)) as connection:
        replaced = body.replace(features, changed)
        connection.execute("UPDATE entries SET body = ? WHERE position = ?", (replaced, position))
        connection.commit()
    made(settings, tmp_path / "b")
    restore(settings, tmp_path / "b", tmp_path / "unseen", verify=False)
    with pytest.raises(Damaged, match=f"position {position}, .* when replayed"):
        restore(settings, tmp_path / "b", tmp_path / "again", verify=True)


def test_a_broken_chain_is_found(settings: Settings, tmp_path: Path) -> None:
    place = forged(settings, tmp_path, "UPDATE ledger SET reason = 'other'", "registry.sqlite")
    with pytest.raises(Damaged, match="ledger entry 1 is damaged"):
        restore(settings, place, tmp_path / "again", verify=False)


def test_a_missing_entry_is_found(settings: Settings, tmp_path: Path) -> None:
    made(settings, tmp_path / "b")
    inventory = json.loads((tmp_path / "b" / NAME).read_text())
    inventory["log_entries"] += 1
    (tmp_path / "b" / NAME).write_text(json.dumps(inventory))
    with pytest.raises(Damaged, match="event log"):
        restore(settings, tmp_path / "b", tmp_path / "again", verify=False)


def test_a_backup_from_before_a_table_of_the_archive_comes_back(tmp_path: Path) -> None:
    settings = at_rest(RELEASES[0], tmp_path / "service")
    made(settings, tmp_path / "b")
    inventory = json.loads((tmp_path / "b" / NAME).read_text())
    assert inventory["archive_rows"].pop("headings") == 0
    (tmp_path / "b" / NAME).write_text(json.dumps(inventory))
    restore(settings, tmp_path / "b", tmp_path / "again", verify=False)


def test_a_later_format_of_a_part_is_refused_by_name(settings: Settings, tmp_path: Path) -> None:
    made(settings, tmp_path / "b")
    text = (tmp_path / "b" / NAME).read_text()
    (tmp_path / "b" / NAME).write_text(text.replace('"format": 1', '"format": 99'))
    with pytest.raises(OtherFormat, match="has format 99 of the backup"):
        restore(settings, tmp_path / "b", tmp_path / "again", verify=False)


@pytest.mark.parametrize("path", ["../outside", "data/../../outside", "/etc/outside", "data//x", ""])
def test_an_inventory_that_points_elsewhere_is_refused(path: str, settings: Settings, tmp_path: Path) -> None:
    made(settings, tmp_path / "b")
    inventory = json.loads((tmp_path / "b" / NAME).read_text())
    inventory["files"][-1]["path"] = path
    (tmp_path / "b" / NAME).write_text(json.dumps(inventory))
    with pytest.raises(Damaged, match="no file of a backup"):
        restore(settings, tmp_path / "b", tmp_path / "again", verify=False)


def test_places_that_are_taken_or_unwise_are_refused(settings: Settings, tmp_path: Path) -> None:
    made(settings, tmp_path / "b")
    with pytest.raises(NotAllowedNow, match="is there already"):
        made(settings, tmp_path / "b")
    with pytest.raises(InvalidInput, match="lies in the data folder"):
        made(settings, settings.data_dir / "b")
    with pytest.raises(NotAllowedNow, match="holds something"):
        restore(settings, tmp_path / "b", settings.data_dir, verify=False)
    with pytest.raises(NotFound, match="no backup there"):
        restore(settings, tmp_path / "nothing", tmp_path / "again", verify=False)
    (tmp_path / "text.tar").write_text("no tar")
    with pytest.raises(Damaged, match="is no backup"):
        restore(settings, tmp_path / "text.tar", tmp_path / "again", verify=False)


def test_boosters_of_folds_are_copied_with_their_bundle(settings: Settings, tmp_path: Path) -> None:
    (bundle,) = settings.places.bundles.iterdir()
    (bundle / "without-0.ubj").write_bytes(b"fitted without the first fold")
    copied = {line.path for line in made(settings, tmp_path / "backup").files}
    assert f"data/bundles/{bundle.name}/without-0.ubj" in copied


def test_a_bundle_that_is_gone_for_good_is_named(settings: Settings, tmp_path: Path) -> None:
    (digest,) = (path.name for path in settings.places.bundles.iterdir())
    shutil.rmtree(settings.places.bundles / digest)
    with pytest.raises(Unavailable, match=f"{digest}.* is missing"):
        made(settings, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_a_backup_taken_while_the_ledger_grows_holds_one_state_of_it(
    settings: Settings, tmp_path: Path
) -> None:
    stopping, failures = threading.Event(), []

    def write() -> None:
        store = LedgerStore.open(settings.places.ledger)
        with closing(store):
            while not stopping.wait(0.002):
                try:
                    body = {"model": "card", "on": True}
                    store.append("ExplorationSwitched", body, actor="a", reason="r", time_us=1)
                except FraudError as error:
                    failures.append(error)
                    return

    def head() -> int:
        with closing(LedgerStore.open(settings.places.ledger, writable=False)) as store:
            return store.head()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        found = []
        for i in range(3):
            found.append(made(settings, tmp_path / f"b{i}"))
            wait_until(lambda: failures or head() > found[-1].ledger_head, "an entry more")
    finally:
        stopping.set()
        thread.join()
    assert not failures
    assert found[0].ledger_head < found[2].ledger_head, "it did grow"
    for i, inventory in enumerate(found):
        restored = restore(settings, tmp_path / f"b{i}", tmp_path / f"r{i}", verify=False)
        assert restored.inventory.ledger_hash == inventory.ledger_hash


def test_the_command_line_backs_up_and_restores(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--config", str(settings.data_dir.parent / "fraud.toml"), "--output", "json"]
    assert run([*options, "backup", str(tmp_path / "b.tar")]) == 0
    told = json.loads(capsys.readouterr().out)
    with tarfile.open(tmp_path / "b.tar") as tar:
        assert len(tar.getnames()) == told["files"] + 1
    assert run([*options, "restore", str(tmp_path / "b.tar"), "--into", str(tmp_path / "r"), "--verify"]) == 0
    assert json.loads(capsys.readouterr().out)["transactions_replayed"] > 0
    assert run([*options, "backup", str(tmp_path / "b.tar")]) == 1


def test_a_backup_and_a_restored_folder_are_for_their_owner_only(settings: Settings, tmp_path: Path) -> None:
    former = os.umask(0)
    try:
        made(settings, tmp_path / "b")
        made(settings, tmp_path / "b.tar")
        restore(settings, tmp_path / "b.tar", tmp_path / "again", verify=False)
    finally:
        os.umask(former)
    modes = {name: (tmp_path / name).stat().st_mode & 0o777 for name in ("b", "b.tar", "again")}
    assert modes == {"b": 0o700, "b.tar": 0o600, "again": 0o700}
    with tarfile.open(tmp_path / "b.tar") as tar:
        assert {member.mode for member in tar} == {0o600}


def contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def after_a_cut(root: Path, seed: int, work: Callable[[], object]) -> dict[Path, bytes]:
    """Do work that makes `root/new` and cut the power; return what that held before."""
    root.mkdir()
    tree = Tree(root, ("new",))
    with Books(tree).kept():
        tree.settle()
        work()
    before = contents(root / "new")
    tree.cut(Random(seed))
    tree.forget()
    return before


@pytest.mark.parametrize("name", ["b", "b.tar"])
@pytest.mark.parametrize("seed", range(3))
def test_a_backup_and_a_restore_that_ended_outlive_a_power_cut(
    name: str, seed: int, settings: Settings, tmp_path: Path
) -> None:
    place = tmp_path / "backups" / "new" / name
    before = after_a_cut(tmp_path / "backups", seed, lambda: made(settings, place))
    assert contents(tmp_path / "backups" / "new") == before != {}
    into = tmp_path / "disk" / "new" / "again"
    before = after_a_cut(tmp_path / "disk", seed, lambda: restore(settings, place, into, verify=False))
    assert contents(tmp_path / "disk" / "new") == before != {}
