"""The event log in memory: for tests, examples and backtests. Nothing survives the process."""

import dataclasses
import threading
from collections.abc import Collection, Iterator, Sequence

from fraud.errors import Conflict
from fraud.eventlog.codec import blank, decode, encode
from fraud.eventlog.headings import heading_due
from fraud.eventlog.log import (
    DECIDED,
    BatchSummary,
    Erasure,
    NewToken,
    arrivals_of,
    check_taken,
    summarise,
)
from fraud.records import (
    Applied,
    BatchRetracted,
    Entry,
    Event,
    Heading,
    Headings,
    LabelsSubmitted,
    Outcome,
    Scored,
)


class MemoryEventLog:
    """Keeps the promises of `EventLog` but durability. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._entries: list[Entry] = []
        self._head = 0
        self._pruned = 0
        self._last_arrival_us = 0
        self._scored: dict[str, Entry] = {}
        self._batches: dict[tuple[str, int], BatchSummary] = {}
        self._retracted: set[str] = set()
        self._applied: dict[str, Entry] = {}
        self._tokens: dict[tuple[int, int], str | None] = {}
        self._erasures: dict[tuple[int, int], Erasure] = {}
        self._headings: dict[int, Heading] = {}

    def append(
        self, events: Sequence[Event], arrival_time_us: int | Sequence[int], new_tokens: Sequence[NewToken]
    ) -> int:
        """Append all or nothing and return the position of the first; see `EventLog`."""
        with self._lock:
            first = self._head + 1
            arrivals = arrivals_of(events, arrival_time_us, self._last_arrival_us)
            entries = [Entry(first + i, arrivals[i], event) for i, event in enumerate(events)]
            self._refuse_duplicates(events, new_tokens)
            for entry in entries:
                self._take(entry)
            self._tokens.update({(new.entity_index, new.surrogate): new.token for new in new_tokens})
            return first

    def _refuse_duplicates(self, events: Sequence[Event], new_tokens: Sequence[NewToken]) -> None:
        ids = [event.transaction_id for event in events if isinstance(event, Scored)]
        parts = [(event.batch_id, event.part) for event in events if isinstance(event, LabelsSubmitted)]
        retracted = [event.batch_id for event in events if isinstance(event, BatchRetracted)]
        keys = [(new.entity_index, new.surrogate) for new in new_tokens]
        twice = (
            len(set(ids)) < len(ids)
            or len(set(parts)) < len(parts)
            or len(set(retracted)) < len(retracted)
            or not self._retracted.isdisjoint(retracted)
            or len(set(keys)) < len(keys)
            or any(transaction_id in self._scored for transaction_id in ids)
            or any(part in self._batches for part in parts)
            or any(key in self._tokens for key in keys)
        )
        if twice:
            raise Conflict(
                f"{len(events)} events were not appended: a transaction id, batch part or token "
                "was taken before; look it up with find() first"
            )

    def _take(self, entry: Entry) -> None:
        event = entry.event
        self._entries.append(entry)
        self._head = entry.position
        self._last_arrival_us = entry.arrival_time_us
        if isinstance(event, Scored):
            self._scored[event.transaction_id] = entry
        elif isinstance(event, LabelsSubmitted):
            summary = summarise(entry.position, entry.arrival_time_us, event)
            self._batches[event.batch_id, event.part] = summary
        elif isinstance(event, BatchRetracted):
            self._retracted.add(event.batch_id)
        elif isinstance(event, Applied):
            self._applied[event.model] = entry

    def head(self) -> int:
        """Return the last position."""
        return self._head

    def first(self) -> int:
        """Return the position from which on nothing is missing."""
        return self._pruned + 1

    def last_arrival_us(self) -> int:
        """Return the newest arrival time, µs UTC."""
        return self._last_arrival_us

    def read(self, after: int, limit: int) -> list[Entry]:
        """Return at most `limit` entries with a position > `after`, in order."""
        with self._lock:
            kept_applied = len(self._entries) - (self._head - self._pruned)
            start = kept_applied + after - self._pruned if after >= self._pruned else 0
            tail = self._entries[start:] if after < self._pruned else self._entries[start : start + limit]
            return [entry for entry in tail if entry.position > after][:limit]

    def find(self, transaction_ids: Sequence[str]) -> dict[str, Entry]:
        """Return the Scored entries still held, by transaction id."""
        with self._lock:
            return {key: self._scored[key] for key in transaction_ids if key in self._scored}

    def batch_digest(self, batch_id: str, part: int) -> str | None:
        """Return the digest of a batch part taken at any time."""
        summary = self._batches.get((batch_id, part))
        return None if summary is None else summary.digest

    def batch(self, batch_id: str) -> list[BatchSummary]:
        """Return the parts of one batch, by position."""
        with self._lock:
            return [self._shown(it) for it in self._batches.values() if it.batch_id == batch_id]

    def batch_owner(self, batch_id: str) -> str | None:
        """Return the submitter of the lowest part of a batch that came in."""
        parts = self.batch(batch_id)
        return min(parts, key=lambda it: it.part).submitter if parts else None

    def is_retracted(self, batch_id: str) -> bool:
        """Tell whether a batch was taken back at any time."""
        return batch_id in self._retracted

    def _shown(self, summary: BatchSummary) -> BatchSummary:
        return dataclasses.replace(summary, retracted=summary.batch_id in self._retracted)

    def batches(self, since_us: int, source: str, after: int, limit: int) -> list[BatchSummary]:
        """Return label batches by arrival, source and position, in order."""
        with self._lock:
            found = [
                self._shown(summary)
                for summary in self._batches.values()
                if summary.position > after
                and summary.arrival_time_us >= since_us
                and source in ("", summary.source)
            ]
            return found[:limit]

    def decisions(
        self, outcomes: Sequence[Outcome], since_us: int, model: str, after: int, limit: int
    ) -> list[Entry]:
        """Return decisions by outcome, arrival, model and position, in order."""
        wanted = set(outcomes or DECIDED) & set(DECIDED)
        with self._lock:
            found = [
                entry
                for entry in self._entries
                if entry.position > after
                and entry.arrival_time_us >= since_us
                and isinstance(entry.event, Scored)
                and entry.event.decision.outcome in wanted
                and model in ("", entry.event.model)
            ]
            return found[:limit]

    def last_applied(self) -> dict[str, Entry]:
        """Return the newest Applied entry of each model."""
        with self._lock:
            return dict(self._applied)

    def applied(self, after: int = 0) -> list[Entry]:
        """Return every Applied entry with a position > `after`, in order; pruning keeps them."""
        with self._lock:
            return [
                entry
                for entry in self._entries
                if isinstance(entry.event, Applied) and entry.position > after
            ]

    def tokens(self) -> Iterator[NewToken]:
        """Iterate over every token, by entity and surrogate."""
        with self._lock:
            tokens = sorted(self._tokens.items())
        return iter([NewToken(*key, token) for key, token in tokens if token is not None])

    def next_surrogates(self) -> dict[int, int]:
        """Return the lowest surrogate never given, by entity index."""
        with self._lock:
            return {entity: surrogate + 1 for entity, surrogate in sorted(self._tokens)}

    def begin_erasure(self, erasure: Erasure) -> list[NewToken]:
        """Take tokens away and note the erasure; see `EventLog`."""
        with self._lock:
            taken = []
            for key in (erasure.key, *erasure.linked):
                token = self._tokens.get(key)
                if token is not None:
                    taken.append(NewToken(*key, token))
            check_taken(erasure, taken)
            self._tokens.update({(it.entity_index, it.surrogate): None for it in taken})
            self._erasures[erasure.key] = erasure
            return taken

    def erasures(self) -> list[Erasure]:
        """Return the erasures begun and not finished."""
        with self._lock:
            return [erasure for _, erasure in sorted(self._erasures.items())]

    def erase(
        self, positions: Sequence[int], categoricals: Sequence[int], transaction_ids: Collection[str]
    ) -> int:
        """Blank what is personal in the entries at `positions`; see `EventLog`."""
        wanted, changed = set(positions), 0
        with self._lock:
            for place, entry in enumerate(self._entries):
                if entry.position not in wanted:
                    continue
                kind, body = encode(entry.event)
                blanked = blank(kind, body, categoricals, transaction_ids)
                if blanked is not None:
                    changed += 1
                    event = decode(kind, blanked)
                    self._entries[place] = dataclasses.replace(entry, event=event)
                    if isinstance(event, Scored):
                        self._scored[event.transaction_id] = self._entries[place]
        return changed

    def secure(self) -> int:
        """Return the last position: memory has nothing to sync."""
        return self.head()

    def hold_to_heading(self, heading: Heading) -> None:
        """Take what is logged from here on as logged under this heading; see `EventLog`."""
        with self._lock:
            since = heading_due(self.headings(), heading, self._head, "event log")
            if since is not None:
                self._headings[since] = heading

    def headings(self) -> Headings:
        """Return every heading with the position it holds from, in order."""
        with self._lock:
            return sorted(self._headings.items(), key=lambda it: it[0])

    def prove_writable(self) -> None:
        """Do nothing: memory can be written."""

    def scrub(self, wait_s: float) -> None:
        """Do nothing: there are no files."""

    def finish_erasure(self, erasure: Erasure) -> None:
        """Take the note of an erasure away."""
        with self._lock:
            self._erasures.pop(erasure.key, None)

    def prune(self, upto_position: int, before_arrival_us: int) -> int:
        """Remove the prefix at or before a position and older than an arrival; Applied entries stay."""
        with self._lock:
            kept = []
            for entry in self._entries:
                gone = entry.position <= upto_position and entry.arrival_time_us < before_arrival_us
                if gone:
                    self._pruned = max(self._pruned, entry.position)
                if not gone or isinstance(entry.event, Applied):
                    kept.append(entry)
                elif isinstance(entry.event, Scored):
                    del self._scored[entry.event.transaction_id]
            removed = len(self._entries) - len(kept)
            self._entries = kept
            return removed

    def close(self) -> None:
        """Do nothing: there is nothing to release."""
