"""A copy of a data folder, taken while scorer and retrainer run on it.

    1  hold the archive's files (lease), look at its tables: all up to position A
    2  hold one state of ledger and log still; both were so at one moment, or again from 1:
       the ledger did not move on while the log was taken hold of, and A reaches what the log has pruned
    3  copy the bundles that the ledger names and has not let go of, and the newest snapshot within
       the log; one gone meanwhile: again from 1
    4  copy log, ledger and archive; write the inventory, sync every folder, rename into place

What is referred to is there: the log's versions are in its ledger, the ledger's
bundles beside it, what left the log in the archive, and nothing is ahead of the
log. Nobody waits for a backup. What was acknowledged before it began is in it.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import fraud
from fraud.archive import marking
from fraud.archive.archive import Archive
from fraud.archive.table import Held
from fraud.bundle import bundle
from fraud.bundle.bundle import FILES
from fraud.bundle.folds import FOLD_FILES
from fraud.durable import make_above, sync, sync_folders
from fraud.errors import InvalidInput, NotAllowedNow, Unavailable
from fraud.eventlog.copying import Still, held_still
from fraud.eventlog.sqlite import SqliteEventLog
from fraud.eventlog.tables import LAYOUT as LOG_LAYOUT
from fraud.eventlog.tables import count_entries, last_entry, pruned_upto
from fraud.features import snapshot
from fraud.features.archive import open_archive
from fraud.registry.ledger import RegistryState
from fraud.registry.store import LAYOUT as LEDGER_LAYOUT
from fraud.registry.store import LedgerStore
from fraud.registry.upkeep import vacuumed_by
from fraud.serving.history import LATER
from fraud.serving.recovery import Snapshots
from fraud.settings import Settings
from fraud.upkeep.inventory import CONFIGURATION, DATA, NAME, Inventory, Line, as_tar, copy_file, line_of

ATTEMPTS = 20
"""Times it is tried; each takes hold of log and ledger within milliseconds."""

FORMATS = {
    LOG_LAYOUT.what: LOG_LAYOUT.version,
    LEDGER_LAYOUT.what: LEDGER_LAYOUT.version,
    "archive": marking.FORMAT,
    "feature snapshot": snapshot.FORMAT,
    "bundle": bundle.FORMAT,
}


class _MovedOn(Exception):
    """The folder changed in a way that the copy would not agree with itself."""


@dataclass(frozen=True, slots=True)
class _State:
    """Log and ledger as they stood at one moment, and what the ledger folds to."""

    log: Still
    ledger: Still
    registry: RegistryState


def back_up(settings: Settings, configuration: Path, target: Path, *, now_us: int) -> Inventory:
    """Copy the data folder of a service to `target`, a folder, or one file when it ends in `.tar`.

    Durable on return; whole or not there at all; for its owner's eyes only, whatever the umask.
    `now_us` is the wall's time.

    Raises:
        NotAllowedNow: `target` is there already.
        InvalidInput: `target` lies in the data folder.
        NotFound: nothing has run on the data folder yet.
        Unavailable: a file cannot be written, or the folder never stood still for a moment.
        Damaged: a file of the data folder cannot be read.
    """
    target = target.absolute()
    if target.exists():
        raise NotAllowedNow(f"{target}: is there already; name a new place for each backup")
    if target.resolve().is_relative_to(settings.data_dir.resolve()):
        raise InvalidInput(
            "target",
            f"{target} lies in the data folder",
            "name a place on another disk, or at least beside it",
        )
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        make_above(target)
        inventory = _try(settings, configuration, aside, now_us)
        if target.suffix == ".tar":
            draft = aside.with_name(f"{aside.name}.tar")
            with contextlib.ExitStack() as stack:
                stack.callback(draft.unlink, missing_ok=True)
                as_tar(aside, draft, inventory)
                draft.rename(target)
        else:
            sync_folders(aside)
            aside.rename(target)
        sync(target.parent)
    except OSError as error:
        raise Unavailable(f"{target}: was not written ({error}); check disk space and permissions") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return inventory


def _try(settings: Settings, configuration: Path, aside: Path, now_us: int) -> Inventory:
    archive = open_archive(settings)
    why = ""
    for _ in range(ATTEMPTS):
        shutil.rmtree(aside, ignore_errors=True)
        # For the owner's eyes only before anything is in it: log, tokens, configuration.
        aside.mkdir(mode=0o700)
        (aside / DATA).mkdir(mode=0o700)
        try:
            with archive.reading():
                return _Copy(settings, aside).make(archive, configuration, now_us)
        except _MovedOn as moved:
            why = str(moved)
    raise Unavailable(
        f"no agreeing copy in {ATTEMPTS} attempts: {why}; see 'fraud doctor', or try again later"
    )


class _Copy:
    """One attempt; `lines` grow as files are copied."""

    def __init__(self, settings: Settings, aside: Path) -> None:
        self._settings = settings
        self._places = settings.places
        self._aside = aside
        self._lines: list[Line] = []

    def make(self, archive: Archive, configuration: Path, now_us: int) -> Inventory:
        """Copy everything and write the inventory.

        Raises:
            _MovedOn: the folder changed; begin again.
        """
        held = archive.held()
        with self._still(held) as state:
            bundles = self._bundles(state.registry)
            snapshot_at = self._snapshot(last_entry(state.log.connection)[0])
            self._sqlite(state.log, self._places.log)
            self._sqlite(state.ledger, self._places.ledger)
            later = self._settings.data_dir / LATER
            for path in (*held.files, *([later] if later.is_file() else [])):
                self._file(path)
            with configuration.open("rb") as file:
                self._lines.append(copy_file(file, self._aside / CONFIGURATION, CONFIGURATION))
            inventory = self._inventory(state, held, bundles, snapshot_at, now_us)
        with (self._aside / NAME).open("x", encoding="utf-8") as written:
            written.write(inventory.to_json())
            written.flush()
            os.fsync(written.fileno())
        return inventory

    def _inventory(
        self, state: _State, held: Held, bundles: list[str], snapshot_at: int, now_us: int
    ) -> Inventory:
        log = SqliteEventLog(self._places.log, state.log.connection, writable=False, durability="fsync")
        return Inventory(
            release=fraud.__version__,
            made_at_us=now_us,
            service=self._settings.service.name,
            formats=FORMATS,
            log_first=log.first(),
            log_head=log.head(),
            log_entries=count_entries(state.log.connection),
            ledger_head=state.registry.seq,
            ledger_hash=state.registry.last_hash,
            archive_position=held.position,
            archive_rows=self._copied_archive().rows(),
            bundles=tuple(bundles),
            snapshot=snapshot_at,
            files=tuple(sorted(self._lines, key=lambda line: line.path)),
        )

    @contextlib.contextmanager
    def _still(self, held: Held) -> Iterator[_State]:
        """Hold one state of ledger and log still.

        Raises:
            _MovedOn: the ledger was written to in between, or the log is pruned beyond the archive.
        """
        places = self._places
        with (
            contextlib.closing(LedgerStore.open(places.ledger, writable=False)) as now,
            held_still(places.ledger, LEDGER_LAYOUT) as ledger,
            held_still(places.log, LOG_LAYOUT) as log,
        ):
            store = LedgerStore(places.ledger, ledger.connection)
            if now.head() != store.head():
                raise _MovedOn(f"{places.ledger} is written to all the time")
            pruned = pruned_upto(log.connection)[0]
            if pruned > held.position:
                raise _MovedOn(f"{places.log} is pruned up to {pruned}, archived up to {held.position}")
            yield _State(log, ledger, store.state())

    def _copied_archive(self) -> Archive:
        folder = self._aside / DATA / self._places.archive.name
        return open_archive(self._settings, folder)

    def _bundles(self, ledger: RegistryState) -> list[str]:
        """Copy every bundle that the ledger has not let go of; return the digests."""
        held = [it for it in ledger.versions.values() if not vacuumed_by(ledger, it)]
        digests = sorted({version.digest for version in held})
        for digest in digests:
            place = self._places.bundles / digest
            for name in (*FILES, *(name for name in FOLD_FILES if (place / name).exists())):
                self._file(place / name)
        return digests

    def _snapshot(self, head: int) -> int:
        """Copy the newest snapshot up to `head` and what folds beside it; return its position, 0 for none."""
        snapshots = Snapshots(self._places.state, self._settings.log.snapshots_kept)
        for path in snapshots.paths():
            number = path.stem.rpartition("-")[2]
            if int(number) > head:
                continue
            for each in sorted(self._places.state.glob(f"*-{number}.*")):
                if each.suffix in (".npz", ".json"):
                    self._file(each)
            return int(number)
        return 0

    def _file(self, path: Path) -> None:
        name = f"{DATA}/{path.relative_to(self._settings.data_dir).as_posix()}"
        try:
            source = path.open("rb")
        except FileNotFoundError:
            raise _MovedOn(f"{path} is missing") from None
        with source:
            self._lines.append(copy_file(source, self._aside / name, name))

    def _sqlite(self, state: Still, path: Path) -> None:
        name = f"{DATA}/{path.name}"
        state.copy_to(self._aside / name)
        self._lines.append(line_of(self._aside / name, name))
