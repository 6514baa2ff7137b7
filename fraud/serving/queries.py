"""Reads that answer people: decisions, batches. On reader threads, never on the scoring one."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from fraud.archive.archive import Archive
from fraud.errors import InvalidInput, NotFound
from fraud.eventlog.log import BatchSummary, EventLog
from fraud.records import Entry, Outcome

Row = TypeVar("Row")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Rows of one page and the token of the next; "" on the last."""

    rows: list[Row]
    next_token: str


class Queries:
    """Reads log and archive through a connection and a thread of its own."""

    def __init__(self, log: EventLog, archive: Archive, page_size_max: int) -> None:
        self._log = log
        self._archive = archive
        self._page_size_max = page_size_max
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="queries")

    async def decision(self, transaction_id: str) -> Entry:
        """Return the logged decision on a transaction, from the log or else the archive.

        Raises:
            NotFound: neither holds it.
        """
        return await self._read(lambda: self._find(transaction_id))

    async def decisions(
        self, outcomes: Sequence[Outcome], since_us: int, model: str, token: str, size: int
    ) -> Page[Entry]:
        """Return a page of decisions still in the log, oldest first."""
        after, limit = self._page(token, size)
        entries = await self._read(lambda: self._log.decisions(outcomes, since_us, model, after, limit))
        return _page(entries, limit, [entry.position for entry in entries])

    async def batches(self, since_us: int, source: str, token: str, size: int) -> Page[BatchSummary]:
        """Return a page of label batches, oldest first."""
        after, limit = self._page(token, size)
        batches = await self._read(lambda: self._log.batches(since_us, source, after, limit))
        return _page(batches, limit, [batch.position for batch in batches])

    async def applied(self) -> list[Entry]:
        """Return every Applied entry, oldest first."""
        return await self._read(self._log.applied)

    def close(self) -> None:
        """Finish what is queued and stop."""
        self._reader.shutdown()

    async def _read(self, query: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._reader, query)

    def _find(self, transaction_id: str) -> Entry:
        found = self._log.find([transaction_id]).get(transaction_id)
        if found is None:
            found = self._archive.find_entry(transaction_id)
        if found is None:
            raise NotFound(f"transaction_id {transaction_id!r}: no such decision; check the id")
        return found

    def _page(self, token: str, size: int) -> tuple[int, int]:
        if not 0 <= size <= self._page_size_max:
            raise InvalidInput(
                "page_size", f"is {size}", f"send 0 to {self._page_size_max} (server.page_size_max)"
            )
        if token and not token.isdigit():
            raise InvalidInput(
                "page_token", f"{token!r} is none", "send the next_page_token of the page before"
            )
        return int(token or 0), size or min(100, self._page_size_max)


def _page(rows: list[Row], limit: int, positions: list[int]) -> Page[Row]:
    return Page(rows, str(positions[-1]) if len(rows) == limit else "")
