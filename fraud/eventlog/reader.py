"""Reads a log in SQLite: each thread on a connection of its own, so a long question holds up nobody."""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from fraud.errors import Damaged
from fraud.eventlog.codec import decode
from fraud.eventlog.connection import connect, reading
from fraud.eventlog.log import NewToken
from fraud.eventlog.tables import LAYOUT, Row, all_tokens, next_surrogates
from fraud.records import Entry

Found = TypeVar("Found")


class LogReader:
    """The reading side of `SqliteEventLog`; `own` is the connection of the thread that opens it."""

    def __init__(self, path: Path, own: sqlite3.Connection | None) -> None:
        self._path = path
        self._local = threading.local()
        self._readers: dict[threading.Thread, sqlite3.Connection] = {}
        if own is not None:
            self._local.reader = own

    def last_applied(self) -> dict[str, Entry]:
        """Return the newest Applied entry of each model."""
        rows = self._rows(
            "SELECT model, max(position), arrival_time_us, kind, body FROM applied GROUP BY model", ()
        )
        return {str(row[0]): self._entry(row[1:]) for row in rows}

    def applied(self, after: int = 0) -> list[Entry]:
        """Return every Applied entry with a position > `after`, in order."""
        rows = self._rows(
            "SELECT position, arrival_time_us, kind, body FROM applied WHERE position > ? ORDER BY position",
            (after,),
        )
        return [self._entry(row) for row in rows]

    def tokens(self) -> Iterator[NewToken]:
        """Iterate over every token, by entity and surrogate."""
        reader = self._reader()
        with reading(self._path):
            yield from all_tokens(reader)

    def next_surrogates(self) -> dict[int, int]:
        """Return the lowest surrogate never given, by entity index."""
        return self._ask(next_surrogates)

    def close(self) -> None:
        """Close the connections that threads have opened to read."""
        for reader in list(self._readers.values()):
            reader.close()

    def _rows(self, query: str, values: Sequence[Any]) -> list[Row]:
        """Return what a query finds, read on the calling thread's own connection."""
        return self._ask(lambda reader: reader.execute(query, values).fetchall())

    def _ask(self, question: Callable[[sqlite3.Connection], Found]) -> Found:
        """Return what a function of `tables` finds on the calling thread's own connection."""
        reader = self._reader()
        with reading(self._path):
            return question(reader)

    def _reader(self) -> sqlite3.Connection:
        """Return the calling thread's own connection."""
        reader: sqlite3.Connection | None = getattr(self._local, "reader", None)
        if reader is None:
            reader = connect(self._path, LAYOUT, writable=False)
            self._local.reader = reader
            # A thread that has ended leaves its connection to whoever comes next.
            for thread in [it for it in list(self._readers) if not it.is_alive()]:
                left = self._readers.pop(thread, None)
                if left is not None:
                    left.close()
            self._readers[threading.current_thread()] = reader
        return reader

    def _entry(self, row: Row) -> Entry:
        try:
            return Entry(row[0], row[1], decode(row[2], row[3]))
        except Damaged as error:
            raise Damaged(f"{self._path}, position {row[0]}: {error}") from error
