"""Makes a data folder of a backup, or says what is wrong with it.

    every file, its SHA-256 ─► aside ─► formats · pages · chain of hashes · counts · bundles' digests
                                            └─ verify: bundles' self-tests, features of the tail replayed
                                        ─► every folder synced, renamed into place

Nothing is at its place before all of it holds. The folder a backup goes into
must not hold anything.
"""

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fraud.archive.archive import Archive
from fraud.bundle.store import BundleStore
from fraud.durable import make_above, sync, sync_folders
from fraud.errors import Damaged, NotAllowedNow, Unavailable
from fraud.eventlog.connection import Layout
from fraud.eventlog.copying import check_pages, held_still
from fraud.eventlog.folder import open_log
from fraud.eventlog.sqlite import SqliteEventLog
from fraud.eventlog.tables import LAYOUT as LOG_LAYOUT
from fraud.eventlog.tables import count_entries
from fraud.features.archive import open_archive
from fraud.features.difference import Comparison
from fraud.features.fold import FeatureFold
from fraud.features.spec import FeatureSpec
from fraud.labels.standing import ConflictRule
from fraud.records import Entry
from fraud.registry.store import LAYOUT as LEDGER_LAYOUT
from fraud.registry.store import LedgerStore
from fraud.serving.recovery import Snapshots, catch_up
from fraud.settings import Settings
from fraud.settings.places import Places
from fraud.upkeep.inventory import BROKEN_TAR, DATA, Inventory, Source, copy_file, opened


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored and how far it was looked at; without `verify` nothing was replayed.

    Left out is what was logged under another set of features than the configuration's.
    """

    inventory: Inventory
    bundles_tested: int
    transactions_replayed: int
    transactions_left_out: int


def restore(settings: Settings, source: Path, into: Path, *, verify: bool) -> Restored:
    """Make a data folder `into` of the backup at `source`; durable and checked on return.

    `settings` are those the service will run with. `verify` also runs the
    self-test of every bundle, and replays what the log holds behind the
    snapshot (without one: everything) and compares it with what was logged.

    Raises:
        NotAllowedNow: `into` is not empty.
        NotFound: there is no backup at `source`.
        OtherFormat: a part of it has a format that this release does not read.
        Damaged: it is not what was backed up; nothing was restored.
        ConfigError: it is of a service with another schema.
        Unavailable: it cannot be written.
    """
    into = into.absolute()
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise NotAllowedNow(f"{into}: holds something; restore into a new folder, then point data_dir there")
    aside = into.with_name(f".{into.name}.{os.getpid()}")
    try:
        with opened(source) as (inventory, files):
            make_above(into)
            aside.mkdir(mode=0o700)
            copy_all(inventory, files, aside, str(source))
        restored = _check(settings, inventory, aside, verify=verify)
        if into.exists():
            into.rmdir()
        sync_folders(aside)
        aside.rename(into)
        sync(into.parent)
    except OSError as error:
        raise Unavailable(f"{into}: was not written ({error}); check disk space and permissions") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return restored


def copy_all(inventory: Inventory, files: Source, aside: Path, where: str) -> None:
    """Copy every file of the data folder to `aside`, each as long and of the digest that the inventory says.

    Raises:
        Damaged: one is missing, is no plain file, or differs.
        OSError: it cannot be written.
    """
    for line in inventory.files:
        top, _, name = line.path.partition("/")
        if top != DATA:
            continue
        try:
            with files.open(line.path) as file:
                found = copy_file(file, aside / name, line.path, line.bytes)
        except BROKEN_TAR as error:
            raise Damaged(f"{where}: {line.path} cannot be read ({error}); use another backup") from error
        if found != line:
            raise Damaged(
                f"{where}: {line.path} has {found.bytes} bytes and SHA-256 {found.sha256[:12]}…, "
                f"the inventory says {line.bytes} and {line.sha256[:12]}…; use another backup"
            )


def _check(settings: Settings, inventory: Inventory, folder: Path, *, verify: bool) -> Restored:
    places = Places.under(folder)
    layouts: tuple[tuple[Path, Layout], ...] = ((places.log, LOG_LAYOUT), (places.ledger, LEDGER_LAYOUT))
    for path, layout in layouts:
        check_pages(path, layout)
    archive = open_archive(settings, places.archive)
    _agree("ledger", *_ledger(places, inventory))
    with held_still(places.log, LOG_LAYOUT) as still:
        counted = count_entries(still.connection)
    log = open_log(settings, places.log)
    with contextlib.closing(log):
        expected = (inventory.log_first, inventory.log_head, inventory.log_entries)
        _agree("event log (first, last, entries)", (log.first(), log.head(), counted), expected)
        told = (inventory.archive_position, inventory.archive_rows)
        # A table that there was none of yet has no rows.
        rows = {name: rows for name, rows in archive.rows().items() if rows or name in inventory.archive_rows}
        _agree("archive (position, rows)", (archive.position(), rows), told)
        bundles = BundleStore(places.bundles)
        _agree("bundles", tuple(bundles.digests()), inventory.bundles)
        for digest in inventory.bundles:
            bundle = bundles.read(digest)
            if verify:
                bundle.self_test()
        replayed = _replay(settings, places, log, archive) if verify else Comparison(())
    _sweep(folder)
    tested = len(inventory.bundles) if verify else 0
    return Restored(inventory, tested, replayed.equal, replayed.left_out)


def _ledger(places: Places, inventory: Inventory) -> tuple[tuple[int, str], tuple[int, str]]:
    with contextlib.closing(LedgerStore.open(places.ledger, writable=False)) as store:
        store.verify()
        state = store.state()
    return (state.seq, state.last_hash), (inventory.ledger_head, inventory.ledger_hash)


def _agree(what: str, found: object, told: object) -> None:
    if found != told:
        raise Damaged(f"backup: the {what} is {found}, the inventory says {told}; use another backup")


def _replay(settings: Settings, places: Places, log: SqliteEventLog, archive: Archive) -> Comparison:
    """Fold what the log holds behind the snapshot; every transaction must come out as logged."""
    spec, rule, head = FeatureSpec.of(settings), ConflictRule.of(settings.labels), log.head()
    fold = Snapshots(places.state, settings.log.snapshots_kept).latest(spec, rule, head)
    if fold is None or fold.position == head:
        fold = FeatureFold(spec, rule)
    comparison = Comparison.of(spec, log, archive)

    def judge(run: list[Entry], features: NDArray[np.float32]) -> None:
        if not comparison.take(run, features):
            raise Damaged(f"backup: {comparison.first}; use another backup")

    catch_up(fold, log, archive, head, follow=True, judge=judge)
    return comparison


def _sweep(folder: Path) -> None:
    """Remove what looking at it has left behind: SQLite's shared memory, the lease of the archive."""
    for pattern in ("*-shm", "*-wal", "archive/*.lock"):
        for path in folder.glob(pattern):
            path.unlink()
