"""The event log in one SQLite file.

One append is one transaction. Its cost is an insert per event, one leaf of the
id index per event (ids that grow with time share leaves), and one fsync.
`find` reads on the writer's connection, whose page cache is warm; everything
else on a connection of the calling thread, so a long page never holds up an
append.
"""

import contextlib
import heapq
import sqlite3
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Self

from fraud.errors import Conflict, LogUnwritable, Unavailable
from fraud.eventlog.checkpoint import Checkpointer, checkpoint, empty_log, sync_log
from fraud.eventlog.codec import Kind
from fraud.eventlog.connection import Durability, connect, reading, snapshot, transaction
from fraud.eventlog.headings import hold_heading, noted_headings
from fraud.eventlog.log import DECIDED, BatchSummary, Erasure, NewToken, arrivals_of
from fraud.eventlog.reader import LogReader
from fraud.eventlog.tables import (
    ENTRY,
    FIND_ROWS,
    LAYOUT,
    Row,
    blank_entries,
    check_currency,
    check_entities,
    check_key,
    find_batches,
    find_rows,
    insert,
    last_entry,
    noted_erasures,
    pass_pruned,
    position_before,
    pruned_upto,
    take_tokens,
)
from fraud.faults import pass_point
from fraud.records import Entry, Event, Heading, Headings, Outcome, Scored

PRUNE_ROWS = 500
"""Rows removed in one transaction, about 4 ms."""
PRUNE_PAUSE_S = 0.001
"""Pause after each, in which a waiting append gets the lock."""

PROOF_BYTES = 64 * 1024
"""As much as a batch may take: a disk that has room for less is full still."""

ERASE_ROWS = 200
"""Rows blanked in one transaction."""


class SqliteEventLog(LogReader):
    """An `EventLog` in a file. Safe to use from several threads; one process writes."""

    def __init__(
        self, path: Path, connection: sqlite3.Connection, *, writable: bool, durability: Durability
    ) -> None:
        super().__init__(path, None if writable else connection)
        self._connection = connection
        self._writable = writable
        self._lock = threading.RLock()
        self._joining = False
        self._head, self._last_arrival_us = last_entry(connection)
        self._checkpointer: Checkpointer | None = None
        if writable:
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            self._checkpointer = Checkpointer(
                lambda: connect(path, LAYOUT, writable=True, durability=durability)
            )

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        writable: bool,
        entity_names: Sequence[str],
        durability: Durability = "fsync",
    ) -> Self:
        """Open the log at `path`; a writable one is created when missing.

        `entity_names` are the schema's, in order: surrogates stand in that
        order in every entry, so a log is for one list of names.

        Raises:
            ConfigError: the log was made for other entities.
            NotFound, Damaged, Unavailable: as `fraud.eventlog.connection.connect`.
        """
        if writable:
            path.parent.mkdir(parents=True, exist_ok=True)
        connection = connect(path, LAYOUT, writable=writable, durability=durability)
        try:
            check_entities(connection, path, list(entity_names), writable)
            return cls(path, connection, writable=writable, durability=durability)
        except BaseException:
            connection.close()
            raise

    def hold_to_key(self, fingerprint: str) -> None:
        """Take tokens as hashed under the key of this fingerprint ("": not hashed), from now on and for good.

        Raises:
            ConfigError: those that are there were not.
        """
        with self._lock:
            check_key(self._connection, self._path, fingerprint, self._writable)

    def hold_to_currency(self, currency: str) -> None:
        """Take amounts as counted in this base currency, from now on and for good.

        Raises:
            ConfigError: those that are there were counted in another one.
        """
        with self._lock:
            check_currency(self._connection, self._path, currency, self._writable)

    def append(
        self, events: Sequence[Event], arrival_time_us: int | Sequence[int], new_tokens: Sequence[NewToken]
    ) -> int:
        """Append all or nothing and return the position of the first; see `EventLog`."""
        with self._lock:
            first = self._head + 1
            arrivals = arrivals_of(events, arrival_time_us, self._last_arrival_us)
            if not events and not new_tokens:
                return first
            self._write(events, first, arrivals, new_tokens)
            self._head += len(events)
            self._last_arrival_us = arrivals[-1] if arrivals else self._last_arrival_us
            if self._checkpointer is not None and self._checkpointer.note(len(events)):
                checkpoint(self._connection)
            return first

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Make the appends of the body one: all are there with its end or none is, and nobody sees some.

        What one of them raises must end the body.

        Raises:
            Unavailable: nothing of them was kept (disk full, I/O error).
        """
        with self._lock:
            before, self._joining = (self._head, self._last_arrival_us), True
            try:
                with self._changing("nothing was appended"):
                    yield
            except BaseException:
                self._head, self._last_arrival_us = before
                raise
            finally:
                self._joining = False

    def _write(
        self, events: Sequence[Event], first: int, arrivals: Sequence[int], new_tokens: Sequence[NewToken]
    ) -> None:
        try:
            with contextlib.nullcontext() if self._joining else transaction(self._connection):
                insert(self._connection, events, first, arrivals, new_tokens)
                pass_point("log.committing")
        except sqlite3.IntegrityError as error:
            raise Conflict(
                f"{self._path}: {len(events)} events were not appended: a transaction id, batch part or "
                f"token was taken before ({error}); look it up with find() first"
            ) from error
        except sqlite3.Error as error:
            raise LogUnwritable(
                f"{self._path}: {len(events)} events were not appended ({error}); nothing of them was kept; "
                "check disk space and permissions"
            ) from error

    def secure(self) -> int:
        """Make everything up to a position durable and return it; see `EventLog`."""
        head = self.head()
        sync_log(self._path)
        return head

    def hold_to_heading(self, heading: Heading) -> None:
        """Take what is logged from here on as logged under this heading; see `EventLog`."""
        with self._changing("its heading was not noted"):
            hold_heading(self._connection, heading, self._head, str(self._path))

    def headings(self) -> Headings:
        """Return every heading with the position it holds from, in order."""
        return self._ask(noted_headings)

    def prove_writable(self) -> None:
        """Write something that nobody reads, durably; see `EventLog`."""
        try:
            with self._changing("nothing could be written"):
                self._connection.execute(
                    "INSERT OR REPLACE INTO meta VALUES ('proof', zeroblob(?))", (PROOF_BYTES,)
                )
        except Unavailable as error:
            raise LogUnwritable(str(error)) from error

    def head(self) -> int:
        """Return the last position."""
        return self._head if self._writable else self._ask(last_entry)[0]

    def first(self) -> int:
        """Return the position from which on nothing is missing."""
        return self._ask(pruned_upto)[0] + 1

    def last_arrival_us(self) -> int:
        """Return the newest arrival time, µs UTC."""
        return self._last_arrival_us if self._writable else self._ask(last_entry)[1]

    def read(self, after: int, limit: int) -> list[Entry]:
        """Return at most `limit` entries with a position > `after`, in order."""
        rows = self._rows(
            f"{ENTRY} WHERE position > ? AND kind > 0 ORDER BY position LIMIT ?", (after, limit)
        )
        return [self._entry(row) for row in rows]

    def find(self, transaction_ids: Sequence[str]) -> dict[str, Entry]:
        """Return the Scored entries still held, by transaction id."""
        rows: list[Row] = []
        for start in range(0, len(transaction_ids), FIND_ROWS):
            ids = transaction_ids[start : start + FIND_ROWS]
            if self._writable:
                with self._lock, reading(self._path):
                    rows += find_rows(self._connection, ids)
            else:
                rows += self._ask(partial(find_rows, transaction_ids=ids))
        found = {}
        for row in rows:
            entry = self._entry(row)
            if isinstance(entry.event, Scored):
                found[entry.event.transaction_id] = entry
        return found

    def batch_digest(self, batch_id: str, part: int) -> str | None:
        """Return the digest of a batch part taken at any time."""
        query = "SELECT digest FROM batches WHERE batch_id = ? AND part = ?"
        rows = self._rows(query, (batch_id, part))
        return str(rows[0][0]) if rows else None

    def batches(self, since_us: int, source: str, after: int, limit: int) -> list[BatchSummary]:
        """Return label batches by arrival, source and position, in order."""
        return self._batches(
            "position > ? AND arrival_time_us >= ? AND (? = '' OR source = ?) ORDER BY position LIMIT ?",
            (after, since_us, source, source, limit),
        )

    def batch(self, batch_id: str) -> list[BatchSummary]:
        """Return the parts of one batch, by position."""
        return self._batches("batch_id = ? ORDER BY position", (batch_id,))

    def batch_owner(self, batch_id: str) -> str | None:
        """Return the submitter of the lowest part of a batch that came in."""
        query = "SELECT submitter FROM batches WHERE batch_id = ? ORDER BY part LIMIT 1"
        rows = self._rows(query, (batch_id,))
        return str(rows[0][0]) if rows else None

    def is_retracted(self, batch_id: str) -> bool:
        """Tell whether a batch was taken back at any time."""
        return bool(self._rows("SELECT 1 FROM retracted WHERE batch_id = ?", (batch_id,)))

    def _batches(self, where: str, values: Row) -> list[BatchSummary]:
        return self._ask(lambda reader: find_batches(reader, where, values))

    def decisions(
        self, outcomes: Sequence[Outcome], since_us: int, model: str, after: int, limit: int
    ) -> list[Entry]:
        """Return decisions by outcome, arrival, model and position, in order."""
        reader = self._reader()
        wanted = sorted(set(outcomes or DECIDED) & set(DECIDED))
        query = (
            f"{ENTRY} WHERE outcome = ? AND outcome > 0 AND position > ? AND (? = '' OR model = ?) "
            "ORDER BY position LIMIT ?"
        )
        # One walk along the index per outcome, all in one snapshot; each is in order, so merging them is too.
        with reading(self._path), snapshot(reader):
            after = max(after, position_before(reader, since_us))
            walks = [
                reader.execute(query, (int(outcome), after, model, model, limit)).fetchall()
                for outcome in wanted
            ]
        return [self._entry(row) for row in islice(heapq.merge(*walks), limit)]

    def begin_erasure(self, erasure: Erasure) -> list[NewToken]:
        """Take tokens away and note the erasure; see `EventLog`."""
        with self._changing("its tokens were not erased"):
            return take_tokens(self._connection, erasure)

    def erasures(self) -> list[Erasure]:
        """Return the erasures begun and not finished."""
        return self._ask(noted_erasures)

    def erase(
        self, positions: Sequence[int], categoricals: Sequence[int], transaction_ids: Collection[str]
    ) -> int:
        """Blank what is personal in the entries at `positions`; see `EventLog`.

        In short transactions with a pause after each, as `prune`.
        """
        changed = 0
        for start in range(0, len(positions), ERASE_ROWS):
            span = positions[start : start + ERASE_ROWS]
            with self._changing(f"{len(span)} entries were not blanked"):
                changed += blank_entries(self._connection, span, categoricals, transaction_ids)
            time.sleep(PRUNE_PAUSE_S)
        return changed

    def scrub(self, wait_s: float) -> None:
        """Move everything into the database file and empty the write-ahead log; see `EventLog`."""
        connection = connect(self._path, LAYOUT, writable=True)
        try:
            emptied = empty_log(connection, wait_s)
        finally:
            connection.close()
        if not emptied:
            raise Unavailable(
                f"{self._path}: a process reads an old state of the log, so its old pages were not removed; "
                "it is tried again when that has ended"
            )

    def finish_erasure(self, erasure: Erasure) -> None:
        """Take the note of an erasure away."""
        with self._changing("an erasure's note was not taken away"):
            self._connection.execute(
                "DELETE FROM erasures WHERE entity_index = ? AND surrogate = ?", erasure.key
            )

    @contextlib.contextmanager
    def _changing(self, otherwise: str) -> Iterator[None]:
        """Hold the writer's connection in a transaction for the body of a `with`."""
        try:
            with self._lock, transaction(self._connection):
                yield
        except sqlite3.Error as error:
            raise Unavailable(
                f"{self._path}: {otherwise} ({error}); check disk space and permissions"
            ) from error

    def prune(self, upto_position: int, before_arrival_us: int) -> int:
        """Remove the prefix at or before a position and older than an arrival; Applied entries stay.

        Works in short transactions with a pause after each, so appends of
        other threads get in between; not for the scoring thread itself.

        Raises:
            Unavailable: a transaction failed; what earlier ones removed stays removed.
        """
        start = self._ask(pruned_upto)[0]
        older = self._ask(lambda reader: position_before(reader, before_arrival_us))
        upto = min(upto_position, self.head(), older)
        removed = 0
        while start < upto:
            stop = min(start + PRUNE_ROWS, upto)
            removed += self._prune_span(start, stop)
            start = stop
            time.sleep(PRUNE_PAUSE_S)
        return removed

    def _prune_span(self, start: int, stop: int) -> int:
        with self._changing(f"positions {start + 1} to {stop} were not pruned"):
            removed = pass_pruned(self._connection, start, stop, Kind.APPLIED)
        if self._checkpointer is not None:
            self._checkpointer.note(removed)
        return removed

    def close(self) -> None:
        """Stop checkpointing and close every connection."""
        if self._checkpointer is not None:
            self._checkpointer.close()
        super().close()
        self._connection.close()
