"""Reads that answer people: decisions, batches, what served. On threads of their own.

    reader    the log, by its indexes: short
    surveys   the archive, manifests of all versions: long; short reads do not wait for them, nor does
              what follows the ledger or rolls back, which has other threads

Both together hold `server.read_calls_max` calls, of which one caller never takes all. A query
that nobody waits for any more when its turn comes is passed over, and holds its place until then.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import polars as pl

from fraud.archive.archive import Archive
from fraud.errors import NotFound, Overloaded, TooLate
from fraud.eventlog.log import BatchSummary, EventLog
from fraud.records import Entry, Outcome, Scored
from fraud.serving.fairness import WaitingRoom
from fraud.serving.known_labels import KnownLabel, known_labels
from fraud.serving.paging import position_of, size_of
from fraud.serving.roles import calling, name_of
from fraud.serving.service_record import ServiceRecord
from fraud.serving.shedding import GIVEN_UP, answer_by, settled
from fraud.settings.server import Server

Row = TypeVar("Row")
Result = TypeVar("Result")
READ_ROWS = 1_000
"""Rows read in one turn of the thread; other queries get in between."""


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Rows of one page and the token of the next; "" on the last."""

    rows: list[Row]
    next_token: str


@dataclass(slots=True)
class _Query(Generic[Result]):
    """A look that waits for its thread. `answer_by_s`: monotonic; GIVEN_UP: nobody waits for it."""

    look: Callable[..., Result]
    given: tuple[Any, ...]
    answer_by_s: float

    def __call__(self) -> Result | None:
        """Take the look; None where nobody waits.

        Raises:
            TooLate: the call's deadline has passed.
        """
        if self.answer_by_s == GIVEN_UP:
            return None
        if self.answer_by_s < time.monotonic():
            raise TooLate("the call's deadline passed while it waited; nothing was read, try again")
        return self.look(*self.given)


class Queries:
    """Reads log and archive through a connection and a thread of its own."""

    def __init__(self, log: EventLog, archive: Archive, limits: Server) -> None:
        self._log = log
        self._archive = archive
        self._record = ServiceRecord(log)
        self._page_size_max = limits.page_size_max
        self._calls = WaitingRoom(limits.read_calls_max)
        self._reader, self._surveyor = (
            ThreadPoolExecutor(1, thread_name_prefix=name) for name in ("queries", "surveys")
        )

    async def decision(self, transaction_id: str) -> Entry:
        """Return the logged decision on a transaction, from the log or else the archive.

        Raises:
            NotFound: neither holds it.
        """
        entry = await self._read(self._logged, transaction_id)
        if entry is None:
            entry = await self.survey(self._archive.find_entry, transaction_id)
        if entry is None:
            raise NotFound(f"transaction_id {transaction_id!r}: no such decision; check the id")
        return entry

    async def labels_of(self, transaction_id: str) -> list[KnownLabel]:
        """Return every label known of a payment, in the order they came in."""
        return await self.survey(known_labels, self._log, self._archive, transaction_id)

    async def decisions(
        self, outcomes: Sequence[Outcome], since_us: int, model: str, token: str, size: int
    ) -> Page[Entry]:
        """Return a page of decisions still in the log, oldest first."""
        after, limit = self._page(token, size)
        entries = await self._read(self._log.decisions, outcomes, since_us, model, after, limit)
        return _page(entries, limit, [entry.position for entry in entries])

    async def batches(self, since_us: int, source: str, token: str, size: int) -> Page[BatchSummary]:
        """Return a page of label batches, oldest first."""
        after, limit = self._page(token, size)
        batches = await self._read(self._log.batches, since_us, source, after, limit)
        return _page(batches, limit, [batch.position for batch in batches])

    async def batch(self, batch_id: str) -> list[BatchSummary]:
        """Return the parts of one label batch.

        Raises:
            NotFound: it never came.
        """
        parts = await self._read(self._log.batch, batch_id)
        if not parts:
            raise NotFound(f"batch_id {batch_id!r}: no such batch came in; see 'fraud label batches'")
        return parts

    async def batches_until(self, position: int) -> list[BatchSummary]:
        """Return every label batch with a position ≤ `position`, oldest first."""
        found: list[BatchSummary] = []
        while True:
            after = found[-1].position if found else 0
            page = await self._read(self._log.batches, 0, "", after, READ_ROWS)
            found += [batch for batch in page if batch.position <= position]
            if len(page) < READ_ROWS or page[-1].position > position:
                return found

    async def applied(self) -> Sequence[Entry]:
        """Return every Applied entry, oldest first."""
        return await self._read(self._record.entries)

    async def last_applied(self) -> dict[str, Entry]:
        """Return the newest Applied entry of each model, refusals included."""
        return await self._read(self._record.last)

    async def served_at(self, model: str, at_us: int) -> Entry | None:
        """Return the entry that put in service what served a model at a moment, µs UTC."""
        return await self._read(self._record.served_at, model, at_us)

    async def history(self, model: str, token: str, size: int) -> Page[Entry]:
        """Return a page of Applied entries, newest first."""
        before, limit = self._page(token, size)
        entries = await self._read(self._record.newest, model, before, limit)
        return _page(entries, limit, [entry.position for entry in entries])

    async def decision_counts(self, versions: Sequence[str]) -> Counter[tuple[str, Outcome]]:
        """Count what versions decided, by version and outcome: in the archive, and in the log beyond it."""
        archived = await self.survey(self._archive.position)
        counts = await self.survey(self._archived_counts, versions, archived)
        wanted = frozenset(versions)
        after: int | None = archived
        while after is not None:
            page, after = await self._read(self._logged_counts, wanted, after)
            counts += page
        return counts

    def close(self) -> None:
        """Finish what is queued and stop."""
        self._reader.shutdown()
        self._surveyor.shutdown()

    async def survey(self, look: Callable[..., Result], *given: Any) -> Result:
        """Take a long look at what is kept, on the thread for those.

        Raises:
            Overloaded: too many reads wait (`server.read_calls_max`), all or the caller's.
            TooLate: the call's deadline passed while it waited.
        """
        return await self._on(self._surveyor, look, *given)

    async def _read(self, query: Callable[..., Result], *given: Any) -> Result:
        return await self._on(self._reader, query, *given)

    async def _on(self, worker: ThreadPoolExecutor, look: Callable[..., Result], *given: Any) -> Result:
        name = self._enter()
        query = _Query(look, given, answer_by())
        done = asyncio.get_running_loop().run_in_executor(worker, query)
        done.add_done_callback(lambda _: self._over(done, name))
        result: Any = await settled(query, done)
        return cast("Result", result)

    def _over(self, done: "asyncio.Future[Any]", name: str | None) -> None:
        self._calls.leave(name)
        if not done.cancelled():
            done.exception()  # whoever gave up will not ask for it

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place among the reads for the body of a `with`, for whoever calls.

        Raises:
            Overloaded: as `survey`.
        """
        name = self._enter()
        try:
            yield
        finally:
            self._calls.leave(name)

    def _enter(self) -> str | None:
        name, calls = name_of(calling()), self._calls
        if calls.free(name) < 1:
            raise Overloaded(
                f"{calls.held_by_all} queries wait already, {calls.held(name)} of them yours "
                f"(server.read_calls_max = {calls.most}); try again with back-off"
            )
        calls.enter(name)
        return name

    def _logged(self, transaction_id: str) -> Entry | None:
        return self._log.find([transaction_id]).get(transaction_id)

    def _logged_counts(
        self, versions: frozenset[str], after: int
    ) -> tuple[Counter[tuple[str, Outcome]], int | None]:
        """Count a page of the log's decisions; with the position to go on after, None at its end."""
        page = self._log.decisions((), 0, "", after, READ_ROWS)
        decisions = [entry.event.decision for entry in page if isinstance(entry.event, Scored)]
        counts = Counter((it.version, it.outcome) for it in decisions if it.version in versions)
        return counts, page[-1].position if len(page) == READ_ROWS else None

    def _archived_counts(self, versions: Sequence[str], upto: int) -> Counter[tuple[str, Outcome]]:
        with self._archive.reading():
            rows = (
                self._archive.transactions(upto)
                .filter(pl.col("version").is_in(list(versions)), ~pl.col("imported"))
                .group_by("version", "outcome")
                .len()
                .collect()
            )
        return Counter({(version, Outcome(outcome)): count for version, outcome, count in rows.iter_rows()})

    def _page(self, token: str, size: int) -> tuple[int, int]:
        limit = size_of(size, self._page_size_max)
        return position_of(token), limit


def _page(rows: list[Row], limit: int, positions: list[int]) -> Page[Row]:
    return Page(rows, str(positions[-1]) if len(rows) == limit else "")
