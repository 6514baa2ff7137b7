"""Bugs that are put in on purpose: each must be found, or the simulation proves nothing."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

import polars as pl
from deltalake import DeltaTable, write_deltalake

from fraud.bundle.bundle import Bundle
from fraud.bundle.store import BundleStore
from fraud.errors import StaleHead, Unavailable
from fraud.eventlog.connection import reading
from fraud.eventlog.sqlite import SqliteEventLog
from fraud.eventlog.tables import insert
from fraud.registry.chain import LedgerEntry, canonical_json, entry_hash
from fraud.registry.ledger import RegistryState
from fraud.registry.store import LedgerStore
from fraud.serving.champions import Champion, make_champion
from fraud.serving.server import ScoringProcess
from tests.simulation.service import Parts, SimulatedTable


class _LogWithoutSync(SqliteEventLog):
    """Commits, but leaves it to the system when that reaches the disk."""

    @classmethod
    def open(cls, *args: Any, **given: Any) -> Self:
        return super().open(*args, **{**given, "durability": "process"})


class _LogBehind(SqliteEventLog):
    """Answers first and commits with the next append."""

    def _write(self, *given: Any) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")
            self._connection.execute("BEGIN IMMEDIATE")
            insert(self._connection, *given)
        except sqlite3.Error as error:
            raise Unavailable(str(error)) from error


class _LedgerInTwo(LedgerStore):
    """Compares when it is read and swaps when it is written; in between others may have written."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._seen = RegistryState()
        super().__init__(path, connection)

    def follow(self, state: RegistryState) -> None:
        super().follow(state)
        if state is not self._seen:
            super().follow(self._seen)

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
        if kind != "Promoted":
            return super().append(
                kind, body, actor=actor, reason=reason, time_us=time_us, expected_head=expected_head
            )
        if self._seen.champion(body["model"]) != body["expected"]:
            raise StaleHead("the champion is another one")
        last = super().read()[-1]
        text = canonical_json(body)
        row = (last.seq + 1, max(time_us, last.time_us), kind, actor, reason, text, last.hash)
        own = entry_hash(*row)
        with reading(self._path):
            self._connection.execute("INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*row, own))
        return LedgerEntry(*row[:5], body, last.hash, own)


class _TableWithoutPosition(SimulatedTable):
    """Commits label rows without noting up to which position: a copy that died half-way brings them again."""

    def _commit(self, table: DeltaTable | None, rows: pl.DataFrame, upto: int) -> None:
        if self._folder.name == "transactions" or table is None:
            super()._commit(table, rows, upto)
            return
        self._disk.step("write", self._folder)
        write_deltalake(table, rows, mode="append", schema_mode="merge")
        self._disk.step("sync", self._folder)


class _BundlesWithoutSync(BundleStore):
    """Writes bundles and does not see to it that they are on disk."""

    def _write(self, bundle: Bundle) -> str:
        place = self._folder / bundle.digest
        place.mkdir(parents=True, exist_ok=True)
        for name, content in bundle.files().items():
            (place / name).write_bytes(content)
        return bundle.digest


def _keep_state(process: ScoringProcess) -> None:
    """After a failed append, keep the state that has folded what was not logged."""

    def nothing() -> None:
        state = process.scorer.state
        if state is not None:
            state.fold.advance(process.log.head())

    process.scorer._lose_state = nothing  # type: ignore[method-assign]


def _trust_every_bundle(process: ScoringProcess) -> None:
    """Load bundles without looking at digest or self-test."""

    def load(version: str) -> Champion:
        place = process.bundles._folder / process.registry.state.version(version).digest
        bundle = Bundle.from_files({path.name: path.read_bytes() for path in sorted(place.iterdir())})
        return make_champion(version, bundle, process.spec, process.settings, since_us=0, ledger_seq=0)

    process.loader.load = load  # type: ignore[method-assign]


def _forget_the_champion(process: ScoringProcess) -> None:
    """Start without what served last, and never look for it."""

    def nothing(*_: Any, **__: Any) -> None:
        pass

    process.follower._resume = nothing  # type: ignore[method-assign]
    process.follower._look_for_missing = nothing  # type: ignore[method-assign]


@dataclass(frozen=True, slots=True)
class Planted:
    """A bug: the parts that have it, and (a regular expression) the promise it breaks."""

    parts: Parts
    breaks: str


_ENDS_EARLY = "does not start: log: ends at"
"""What a start says of a log that lost what archive or snapshots were made of."""
PLANTED: Final[Mapping[str, Planted]] = MappingProxyType(
    {
        "a log that skips its fsync": Planted(Parts(log=_LogWithoutSync), f"acknowledged|{_ENDS_EARLY}"),
        "a log that commits late": Planted(
            Parts(log=_LogBehind), f"acknowledged|once in the log|gapless|{_ENDS_EARLY}"
        ),
        "a promote in two steps": Planted(
            Parts(ledger=_LedgerInTwo), "promoted over|one champion at any moment"
        ),
        "a copy that forgets its position": Planted(
            Parts(table=_TableWithoutPosition), "exactly once in the archive"
        ),
        "a bundle that is not synced": Planted(Parts(bundles=_BundlesWithoutSync), "registered is durable"),
        "a state that keeps what was not logged": Planted(
            Parts(tamper=_keep_state), "state in memory|replay equal"
        ),
        "a bundle that nobody checks": Planted(
            Parts(tamper=_trust_every_bundle), "bad bundle never serves|serves other"
        ),
        "a champion lost at a restart": Planted(Parts(tamper=_forget_the_champion), "decides no more"),
    }
)
"""What can be planted, by its name."""
