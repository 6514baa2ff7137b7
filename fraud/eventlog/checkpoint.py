"""Moves pages from the write-ahead log into the database file, off the appending thread.

A commit that checkpoints pays for a thousand page writes and two fsyncs. Here a
thread with its own connection does it, in passive mode, which makes no writer
and no reader wait:

    writer   commit commit commit ───► every ROWS_BETWEEN rows: wake
    thread          checkpoint(PASSIVE)

SQLite reuses the write-ahead log from its start once everything in it is
checkpointed and unread. A writer that never pauses could prevent that for ever,
so past CATCH_UP_PAGES it is asked to finish the (by then small) rest itself.
"""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from fraud.durable import sync
from fraud.errors import Unavailable

ROWS_BETWEEN = 1_000
CATCH_UP_PAGES = 8_192
ASK_MS = 50
"""How long one attempt to empty the log may keep the writer waiting for readers."""
PAUSE_S = 0.05


class Checkpointer:
    """A thread that checkpoints when woken. `connect` opens its connection."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        # Opened here, so that a failure is the opener's and not a thread's that nobody watches.
        self._connection = connect()
        self._wake = threading.Event()
        self._stop = False
        self._rows = 0
        self._behind = False
        self._thread = threading.Thread(target=self._run, name="log-checkpoint", daemon=True)
        self._thread.start()

    def note(self, rows: int) -> bool:
        """Count appended rows; True when the writer should checkpoint itself, now, between commits."""
        self._rows += rows
        if self._rows >= ROWS_BETWEEN:
            self._rows = 0
            self._wake.set()
        behind, self._behind = self._behind, False
        return behind

    def close(self) -> None:
        """Stop the thread and wait for it."""
        self._stop = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while self._wake.wait() and not self._stop:
            self._wake.clear()
            pages, moved = checkpoint(self._connection)
            self._behind = pages > CATCH_UP_PAGES and moved > pages // 2
        self._connection.close()


def checkpoint(connection: sqlite3.Connection) -> tuple[int, int]:
    """Move what can be moved without waiting; return pages in the write-ahead log and pages moved.

    A failure (disk full) is left to the next round: nothing is lost, the
    write-ahead log only grows, and the writer meets the same error at its next
    append and reports it.
    """
    try:
        _, pages, moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    except sqlite3.Error:
        return 0, 0
    return pages, moved


def empty_log(connection: sqlite3.Connection, wait_s: float) -> bool:
    """Move all of the write-ahead log and cut it to length zero; False if readers prevented it.

    The file is truncated, so old pages in it are gone; tries again for `wait_s`
    while somebody reads an old state. `connection` is used for nothing else.

    Raises:
        Unavailable: the disk failed.
    """
    connection.execute(f"PRAGMA busy_timeout = {ASK_MS}")
    end = time.monotonic() + wait_s
    while True:
        checkpoint(connection)  # most of it without anybody waiting
        try:
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise Unavailable(f"event log: a checkpoint failed ({error}); check the disk") from error
            busy = 1
        if not busy:
            return True
        if time.monotonic() >= end:
            return False
        time.sleep(PAUSE_S)


def sync_log(path: Path) -> None:
    """Wait until every commit that can be read is on the disk, whichever process made it, and how.

    A commit stands in the write-ahead log until SQLite has synced it into the
    database file, so that log is all there is to sync, and its name. The database
    file is not touched: closing it would drop the locks that this process has on it.

    Raises:
        Unavailable: the disk failed.
    """
    try:
        # None is there when nobody has the database open: then it has everything.
        with contextlib.suppress(FileNotFoundError):
            sync(path.with_name(f"{path.name}-wal"))
        sync(path.parent)
    except OSError as error:
        raise Unavailable(f"{path}: cannot be made durable ({error}); check the disk") from error
