"""One Delta table that takes every span of the log exactly once.

    handle at version N  ─►  done = transaction_version("log")     last position copied, in N
                             rows with position > done, or nothing to do
                         ─►  commit N+1: the rows and transaction_version = upto, together
                             somebody committed N+1 first? load it and look again

Delta does not deduplicate application transactions by itself, and with retries
it would rebase the second of two equal commits onto the first; so commits here
are never retried by the library. A process that dies leaves the old version,
or the new one, or a file that no version names (removed by `vacuum`).

What is committed is synced at once, and again looked at by `secure` before anybody
relies on it: a commit of another process may still be on its way to the disk.

Rows are never changed, but for one thing: `blank` empties columns of a person
who is erased. That is a commit like any other, so copies and it take turns.
The table's own log keeps minimum and maximum of `INDEXED` columns only: of any
other it would remember words that stand in no file any more.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Lock

import polars as pl
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from fraud.archive.mending import LOG, TAIL, added_by, mend, version_of
from fraud.archive.syncing import Syncing
from fraud.archive.unfinished import UNFINISHED, unfinished
from fraud.errors import Damaged, Unavailable

APP_ID = "log"
COMMIT_ATTEMPTS = 100
"""Other writers that may come first in a row before this one gives up."""
FILE_BYTES = 128 * 2**20
SMALL_BYTES = FILE_BYTES // 2
"""Two files below that are merged into one."""
INDEXED = ("position", "arrival_time_us", "event_time_us", "transaction_id")
"""Columns by which a scan leaves files out; none of them is ever blanked."""

_CONFIGURATION: dict[str, str | None] = {
    # A commit a minute: keep two days of them, checkpoint every fifty.
    "delta.checkpointInterval": "50",
    "delta.logRetentionDuration": "interval 2 days",
}


@dataclass(frozen=True, slots=True)
class Size:
    """What a table takes up: the files that its present version names."""

    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Held:
    """The files that together hold everything up to a position of the log."""

    position: int
    files: tuple[Path, ...]


class Table:
    """A table at `folder`; it comes into being with its first commit."""

    def __init__(self, folder: Path, types: dict[str, pl.DataType]) -> None:
        self._folder = folder
        self._types = types
        self._kept: DeltaTable | None = None
        self._scanned: DeltaTable | None = None
        self._lock = Lock()
        self._syncing = Syncing()
        self._looked_at = False

    def position(self) -> int:
        """Return the last position that a commit to this table covered; 0 for none."""
        return self._of_newest(_position) or 0

    def append(self, frame: pl.DataFrame, upto: int, *, also_empty: bool) -> None:
        """Commit the rows up to position `upto` that are not in the table yet, once.

        `frame` holds every row in `(p, upto]` for some p at or before
        `position()`. Without new rows a commit is made only if `also_empty`.

        Raises:
            Unavailable: the folder cannot be written, or others kept coming first.
        """
        if frame.is_empty() and not also_empty:
            return
        for _ in range(COMMIT_ATTEMPTS):
            table = self._load()
            done = 0 if table is None else _position(table)
            rows = frame.filter(pl.col("position") > done)
            if done >= upto or (rows.is_empty() and not also_empty):
                # Others build on it from here on, and who committed it may not have synced it yet.
                self._sync_since(-1 if table is None else table.version() - TAIL)
                return
            before = -1 if table is None else int(table.version())
            try:
                self._commit(table, rows, upto)
                self._sync_since(before)
            except CommitFailedError:
                continue
            except (DeltaError, OSError) as error:
                if table is None and self._load() is not None:
                    continue  # two made the table at once, and the other was first
                raise Unavailable(
                    f"{self._folder}: rows up to position {upto} were not archived ({error}); "
                    "check disk space and permissions"
                ) from error
            return
        raise self._outrun()

    def _commit(self, table: DeltaTable | None, rows: pl.DataFrame, upto: int) -> None:
        properties = CommitProperties(app_transactions=[Transaction(APP_ID, upto)], max_commit_retries=0)
        if table is None:
            write_deltalake(
                self._folder,
                rows,
                mode="error",
                configuration=_CONFIGURATION | {"delta.dataSkippingStatsColumns": self._indexed()},
                commit_properties=properties,
            )
            return
        write_deltalake(
            table,
            rows,
            mode="append",
            # Columns that the table lacks are added, and null in older rows.
            schema_mode="merge",
            commit_properties=properties,
        )

    def scan(self) -> pl.LazyFrame:
        """Return a lazy scan with exactly the declared columns, in order; empty when there is no table.

        The files it names stay on disk while the archive's lease is held, and for a
        retention after they were replaced.
        """
        table = self._newest()
        if table is None:
            return pl.LazyFrame(schema=self._types)
        held = {field.name for field in table.schema().fields}
        return pl.scan_delta(table).select(
            pl.col(name) if name in held else pl.lit(None, dtype=dtype).alias(name)
            for name, dtype in self._types.items()
        )

    def blank(self, predicate: str, columns: Sequence[str], empty: str) -> int:
        """Set columns to the SQL literal `empty` where `predicate` holds; return the rows changed.

        Columns the table never had are passed over. The old files stay until `vacuum`.

        Raises:
            Unavailable: the folder cannot be written, or others kept coming first.
        """
        for _ in range(COMMIT_ATTEMPTS):
            table = self._load()
            held = set() if table is None else {field.name for field in table.schema().fields}
            updates = {name: empty for name in columns if name in held}
            if table is None or not updates:
                return 0
            before = int(table.version())
            try:
                done = table.update(
                    updates=updates,
                    predicate=predicate,
                    commit_properties=CommitProperties(max_commit_retries=0),
                )
                self._sync_since(before)
            except CommitFailedError:
                continue
            except (DeltaError, OSError) as error:
                raise Unavailable(
                    f"{self._folder}: {', '.join(updates)} was not blanked ({error}); "
                    "check disk space and permissions"
                ) from error
            return int(done["num_updated_rows"])
        raise self._outrun()

    def version(self) -> int | None:
        """Return the newest version of the table, None before the first commit."""
        return self._of_newest(DeltaTable.version)

    def secure(self) -> None:
        """See to it that the newest version of the table is on the disk, whoever wrote it.

        Syncs what was not synced by this object before; be `reading` meanwhile.

        Raises:
            Unavailable: a file cannot be synced, now or earlier.
        """
        for _ in range(COMMIT_ATTEMPTS):
            table = self._load()
            # Gone files: the table's log was tidied up by another process in between.
            if table is None or self._sync([*self._data(table), *self._needed(table)], whole=True):
                return
        raise self._outrun()

    def _sync_since(self, version: int) -> None:
        """Sync the commits behind `version`: data, then the commits that name it, then their folders.

        Raises:
            Unavailable: one of them cannot be synced.
        """
        for _ in range(COMMIT_ATTEMPTS):
            log = self._folder / LOG
            later = [path for path in log.glob("*") if version_of(path) > version]
            data = [
                self._folder / name for path in later if path.suffix == ".json" for name in added_by(path)
            ]
            # What another process has merged and deleted since needs no sync any more.
            if self._sync([path for path in (*data, *later) if path.exists()], whole=False):
                return
        raise self._outrun()

    def _sync(self, files: list[Path], *, whole: bool) -> bool:
        """Sync files and tell whether all were there."""
        try:
            self._syncing.sync(files, whole=whole)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise Unavailable(
                f"{self._folder}: cannot be made durable ({error}); check the disk, then start again"
            ) from error
        return True

    def _needed(self, table: DeltaTable) -> list[Path]:
        """Return the files of the table's log without which this version cannot be read."""
        log = [path for path in (self._folder / LOG).iterdir() if 0 <= version_of(path) <= table.version()]
        points = [version_of(path) for path in log if ".checkpoint" in path.name]
        newest = max(points, default=0)
        return [path for path in log if version_of(path) >= newest]

    def _data(self, table: DeltaTable) -> list[Path]:
        return [self._folder / Path(uri).name for uri in table.file_uris()]

    def held(self) -> Held:
        """Return the newest version's position and files: what it names, and the table's own log up to it.

        They stay while the archive's lease is held; those of the table's log for two days.
        """
        table = self._load()
        if table is None:
            return Held(0, ())
        log = [
            path
            for path in sorted((self._folder / LOG).iterdir())
            # A pointer to the last checkpoint may be newer than this version; it is found without.
            if 0 <= version_of(path) <= table.version() and path.suffix != ".torn"
        ]
        return Held(_position(table), (*log, *self._data(table)))

    def size(self) -> Size:
        """Return how many files the table has, and their bytes."""
        table = self._load()
        if table is None:
            return Size(0, 0)
        sizes = [path.stat().st_size for name in table.file_uris() if (path := Path(name)).exists()]
        return Size(len(sizes), sum(sizes))

    def small_files(self) -> int:
        """Return how many files the newest version names that compacting would merge; 0 for no table."""
        return self._of_newest(_small_files) or 0

    def unnamed(self, retention: timedelta, *, alone: bool = False) -> list[Path]:
        """Return the files that no version younger than `retention` names.

        Among them are those that a writer was killed at; `alone`: nobody writes, so they may be of now.
        """
        table = self._load()
        named = [] if table is None else self._vacuum(table, retention, dry_run=True)
        return sorted([*self._unfinished(retention, alone=alone), *named])

    def vacuum(self, retention: timedelta, *, alone: bool = False) -> list[Path]:
        """Delete what `unnamed` returns, and return it; what takes its place is on the disk by then.

        Raises:
            Unavailable: the folder cannot be written.
        """
        self.secure()
        left = self._unfinished(retention, alone=alone)
        for path in left:
            path.unlink(missing_ok=True)
        table = self._load()
        # A vacuum of nothing would still be two commits, which others had to go round.
        if table is None or not self._vacuum(table, retention, dry_run=True):
            return left
        return sorted([*left, *self._vacuum(table, retention, dry_run=False)])

    def _unfinished(self, retention: timedelta, *, alone: bool) -> list[Path]:
        return unfinished(self._folder, timedelta(0) if alone else max(retention, UNFINISHED))

    def _vacuum(self, table: DeltaTable, retention: timedelta, *, dry_run: bool) -> list[Path]:
        try:
            names = table.vacuum(
                retention_hours=-(-int(retention.total_seconds()) // 3600),
                dry_run=dry_run,
                enforce_retention_duration=False,
                full=True,
            )
        except (DeltaError, OSError) as error:
            raise Unavailable(
                f"{self._folder}: old files were not deleted ({error}); it is tried again later"
            ) from error
        return sorted(self._folder / name for name in names)

    def compact(self) -> None:
        """Merge small files; the merged ones stay until `vacuum`.

        Raises:
            Unavailable: the folder cannot be written, or others kept coming first.
        """
        for _ in range(COMMIT_ATTEMPTS):
            table = self._load()
            if table is None:
                return
            before = int(table.version())
            try:
                table.optimize.compact(target_size=FILE_BYTES)
                self._sync_since(before)
            except CommitFailedError:
                continue
            except (DeltaError, OSError) as error:
                raise Unavailable(
                    f"{self._folder}: was not compacted ({error}); it is tried again later"
                ) from error
            return
        raise self._outrun()

    def _indexed(self) -> str:
        return ",".join(name for name in INDEXED if name in self._types)

    def _outrun(self) -> Unavailable:
        return Unavailable(
            f"{self._folder}: others committed first {COMMIT_ATTEMPTS} times; stop the extra writers"
        )

    def _of_newest(self, read: Callable[[DeltaTable], int]) -> int | None:
        """Return what is read of the newest version, None where there is no table.

        A handle is kept for it: following the table's log is some twenty times cheaper than opening it.
        Whatever reads lazily has another, which nobody moves on (`_newest`).
        """
        with self._lock:
            if self._kept is not None:
                try:
                    self._kept.update_incremental()
                    return read(self._kept)
                except (DeltaError, OSError):
                    pass  # cleaned away beyond two days, or another folder stands in its place
            self._kept = self._load()
            return None if self._kept is None else read(self._kept)

    def _newest(self) -> DeltaTable | None:
        """Return a handle of the newest version, the same to all who read that, None where there is no table.

        To open one takes a thread for each file of the table's log.
        """
        version = self.version()
        with self._lock:
            if self._scanned is None or self._scanned.version() != version:
                self._scanned = self._load()
            return self._scanned

    def _load(self) -> DeltaTable | None:
        try:
            if not self._looked_at:
                mend(self._folder)
                self._looked_at = True
            return DeltaTable(self._folder)
        except TableNotFoundError:
            return None
        except (DeltaError, OSError) as error:
            raise Damaged(f"{self._folder}: cannot be read ({error}); restore it from a copy") from error


def _position(table: DeltaTable) -> int:
    """Return the last position that a version of a table covers; 0 for none."""
    return table.transaction_version(APP_ID) or 0


def _small_files(table: DeltaTable) -> int:
    sizes = pl.DataFrame(table.get_add_actions(flatten=True))["size_bytes"]
    return int((sizes < SMALL_BYTES).sum())
