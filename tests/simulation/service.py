"""Both processes of the service inside this one: real stores over a `Disk`, real threads taken in turn.

    scorer      `ScoringProcess` with its batcher and follower; no gRPC in front
    retrainer   `Workshop` on a thread of its own; recipes are fitted in that thread instead of on Ray

Each call is waited for before the next one begins, so a schedule has one order of events.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import polars as pl
from deltalake import DeltaTable

from fraud.archive.archive import Archive
from fraud.archive.table import Table
from fraud.bundle.store import BundleStore
from fraud.clock import Clock
from fraud.errors import FraudError, Unavailable
from fraud.eventlog.checkpoint import checkpoint
from fraud.eventlog.connection import connect
from fraud.eventlog.lock import lock_data_folder
from fraud.eventlog.sqlite import SqliteEventLog
from fraud.eventlog.tables import LAYOUT
from fraud.features.spec import FeatureSpec, heading_of
from fraud.monitoring.retrainer_metrics import RetrainerMetrics
from fraud.registry.store import LedgerStore
from fraud.registry.view import Registry
from fraud.retrainer.cycle import Workshop
from fraud.serving.recovery import Snapshots, check_nothing_ahead
from fraud.serving.server import ScoringProcess
from fraud.serving.stores import Stores
from fraud.settings import Settings
from fraud.training.pool import Call, TrainingPool
from tests.simulation.disk import RETRAINER, Disk

Result = TypeVar("Result")


class SimulatedTable(Table):
    """A Delta table whose commits fail as the disk says: before they happen, or after."""

    def __init__(self, folder: Path, types: dict[str, pl.DataType], disk: Disk) -> None:
        super().__init__(folder, types)
        self._disk = disk

    def _commit(self, table: DeltaTable | None, rows: pl.DataFrame, upto: int) -> None:
        self._disk.step("write", self._folder)
        super()._commit(table, rows, upto)
        self._disk.step("sync", self._folder)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the service is built of; a planted bug replaces one of them."""

    log: type[SqliteEventLog] = SqliteEventLog
    ledger: type[LedgerStore] = LedgerStore
    table: type[SimulatedTable] = SimulatedTable
    bundles: type[BundleStore] = BundleStore
    tamper: Callable[[ScoringProcess], None] = field(default=lambda _: None)


class _Archive(Archive):
    def __init__(
        self, settings: Settings, spec: FeatureSpec, disk: Disk, table: type[SimulatedTable]
    ) -> None:
        super().__init__(settings.places.archive, settings.schema_, spec.definitions)
        for name, each in self._tables.items():
            setattr(self, f"_{name}", table(each._folder, each._types, disk))


@dataclass(frozen=True, slots=True)
class Site:
    """What both processes share: configuration, clock, disk and parts."""

    settings: Settings
    spec: FeatureSpec
    clock: Clock
    disk: Disk
    parts: Parts

    def archive(self) -> Archive:
        """Return the archive, its commits at the mercy of the disk."""
        return _Archive(self.settings, self.spec, self.disk, self.parts.table)


class Scoring:
    """The scoring process, open and following the ledger."""

    def __init__(self, process: ScoringProcess, lock: AbstractContextManager[None]) -> None:
        self.process = process
        self._lock = lock

    @classmethod
    async def start(cls, site: Site) -> "Scoring":
        """Start as `fraud serve` does: lock, open, restore, load champions, look at the ledger."""
        lock = lock_data_folder(site.settings.data_dir)
        with ExitStack() as opened:
            opened.enter_context(lock)
            process = await cls._open(site, opened)
            opened.pop_all()
        return cls(process, lock)

    @staticmethod
    async def _open(site: Site, opened: ExitStack) -> ScoringProcess:
        settings = site.settings
        log = site.parts.log.open(
            settings.places.log, writable=True, entity_names=settings.schema_.entity_names
        )
        opened.callback(log.close)
        without_thread(log)
        log.hold_to_heading(heading_of(settings))
        archive, snapshots = site.archive(), Snapshots(settings.places.state, settings.log.snapshots_kept)
        check_nothing_ahead(log, archive, snapshots)
        registry = Registry(site.parts.ledger.open(settings.places.ledger))
        opened.callback(registry.store.close)
        registry.store.verify()
        registry.refresh()
        bundles = site.parts.bundles(settings.places.bundles)
        stores = Stores(site.clock, log, archive, snapshots, registry, bundles)
        process = ScoringProcess(settings, stores)
        site.parts.tamper(process)
        process.scorer.recover()
        process.follower.start()
        process.batcher.start(asyncio.get_running_loop())
        await process.look()
        return process

    async def stop(self, *, snapshot: bool) -> None:
        """Stop; `snapshot` as on SIGTERM, without it as far as the disk lets it."""
        await self.process.batcher.close()
        if snapshot:
            self.process.keeper.snapshot_now()
        self.process.close()
        self._lock.__exit__(None, None, None)


def without_thread(log: SqliteEventLog) -> None:
    """Let a log checkpoint when told to, not when its thread is scheduled."""
    if log._checkpointer is not None:
        log._checkpointer.close()
        log._checkpointer = None


class Retraining:
    """The retraining process."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=RETRAINER)
        self.shop: Workshop | None = None

    async def run(self, call: Callable[[Workshop], Result]) -> Result:
        """Do something in the process, which is started when it does not run."""

        def work() -> Result:
            if self.shop is None:
                self.shop = self._open()
            return call(self.shop)

        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def stop(self) -> None:
        """End the process, as far as the disk lets it end in order."""

        def close() -> None:
            if self.shop is not None:
                self.shop.log.close()
                self.shop.registry.store.close()
                self.shop = None

        await asyncio.get_running_loop().run_in_executor(self._thread, close)

    def end(self) -> None:
        """Let the thread go."""
        self._thread.shutdown()

    def _open(self) -> Workshop:
        settings, parts = self._site.settings, self._site.parts
        log = SqliteEventLog.open(
            settings.places.log, writable=False, entity_names=settings.schema_.entity_names
        )
        try:
            registry = Registry(parts.ledger.open(settings.places.ledger))
        except BaseException:
            log.close()
            raise
        return Workshop(
            settings=settings,
            spec=self._site.spec,
            log=log,
            archive=self._site.archive(),
            bundles=parts.bundles(settings.places.bundles),
            registry=registry,
            clock=self._site.clock,
            metrics=RetrainerMetrics(settings.data_dir, settings.monitoring.alarms),
        )


class HerePool(TrainingPool):
    """Runs the calls of a cycle one after the other, here; some workers are lost.

    `between` is called before each, so that others get in between.
    """

    def __init__(self, settings: Settings, between: Callable[[], None], lost: Callable[[], bool]) -> None:
        super().__init__(settings.training)
        self._between = between
        self._lost = lost

    def share(self, value: Any) -> Any:
        """Return the value: there is one memory."""
        return value

    def each(self, calls: Sequence[Call]) -> Iterator[tuple[int, Any]]:
        """Yield place and outcome of each call, in order."""
        for place, (function, arguments) in enumerate(calls):
            self._between()
            if self._lost():
                yield place, Unavailable("worker died and retries did not help; look at memory")
                continue
            try:
                yield place, function(*arguments)
            except Exception as error:  # noqa: BLE001 — comes back as the outcome, as from a worker
                yield place, error


def checkpoint_now(path: Path) -> bool:
    """Move the write-ahead log into its file, as the log's own thread does; tell whether it could."""
    try:
        connection = connect(path, LAYOUT, writable=True)
    except FraudError:
        return False
    try:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        return checkpoint(connection) != (0, 0)
    finally:
        connection.close()
