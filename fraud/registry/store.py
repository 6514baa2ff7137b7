"""The ledger in one SQLite file: several writers, one chain.

    append   BEGIN IMMEDIATE → entries not seen yet → is the head the expected one? does the entry
             fold? → insert with the hash of the head → COMMIT

The write lock is held from reading the head to writing after it, so two
processes never write after the same entry and the chain cannot fork.
"""

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

from fraud.documents import read_json
from fraud.errors import Conflict, Damaged, InvalidInput, NotAllowedNow, NotFound, StaleHead, Unavailable
from fraud.eventlog.connection import Layout, connect, reading, transaction
from fraud.registry.chain import GENESIS_HASH, LedgerEntry, canonical_json, entry_hash
from fraud.registry.ledger import FOLDS, RegistryState
from fraud.registry.wording import models_of

LAYOUT = Layout(
    "registry ledger",
    1,
    (
        """CREATE TABLE ledger (
            seq INTEGER PRIMARY KEY, time_us INTEGER NOT NULL, kind TEXT NOT NULL, actor TEXT NOT NULL,
            reason TEXT NOT NULL, body TEXT NOT NULL, previous_hash TEXT NOT NULL, hash TEXT NOT NULL)""",
    ),
)

REFUSALS = (StaleHead, NotAllowedNow, NotFound, Conflict)
"""What a fold raises when it permits an entry not, before it changes anything."""


class LedgerStore:
    """The registry ledger of a data folder. Safe to use from several threads and processes."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._lock = threading.RLock()
        self._folded = RegistryState()

    @classmethod
    def open(cls, path: Path, *, writable: bool = True, create: bool = True) -> Self:
        """Open the ledger at `path`; a writable one is created when missing, with `create`.

        Raises:
            NotFound, Damaged, Unavailable: as `fraud.eventlog.connection.connect`.
        """
        if writable and create:
            path.parent.mkdir(parents=True, exist_ok=True)
        return cls(path, connect(path, LAYOUT, writable=writable, create=create))

    def append(
        self,
        kind: str,
        body: dict[str, Any],
        *,
        actor: str,
        reason: str,
        time_us: int,
        expected_head: int | None = None,
    ) -> LedgerEntry:
        """Append an entry, durable on return. An older time is raised to that of the entry before.

        Raises:
            StaleHead: the head is not `expected_head`, or the champion not the expected one.
            NotAllowedNow, NotFound, Conflict, InvalidInput: the entry does not fold; see `ledger`.
            Unavailable: the file could not be written; nothing was.
        """
        if kind not in FOLDS:
            raise InvalidInput("kind", f"{kind!r} is no kind of entry", f"give one of {', '.join(FOLDS)}")
        body_json = canonical_json(body)
        with self._lock:
            # Most of it before the write lock, which others wait for.
            self.follow(self._folded)
            return self._append(kind, body_json, actor, reason, time_us, expected_head)

    def _append(
        self, kind: str, body_json: str, actor: str, reason: str, time_us: int, expected_head: int | None
    ) -> LedgerEntry:
        changed = False
        try:
            with transaction(self._connection):
                self.follow(self._folded)
                state = self._folded
                if expected_head is not None and state.seq != expected_head:
                    raise StaleHead(
                        f"{self._path}: the head is entry {state.seq}, not {expected_head}; "
                        "read it again and decide again"
                    )
                seq, time_us = state.seq + 1, max(time_us, state.time_us)
                previous = state.last_hash
                own = entry_hash(seq, time_us, kind, actor, reason, body_json, previous)
                entry = LedgerEntry(seq, time_us, kind, actor, reason, json.loads(body_json), previous, own)
                changed = True
                state.apply(entry)
                row = (seq, time_us, kind, actor, reason, body_json, previous, own)
                self._connection.execute("INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        except REFUSALS:
            raise
        except BaseException as error:
            if changed:
                # What was folded may not have been written: fold again from the file next time.
                self._folded = RegistryState()
            if isinstance(error, sqlite3.Error):
                raise Unavailable(
                    f"{self._path}: a {kind} was not written ({error}); check disk space and permissions"
                ) from error
            raise
        return entry

    def follow(self, state: RegistryState) -> None:
        """Apply to a fold what it does not have yet, one entry in memory at a time.

        Raises:
            Damaged: an entry cannot be read or does not follow the one before.
            Unavailable: the file cannot be read now.
        """
        with self._lock:
            for entry in self._entries(state.seq):
                state.apply(entry)

    def read(self, after: int = 0) -> list[LedgerEntry]:
        """Return the entries with a seq > `after`, in order.

        Raises:
            Damaged: a body is no JSON.
            Unavailable: the file cannot be read now.
        """
        with self._lock:
            return list(self._entries(after))

    def newest(self, model: str, before: int, limit: int) -> list[LedgerEntry]:
        """Return at most `limit` entries with a seq < `before` (0: all), newest first.

        Those of a model are its own and those that concern all; "" is every model.

        Raises:
            Damaged: a body is no JSON.
            Unavailable: the file cannot be read now.
        """
        found: list[LedgerEntry] = []
        with self._lock, reading(self._path):
            # One by one: a manifest may be long.
            rows = self._connection.execute(
                """SELECT seq, time_us, kind, actor, reason, body, previous_hash, hash FROM ledger
                WHERE seq < ? ORDER BY seq DESC""",
                (before or 2**63 - 1,),
            )
            for row in rows:
                entry = self._entry(row)
                if not model or not (about := models_of(entry)) or model in about:
                    found.append(entry)
                if len(found) == limit:
                    break
        return found

    def _entries(self, after: int) -> Iterator[LedgerEntry]:
        with reading(self._path):
            rows = self._connection.execute(
                """SELECT seq, time_us, kind, actor, reason, body, previous_hash, hash FROM ledger
                WHERE seq > ? ORDER BY seq""",
                (after,),
            )
            for row in rows:
                yield self._entry(row)

    def find(self, seqs: Iterable[int]) -> dict[int, LedgerEntry]:
        """Return the entries with these numbers; those there are none of are left out.

        Raises:
            Damaged: a body is no JSON.
            Unavailable: the file cannot be read now.
        """
        wanted = sorted(set(seqs))
        with self._lock, reading(self._path):
            rows = self._connection.execute(
                f"""SELECT seq, time_us, kind, actor, reason, body, previous_hash, hash FROM ledger
                WHERE seq IN ({", ".join("?" * len(wanted))})""",
                wanted,
            ).fetchall()
        return {row[0]: self._entry(row) for row in rows}

    def _entry(self, row: tuple[Any, ...]) -> LedgerEntry:
        try:
            body = body_of(row[5])
        except ValueError as error:
            raise self._damaged(row[0], f"its body is no JSON ({error})") from error
        seq, time_us, kind, actor, reason, _, previous_hash, own_hash = row
        return LedgerEntry(seq, time_us, kind, actor, reason, body, previous_hash, own_hash)

    def state(self) -> RegistryState:
        """Return the fold over the whole ledger, as the caller's own copy."""
        state = RegistryState()
        self.follow(state)
        return state

    def head(self) -> int:
        """Return the seq of the last entry, 0 for an empty ledger."""
        with self._lock, reading(self._path):
            return int(self._connection.execute("SELECT coalesce(max(seq), 0) FROM ledger").fetchone()[0])

    def verify(self) -> None:
        """Recompute every hash of the chain.

        A cut-off tail cannot be seen from inside; keep the last hash elsewhere to find that.

        Raises:
            Damaged: the first entry that is not what was written, by its number.
        """
        previous, last = GENESIS_HASH, 0
        with self._lock, reading(self._path):
            # One by one: a year of manifests does not fit into memory at once.
            for row in self._connection.execute(
                """SELECT seq, time_us, kind, actor, reason, body, previous_hash, hash FROM ledger
                ORDER BY seq"""
            ):
                if row[0] != last + 1:
                    raise self._damaged(last + 1, "it is missing")
                if row[6] != previous:
                    raise self._damaged(row[0], f"it does not follow entry {last}")
                try:
                    own = entry_hash(*row[:7])
                except (TypeError, ValueError) as error:
                    raise self._damaged(row[0], f"it cannot be read ({error})") from error
                if own != row[7]:
                    raise self._damaged(row[0], "its content does not match its hash")
                last, previous = row[0], row[7]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _damaged(self, seq: int, what: str) -> Damaged:
        return Damaged(f"{self._path}: ledger entry {seq} is damaged: {what}; restore the ledger from a copy")


def body_of(body_json: str) -> dict[str, Any]:
    """Return the body of an entry from its stored text.

    Raises:
        ValueError: it is no JSON object.
    """
    body = read_json(body_json)
    if not isinstance(body, dict):
        raise ValueError("it is no object")
    return body


def promote(
    store: LedgerStore,
    model: str,
    version: str,
    expected: str,
    *,
    actor: str,
    reason: str,
    time_us: int,
    probation_us: int = 0,
    verdict_seq: int | None = None,
) -> LedgerEntry:
    """Make `version` the champion in place of `expected` ("" for none), or not at all.

    `probation_us` > 0 puts it on probation beside the former champion for so long. `verdict_seq` is the
    entry of the verdict that the promotion rests on, None for none.

    Raises:
        StaleHead: the champion is another one by now.
        NotAllowedNow: the version was rejected or superseded, or is of another model; or the verdict
            does not stand (`fraud.registry.approval`).
        NotFound: it was never registered.
    """
    body = {"model": model, "version": version, "expected": expected, "probation_us": probation_us}
    if verdict_seq is not None:
        body["verdict"] = verdict_seq
    return store.append("Promoted", body, actor=actor, reason=reason, time_us=time_us)


def roll_back(
    store: LedgerStore,
    model: str,
    version: str,
    expected: str,
    *,
    actor: str,
    reason: str,
    time_us: int,
    **why: Any,
) -> LedgerEntry:
    """Put a former champion back in place of `expected`, or ("") none; or do not at all.

    `why` holds what applies of before_us, exclusion, mute (see `fraud.registry.exclusions`) and
    probation (see `fraud.registry.probation`).

    Raises:
        StaleHead: the champion is another one by now.
        NotAllowedNow: the version never was champion, is tainted, or its bundle is gone.
    """
    body = {"model": model, "version": version, "expected": expected}
    body |= {"before_us": None, "exclusion": 0, "mute": None} | why
    return store.append("RolledBack", body, actor=actor, reason=reason, time_us=time_us)
