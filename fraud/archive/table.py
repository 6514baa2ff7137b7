"""One Delta table that takes every span of the log exactly once.

    handle at version N  ─►  done = transaction_version("log")     last position copied, in N
                             rows with position > done, or nothing to do
                         ─►  commit N+1: the rows and transaction_version = upto, together
                             somebody committed N+1 first? load it and look again

Delta does not deduplicate application transactions by itself, and with retries
it would rebase the second of two equal commits onto the first; so commits here
are never retried by the library. A process that dies leaves the old version,
or the new one, or a file that no version names (removed by `compact`).
"""

from datetime import timedelta
from pathlib import Path

import polars as pl
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from fraud.errors import Damaged, Unavailable

APP_ID = "log"
COMMIT_ATTEMPTS = 100
"""Other writers that may come first in a row before this one gives up."""
FILE_BYTES = 128 * 2**20

_CONFIGURATION: dict[str, str | None] = {
    # A commit a minute: keep two days of them, checkpoint every fifty.
    "delta.checkpointInterval": "50",
    "delta.logRetentionDuration": "interval 2 days",
}


class Table:
    """A table at `folder`; it comes into being with its first commit."""

    def __init__(self, folder: Path, types: dict[str, pl.DataType]) -> None:
        self._folder = folder
        self._types = types

    def position(self) -> int:
        """Return the last position that a commit to this table covered; 0 for none."""
        table = self._load()
        return 0 if table is None else (table.transaction_version(APP_ID) or 0)

    def append(self, frame: pl.DataFrame, upto: int, *, also_empty: bool) -> None:
        """Commit the rows up to position `upto` that are not in the table yet, once.

        `frame` holds every row in `(p, upto]` for some p at or before
        `position()`. Without new rows a commit is made only if `also_empty`.

        Raises:
            Unavailable: the folder cannot be written, or others kept coming first.
        """
        for _ in range(COMMIT_ATTEMPTS):
            table = self._load()
            done = 0 if table is None else (table.transaction_version(APP_ID) or 0)
            rows = frame.filter(pl.col("position") > done)
            if done >= upto or (rows.is_empty() and not also_empty):
                return
            try:
                self._commit(table, rows, upto)
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
        raise Unavailable(
            f"{self._folder}: others committed first {COMMIT_ATTEMPTS} times; stop the extra writers"
        )

    def _commit(self, table: DeltaTable | None, rows: pl.DataFrame, upto: int) -> None:
        properties = CommitProperties(app_transactions=[Transaction(APP_ID, upto)], max_commit_retries=0)
        if table is None:
            write_deltalake(
                self._folder,
                rows,
                mode="error",
                configuration=_CONFIGURATION,
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

        The files it names stay on disk for the retention of `compact`.
        """
        table = self._load()
        if table is None:
            return pl.LazyFrame(schema=self._types)
        held = {field.name for field in table.schema().fields}
        return pl.scan_delta(table).select(
            pl.col(name) if name in held else pl.lit(None, dtype=dtype).alias(name)
            for name, dtype in self._types.items()
        )

    def compact(self, retention: timedelta) -> None:
        """Merge small files and delete files that no version younger than `retention` names."""
        table = self._load()
        if table is None:
            return
        try:
            table.optimize.compact(target_size=FILE_BYTES)
            table.vacuum(
                retention_hours=-(-int(retention.total_seconds()) // 3600),
                dry_run=False,
                enforce_retention_duration=False,
                full=True,
            )
        except (DeltaError, OSError) as error:
            raise Unavailable(
                f"{self._folder}: was not compacted ({error}); it is tried again later"
            ) from error

    def _load(self) -> DeltaTable | None:
        try:
            return DeltaTable(self._folder)
        except TableNotFoundError:
            return None
        except (DeltaError, OSError) as error:
            raise Damaged(f"{self._folder}: cannot be read ({error}); restore it from a copy") from error
