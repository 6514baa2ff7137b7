"""What the scoring process holds on disk, and its clock; opened together, in the order of a start.

event log → archive and snapshots, neither ahead of it → registry ledger, its chain verified → bundles
"""

from dataclasses import dataclass
from typing import Self

from fraud.archive.archive import Archive
from fraud.bundle.store import BundleStore
from fraud.clock import Clock, LogClock, WallClock
from fraud.eventlog.entity_key import EntityKey
from fraud.eventlog.sqlite import SqliteEventLog
from fraud.features.archive import open_archive
from fraud.features.spec import heading_of
from fraud.registry.store import LedgerStore
from fraud.registry.view import Registry
from fraud.serving.recovery import Snapshots, check_nothing_ahead
from fraud.settings import Settings


@dataclass(frozen=True, slots=True)
class Stores:
    """The stores of one data folder, open, with the clock that tells what comes in now."""

    clock: Clock
    log: SqliteEventLog
    archive: Archive
    snapshots: Snapshots
    registry: Registry
    bundles: BundleStore

    @classmethod
    def open(cls, settings: Settings, clock: Clock | None = None) -> Self:
        """Open what the settings name; without a `clock` also the one they name.

        Raises:
            ConfigError: the log was made for another schema, entity key or base currency.
            Damaged: ledger or log are not what was written, or the log ends before what was made of it.
            Unavailable: a file cannot be opened.
        """
        places = settings.places
        if clock is None:
            clock = WallClock() if settings.service.clock == "wall" else LogClock()
        log = SqliteEventLog.open(
            places.log,
            writable=True,
            entity_names=settings.schema_.entity_names,
            durability=settings.log.durability,
        )
        try:
            log.hold_to_key(EntityKey.of(settings).fingerprint)
            log.hold_to_currency(settings.service.currency)
            log.hold_to_heading(heading_of(settings))
            archive = open_archive(settings)
            snapshots = Snapshots(places.state, settings.log.snapshots_kept)
            check_nothing_ahead(log, archive, snapshots)
            clock.observe(log.last_arrival_us())
            registry = Registry(LedgerStore.open(places.ledger))
            try:
                registry.store.verify()
                registry.refresh()
            except BaseException:
                registry.store.close()
                raise
        except BaseException:
            log.close()
            raise
        return cls(
            clock=clock,
            log=log,
            archive=archive,
            snapshots=snapshots,
            registry=registry,
            bundles=BundleStore(places.bundles),
        )

    def close(self) -> None:
        """Close the files."""
        self.log.close()
        self.registry.store.close()
