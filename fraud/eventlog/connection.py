"""Opens the SQLite files of the service: the event log and the registry ledger.

Write-ahead log, so readers in other processes and threads see a consistent
prefix while the one writer appends; nobody waits for a reader. `user_version`
names the layout of the tables.

    durability "fsync"     synchronous=FULL: a commit is on disk when it returns
               "process"   synchronous=NORMAL: it survives a crash of the process, not of the machine
"""

import contextlib
import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fraud.errors import Damaged, NotAllowedNow, NotFound, OtherFormat, Unavailable

Durability = Literal["fsync", "process"]

CACHE_KIB = 64 * 1024
"""Page cache of one connection; holds the upper levels of the indexes of 100 million rows."""
BUSY_S = 10.0
"""How long a writer waits for another one."""
_LOOK_EVERY_S = 0.005


@dataclass(frozen=True, slots=True)
class Layout:
    """The tables of one kind of file: what people call it, its version, its DDL."""

    what: str
    version: int
    statements: tuple[str, ...]


def connect(
    path: Path, layout: Layout, *, writable: bool, durability: Durability = "fsync", create: bool = True
) -> sqlite3.Connection:
    """Open the file; a new one is made where it is `writable` and `create`. Transactions are explicit.

    The connection may be used from any thread, by one at a time.

    Raises:
        NotFound: no such file, and not to be created.
        Damaged: not a SQLite file.
        OtherFormat: another layout than this release reads.
        BeingMade: its writer has not made it whole yet.
        Unavailable: the file cannot be opened or is locked.
    """
    if not (writable and create) and not path.exists():
        raise NotFound(
            f"{path}: no {layout.what} there; start the service once, or name the folder it works on "
            "(--config, FRAUD__SERVICE__DATA_DIR)"
        )
    mode = ("rwc" if create else "rw") if writable else "ro"
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=BUSY_S,
        )
    except sqlite3.Error as error:
        raise Unavailable(f"{path}: cannot be opened ({error}); check folder and permissions") from error
    try:
        with _one_at_a_time(path.parent) if writable else contextlib.nullcontext():
            _prepare(connection, path, layout, writable, durability)
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Let one process make a file at a time: SQLite waits for none where two turn to the write-ahead log."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise Unavailable(f"{folder}: cannot be opened ({error}); check permissions") from error
    try:
        end = time.monotonic() + BUSY_S
        while not _taken(handle, folder):
            if time.monotonic() >= end:
                raise Unavailable(f"{folder}: somebody opens a file there and does not end; see who")
            time.sleep(_LOOK_EVERY_S)
        yield
    finally:
        os.close(handle)


def _taken(handle: int, folder: Path) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise Unavailable(f"{folder}: cannot be locked ({error}); it needs a local file system") from error
    return True


def _prepare(
    connection: sqlite3.Connection, path: Path, layout: Layout, writable: bool, durability: Durability
) -> None:
    try:
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        if writable:
            connection.execute("PRAGMA journal_mode = WAL")
            # What is deleted is overwritten, whatever the library was built with.
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'fsync' else 'NORMAL'}")
            if _version(connection) == 0:
                _create(connection, layout)
        version = _version(connection)
    except sqlite3.OperationalError as error:
        raise Unavailable(f"{path}: cannot be opened ({error}); see who else uses it") from error
    except sqlite3.DatabaseError as error:
        raise Damaged(f"{path}: is no {layout.what} ({error}); restore it from a copy") from error
    if version == 0 and not writable:
        raise BeingMade(path)
    if version != layout.version:
        raise OtherFormat(str(path), layout.what, version, layout.version)


class BeingMade(Unavailable):
    """A reader came before the writer was done with making the file."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path}: is being made by its writer; try again, or start it if it was killed there"
        )


def _create(connection: sqlite3.Connection, layout: Layout) -> None:
    with transaction(connection):
        # Asked again inside the transaction: another process may have made them just now.
        if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0:
            for statement in layout.statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {layout.version}")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write all of the body or nothing; takes the write lock at once, so what it read stays true."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            # The cause is what the caller must see; a rollback that fails too leaves an
            # open transaction, which SQLite throws away when the connection closes.
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """Read everything in the body from one state of the file."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("COMMIT")


def layout_of(path: Path, layout: Layout) -> int:
    """Return the version of a file's layout, whatever it is; 0 for one without tables.

    Raises:
        Damaged: not a SQLite file.
        Unavailable: it cannot be opened.
    """
    with _opened(path, layout.what, "ro") as connection:
        return _version(connection)


def change_layout(path: Path, what: str, before: int, statements: Sequence[str]) -> None:
    """Take a file from layout `before` to the next one, all or nothing, durably.

    Raises:
        NotAllowedNow: it is not of layout `before`.
        Damaged: not a SQLite file.
        Unavailable: a statement failed; the file is as it was.
    """
    with _opened(path, what, "rw") as connection:
        connection.execute("PRAGMA synchronous = FULL")
        with transaction(connection):
            found = _version(connection)
            if found != before:
                raise NotAllowedNow(f"{path}: has layout {found} by now, not {before}; run it again")
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {before + 1}")


@contextlib.contextmanager
def _opened(path: Path, what: str, mode: str) -> Iterator[sqlite3.Connection]:
    """Open a file of any layout for the body of a `with`, and name what fails."""
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=BUSY_S
        )
        with contextlib.closing(connection):
            yield connection
    except sqlite3.OperationalError as error:
        raise Unavailable(f"{path}: was not changed ({error}); see who else uses it") from error
    except sqlite3.DatabaseError as error:
        raise Damaged(f"{path}: is no {what} ({error}); restore it from a copy") from error


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Tell what SQLite raises while the body reads as the service's own errors.

    Raises:
        Unavailable: the disk failed, or somebody holds the file.
        Damaged: the bytes of the file are not what was written.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        raise Unavailable(f"{path}: cannot be read now ({error}); check the disk") from error
    except sqlite3.DatabaseError as error:
        raise Damaged(f"{path}: cannot be read ({error}); restore it from a copy") from error
