"""The tables of the event log in SQLite, and the small questions asked of them.

    entries   position · arrival · kind · transaction id · outcome · model · body     one row per event
    batches   one row per label batch part            ┐
    retracted one row per batch taken back            │
    applied   every Applied once more, by position    ├ written with the entries, never pruned
    tokens    entity · surrogate → token              │
    erasures  erasures begun and not finished         │
    meta      entity names, headings; how far pruned  ┘

The index by outcome leaves imported transactions (outcome 0) out: nobody
decided them here.

What is removed must be gone from the file, too. SQLite overwrites a deleted row
(secure_delete), but where it moves rows between pages, copies of them may stay
behind in the slack of a page. So rows that matter are never moved:

    entries   appended at the end; blanked at their old length, in place; pruned rows become
              STUBS of zeros first and are deleted one span later, so only stubs are moved
    tokens    appended at the end; an erased one is overwritten in place and keeps its surrogate
"""

import contextlib
import dataclasses
import json
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from fraud.documents import read_json
from fraud.errors import ConfigError, Damaged
from fraud.eventlog.codec import blank, encode
from fraud.eventlog.connection import BeingMade, Layout, transaction
from fraud.eventlog.log import BatchSummary, Erasure, NewToken, check_taken, summarise
from fraud.records import Applied, BatchRetracted, Event, LabelsSubmitted, Scored

LAYOUT = Layout(
    "event log",
    2,
    (
        """CREATE TABLE entries (
            position INTEGER PRIMARY KEY, arrival_time_us INTEGER NOT NULL, kind INTEGER NOT NULL,
            transaction_id TEXT, outcome INTEGER, model TEXT, body BLOB NOT NULL)""",
        "CREATE UNIQUE INDEX entries_by_id ON entries (transaction_id) WHERE transaction_id IS NOT NULL",
        "CREATE INDEX entries_by_outcome ON entries (outcome, position, model) WHERE outcome > 0",
        """CREATE TABLE batches (
            position INTEGER PRIMARY KEY, arrival_time_us INTEGER NOT NULL, batch_id TEXT NOT NULL,
            part INTEGER NOT NULL, source TEXT NOT NULL, submitter TEXT NOT NULL, frauds INTEGER NOT NULL,
            legitimates INTEGER NOT NULL, withdrawn INTEGER NOT NULL, digest TEXT NOT NULL,
            UNIQUE (batch_id, part))""",
        "CREATE TABLE retracted (batch_id TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID",
        """CREATE TABLE applied (
            model TEXT NOT NULL, position INTEGER PRIMARY KEY, arrival_time_us INTEGER NOT NULL,
            kind INTEGER NOT NULL, body BLOB NOT NULL)""",
        "CREATE TABLE tokens (entity_index INTEGER NOT NULL, surrogate INTEGER NOT NULL, token NOT NULL)",
        "CREATE UNIQUE INDEX tokens_by_surrogate ON tokens (entity_index, surrogate)",
        """CREATE TABLE erasures (
            entity_index INTEGER, surrogate INTEGER, body TEXT NOT NULL,
            PRIMARY KEY (entity_index, surrogate)) WITHOUT ROWID""",
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
        "INSERT INTO meta VALUES ('pruned', '[0, 0]')",
    ),
)

Row = tuple[Any, ...]

STUBS = 500
"""Rows of zeros kept between what is pruned and what is held: more than stand on the three pages
among which SQLite balances rows when some are deleted."""
STUB = "CASE kind WHEN 1 THEN 0 ELSE -kind END"
"""The kind of a stub takes no more room than that of its row; no kind below 1 is read."""

INSERT_SIZES = (64, 16, 4, 1)
"""Rows that one prepared statement inserts. Each call of SQLite gives up the interpreter lock and
has to win it back from the event loop, so few calls with many rows beat a call a row."""


def _insert_statements(table: str, columns: int) -> dict[int, str]:
    row = f"({', '.join('?' * columns)})"
    return {size: f"INSERT INTO {table} VALUES {', '.join([row] * size)}" for size in INSERT_SIZES}


FIND_SIZES = (1, 4, 16, 32, 64, 512)
"""Ids looked up by one prepared statement; a rest is padded to the next size."""
FIND_ROWS = FIND_SIZES[-1]

ENTRY = "SELECT position, arrival_time_us, kind, body FROM entries"
_FIND = {size: f"{ENTRY} WHERE transaction_id IN ({', '.join('?' * size)})" for size in FIND_SIZES}


_ENTRIES = _insert_statements("entries", 7)
_TOKENS = _insert_statements("tokens", 3)


def _insert_many(connection: sqlite3.Connection, statements: dict[int, str], rows: Sequence[Row]) -> None:
    start = 0
    for size in INSERT_SIZES:
        while len(rows) - start >= size:
            values = list(chain.from_iterable(rows[start : start + size]))
            connection.execute(statements[size], values)
            start += size


def insert(
    connection: sqlite3.Connection,
    events: Sequence[Event],
    first: int,
    arrivals: Sequence[int],
    new_tokens: Sequence[NewToken],
) -> None:
    """Insert events and tokens; inside a transaction of the caller."""
    rows, batches, applied, retracted = _rows_of(events, first, arrivals)
    _insert_many(connection, _ENTRIES, rows)
    if new_tokens:
        _insert_many(connection, _TOKENS, [(it.entity_index, it.surrogate, it.token) for it in new_tokens])
    if batches:
        connection.executemany(
            "INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [_batch_row(b) for b in batches]
        )
    if applied:
        connection.executemany("INSERT INTO applied VALUES (?, ?, ?, ?, ?)", applied)
    if retracted:
        connection.executemany("INSERT INTO retracted VALUES (?, ?)", retracted)


def _rows_of(
    events: Sequence[Event], first: int, arrivals: Sequence[int]
) -> tuple[list[Row], list[BatchSummary], list[Row], list[Row]]:
    """Return rows of `entries`, batch summaries, rows of `applied` and of `retracted`."""
    rows: list[Row] = []
    batches = []
    applied: list[Row] = []
    retracted: list[Row] = []
    for position, (event, arrival_us) in enumerate(zip(events, arrivals, strict=True), first):
        kind, body = encode(event)
        if isinstance(event, Scored):
            outcome = int(event.decision.outcome)
            rows.append((position, arrival_us, kind, event.transaction_id, outcome, event.model, body))
            continue
        rows.append((position, arrival_us, kind, None, None, None, body))
        if isinstance(event, LabelsSubmitted):
            batches.append(summarise(position, arrival_us, event))
        elif isinstance(event, Applied):
            applied.append((event.model, position, arrival_us, kind, body))
        elif isinstance(event, BatchRetracted):
            retracted.append((event.batch_id, position))
    return rows, batches, applied, retracted


def _batch_row(batch: BatchSummary) -> Row:
    return (
        batch.position,
        batch.arrival_time_us,
        batch.batch_id,
        batch.part,
        batch.source,
        batch.submitter,
        batch.frauds,
        batch.legitimates,
        batch.withdrawn,
        batch.digest,
    )


def find_rows(connection: sqlite3.Connection, transaction_ids: Sequence[str]) -> list[Row]:
    """Return the rows of `entries` with these ids, 1 to `FIND_ROWS` of them."""
    size = next(size for size in FIND_SIZES if size >= len(transaction_ids))
    padded = [*transaction_ids, *[transaction_ids[-1]] * (size - len(transaction_ids))]
    return connection.execute(_FIND[size], padded).fetchall()


def find_batches(connection: sqlite3.Connection, where: str, values: Row) -> list[BatchSummary]:
    """Return the label batches for which an SQL condition and what follows it hold."""
    rows = connection.execute(
        f"""SELECT position, arrival_time_us, batch_id, part, source, submitter, frauds, legitimates,
            withdrawn, digest, batch_id IN (SELECT batch_id FROM retracted) FROM batches WHERE {where}""",
        values,
    )
    return [BatchSummary(*(*row[:10], bool(row[10]))) for row in rows]


def last_entry(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return position and arrival (µs UTC) of the newest entry, pruned or not; (0, 0) for none."""
    query = "SELECT position, arrival_time_us FROM entries ORDER BY position DESC LIMIT 1"
    held = connection.execute(query).fetchone() or (0, 0)
    return max(pruned_upto(connection), (int(held[0]), int(held[1])))


def count_entries(connection: sqlite3.Connection) -> int:
    """Return how many entries are held; walks all of them."""
    return int(connection.execute("SELECT count(*) FROM entries WHERE kind > 0").fetchone()[0])


def pruned_upto(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return position and arrival (µs UTC) of the newest entry that pruning has passed."""
    (text,) = connection.execute("SELECT value FROM meta WHERE key = 'pruned'").fetchone()
    with noting("event log: how far it is pruned"):
        position, arrival_us = read_json(text)
        return int(position), int(arrival_us)


def pass_pruned(connection: sqlite3.Connection, start: int, stop: int, kept_kind: int) -> int:
    """Empty positions in `(start, stop]` but those of one kind, and note it; return how many.

    Deletes the stubs that earlier calls have left, but the last `STUBS`.
    """
    query = "SELECT arrival_time_us FROM entries WHERE position = ?"
    (arrival_us,) = connection.execute(query, (stop,)).fetchone()
    cursor = connection.execute(
        f"""UPDATE entries SET kind = {STUB}, transaction_id = NULL, outcome = NULL, model = NULL,
            body = zeroblob(length(body)) WHERE position > ? AND position <= ? AND kind <> ?""",
        (start, stop, kept_kind),
    )
    connection.execute(
        "DELETE FROM entries WHERE position > ? AND position <= ? AND kind < 1", (start - STUBS, stop - STUBS)
    )
    note = json.dumps([stop, arrival_us])
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('pruned', ?)", (note,))
    return cursor.rowcount


def position_before(connection: sqlite3.Connection, arrival_us: int) -> int:
    """Return the last position that arrived before `arrival_us`, by bisection: arrival never decreases.

    Not below what is pruned: nothing is missed there.
    """
    query = "SELECT arrival_time_us FROM entries WHERE position = ?"
    low, high = pruned_upto(connection)[0], last_entry(connection)[0]
    while low < high:
        middle = (low + high + 1) // 2
        row = connection.execute(query, (middle,)).fetchone()
        # None: another process has pruned it meanwhile, so it is older than what is asked for.
        if row is None or row[0] < arrival_us:
            low = middle
        else:
            high = middle - 1
    return low


@contextlib.contextmanager
def noting(what: str) -> Iterator[None]:
    """Say of a note that the body of a `with` cannot read that it is damaged.

    Raises:
        Damaged: it is not what was written.
    """
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise Damaged(f"{what} cannot be read ({error!r}); restore the log from a copy") from error


def check_entities(connection: sqlite3.Connection, path: Path, names: list[str], writable: bool) -> None:
    """Write the entity names into a new log, or hold them against those it was made for.

    Raises:
        ConfigError: other names, or in another order.
        BeingMade: a reader came while the log was being made.
    """
    query = "SELECT value FROM meta WHERE key = 'entities'"
    row = connection.execute(query).fetchone()
    if row is None and writable:
        with transaction(connection):
            connection.execute("INSERT INTO meta VALUES ('entities', ?)", (json.dumps(names),))
        return
    if row is None:
        raise BeingMade(path)
    with noting(f"{path}: its entities"):
        made_for = [str(it) for it in read_json(row[0])]
    if made_for != names:
        raise ConfigError(
            f"{path}: was made for the entities {', '.join(made_for)}, the configuration names "
            f"{', '.join(names)}; put [schema.entities] back, or start with an empty data_dir"
        )


def check_key(connection: sqlite3.Connection, path: Path, fingerprint: str, writable: bool) -> None:
    """Write down under which key tokens are hashed while there are none, or hold it against what was written.

    Raises:
        ConfigError: the tokens were taken in under another key, without one, or with one.
    """
    row = connection.execute("SELECT value FROM meta WHERE key = 'entity_key'").fetchone()
    held = "" if row is None else row[0]
    if held == fingerprint:
        return
    filled = connection.execute("SELECT 1 FROM tokens LIMIT 1").fetchone() is not None
    if not filled:
        if writable:
            with transaction(connection):
                connection.execute("DELETE FROM meta WHERE key = 'entity_key'")
                if fingerprint:
                    connection.execute("INSERT INTO meta VALUES ('entity_key', ?)", (fingerprint,))
        return
    was = f"under the entity key {held}" if held else "without an entity key"
    now = f"names the key {fingerprint}" if fingerprint else "names none"
    raise ConfigError(
        f"{path}: its tokens were taken in {was}, the configuration {now} (service.entity_key_file); every "
        "entity would be a new one: put the key back, or start with an empty data_dir"
    )


def check_currency(connection: sqlite3.Connection, path: Path, currency: str, writable: bool) -> None:
    """Write down in which currency amounts are counted, or hold it against what was written.

    An older log names none, and takes the one that is configured.

    Raises:
        ConfigError: what it holds was counted in another one.
    """
    row = connection.execute("SELECT value FROM meta WHERE key = 'currency'").fetchone()
    if row is not None and row[0] == currency:
        return
    if row is None or connection.execute("SELECT 1 FROM tokens LIMIT 1").fetchone() is None:
        if writable:
            with transaction(connection):
                connection.execute("INSERT OR REPLACE INTO meta VALUES ('currency', ?)", (currency,))
        return
    raise ConfigError(
        f"{path}: its amounts are in {row[0]}, the configuration names {currency} (service.currency); every "
        "sum and every model would be of both: put the currency back, or start with an empty data_dir"
    )


def all_tokens(connection: sqlite3.Connection) -> Iterator[NewToken]:
    """Iterate over the tokens that were not erased, by entity and surrogate."""
    rows = connection.execute(
        """SELECT entity_index, surrogate, token FROM tokens WHERE typeof(token) = 'text'
        ORDER BY entity_index, surrogate"""
    )
    return (NewToken(*row) for row in rows)


def next_surrogates(connection: sqlite3.Connection) -> dict[int, int]:
    """Return the lowest surrogate never given, by entity index; erased ones were given."""
    rows = connection.execute("SELECT entity_index, max(surrogate) + 1 FROM tokens GROUP BY entity_index")
    return dict(rows.fetchall())


def take_tokens(connection: sqlite3.Connection, erasure: Erasure) -> list[NewToken]:
    """Overwrite tokens with zeros in place and note the erasure; inside a transaction of the caller.

    Raises:
        NotFound: the entity has no token.
    """
    query = "SELECT rowid, token FROM tokens WHERE entity_index = ? AND surrogate = ?"
    taken = []
    for key in (erasure.key, *erasure.linked):
        rowid, token = connection.execute(query, key).fetchone() or (0, None)
        if isinstance(token, str):
            taken.append(NewToken(*key, token))
            connection.execute(
                "UPDATE tokens SET token = zeroblob(?) WHERE rowid = ?", (len(token.encode()), rowid)
            )
    check_taken(erasure, taken)
    told = dataclasses.asdict(erasure)
    body = json.dumps({name: told[name] for name in told if name not in ("entity_index", "surrogate")})
    connection.execute("INSERT OR REPLACE INTO erasures VALUES (?, ?, ?)", (*erasure.key, body))
    return taken


def noted_erasures(connection: sqlite3.Connection) -> list[Erasure]:
    """Return the erasures noted, by entity and surrogate."""
    rows = connection.execute("SELECT * FROM erasures ORDER BY entity_index, surrogate")
    found = []
    for entity_index, surrogate, body in rows:
        with noting("event log: an erasure that was begun"):
            told = read_json(body)
            linked = tuple((int(entity), int(number)) for entity, number in told.pop("linked"))
            found.append(Erasure(entity_index, surrogate, **told, linked=linked))
    return found


def blank_entries(
    connection: sqlite3.Connection,
    positions: Sequence[int],
    categoricals: Sequence[int],
    transaction_ids: Collection[str],
) -> int:
    """Blank entries in place and return how many changed; inside a transaction of the caller."""
    marks = ", ".join("?" * len(positions))
    rows = connection.execute(
        f"SELECT position, kind, body FROM entries WHERE position IN ({marks})", list(positions)
    ).fetchall()
    blanked = [(blank(kind, body, categoricals, transaction_ids), position) for position, kind, body in rows]
    changed = [(body, position) for body, position in blanked if body is not None]
    connection.executemany("UPDATE entries SET body = ? WHERE position = ?", changed)
    return len(changed)
