"""A SQLite file of the service, held still while others write to it, and copied.

    BEGIN, one read ──► this connection sees one state, however long it takes
    backup API      ──► pages of that state, into a new file

Nobody waits for it. While a state is held the write-ahead log cannot be reused,
so it grows by what is appended meanwhile; it is cut again afterwards.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from fraud.errors import Damaged, Unavailable
from fraud.eventlog.connection import Layout, connect, snapshot

PAGES = 4_096
"""Copied in one step, 16 MiB; an interrupt is noticed between two."""


class Still:
    """One state of a file; `connection` reads it and nothing newer."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def copy_to(self, target: Path) -> None:
        """Copy this state into a new file, durably.

        Raises:
            Unavailable: it cannot be written.
        """
        try:
            with contextlib.closing(sqlite3.connect(target)) as copy:
                self.connection.backup(copy, pages=PAGES)
            with target.open("rb+") as file:
                os.fsync(file.fileno())
        except (sqlite3.Error, OSError) as error:
            raise Unavailable(
                f"{target}: was not written ({error}); check disk space and permissions"
            ) from error


@contextlib.contextmanager
def held_still(path: Path, layout: Layout) -> Iterator[Still]:
    """Hold one state of a file still for the body of a `with`.

    Raises:
        NotFound, Damaged, OtherFormat, Unavailable: as `fraud.eventlog.connection.connect`.
    """
    connection = connect(path, layout, writable=False)
    try:
        with snapshot(connection):
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            yield Still(connection)
    finally:
        connection.close()


def check_pages(path: Path, layout: Layout) -> None:
    """Walk all pages and indexes of a file.

    Raises:
        Damaged: one is not what SQLite wrote.
    """
    with contextlib.closing(connect(path, layout, writable=False)) as connection:
        try:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.DatabaseError as error:
            found = str(error)
    if found != "ok":
        raise Damaged(f"{path}: is no sound {layout.what} ({found}); restore another copy")
