"""What an event log promises. Two implementations keep it: SQLite and memory.

    position   1   2   3   4   5   6        without gaps, in order of appending
    arrival   10  10  10  15  15  20        never decreasing: "known at T" is a prefix

Pruning takes a prefix of the log away, except the `Applied` entries ("what
served at T" is a fold over all of them). Batch summaries, which of them were
retracted, tokens and headings are not entries; they stay for ever.

Nothing is rewritten, but for a person who is erased: the token goes first, and
in the same step the erasure is noted, by surrogate, until it is finished. So
whoever finds the note goes on with it, without the token. A surrogate is never
given away again.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from fraud.errors import InvalidInput, NotFound
from fraud.records import Entry, Event, Heading, Headings, LabelsSubmitted, LabelValue, Outcome

DECIDED = (Outcome.APPROVE, Outcome.CHALLENGE, Outcome.REVIEW, Outcome.DECLINE)
"""The outcomes of decisions; imported transactions carry none of them."""


@dataclass(frozen=True, slots=True)
class NewToken:
    """An entity token seen for the first time, with the surrogate that stands for it from here on."""

    entity_index: int
    surrogate: int
    token: str


@dataclass(frozen=True, slots=True)
class Erasure:
    """An erasure that was begun: whose, and on whose word.

    Everything of the entity stands at or before position `upto`. `linked` are
    (entity index, surrogate) of entities whose tokens go with it; `time_us` is
    µs UTC. `transactions`, `fields` and `comments` count what there was to blank.
    """

    entity_index: int
    surrogate: int
    upto: int
    time_us: int
    actor: str
    reason: str
    linked: tuple[tuple[int, int], ...] = ()
    transactions: int = 0
    fields: int = 0
    comments: int = 0

    @property
    def key(self) -> tuple[int, int]:
        """Entity index and surrogate."""
        return self.entity_index, self.surrogate


@dataclass(frozen=True, slots=True)
class BatchSummary:
    """One part of a label batch without its labels; `position` is its place in the log.

    `retracted`: the batch was taken back later.
    """

    position: int
    arrival_time_us: int
    batch_id: str
    part: int
    source: str
    submitter: str
    frauds: int
    legitimates: int
    withdrawn: int
    digest: str
    retracted: bool = False

    @property
    def labels(self) -> int:
        """Labels of the part, whatever they say."""
        return self.frauds + self.legitimates + self.withdrawn


class EventLog(Protocol):
    """An append-only log of events with one writer and any number of readers."""

    def append(
        self, events: Sequence[Event], arrival_time_us: int | Sequence[int], new_tokens: Sequence[NewToken]
    ) -> int:
        """Append all or nothing and return the position of the first; durable on return.

        `arrival_time_us` is one for all events or one for each (µs UTC); an
        older one is raised to the last in the log. No events: returns the
        position the next one will get.

        Raises:
            Conflict: a transaction id, a batch part or a token was taken before, or a batch was
                retracted before.
            Unavailable: nothing was written (disk full, I/O error).
        """
        ...

    def head(self) -> int:
        """Return the last position; 0 when nothing was ever appended."""
        ...

    def first(self) -> int:
        """Return the position from which on nothing is missing; head + 1 when all is pruned."""
        ...

    def last_arrival_us(self) -> int:
        """Return the newest arrival time, µs UTC; 0 when nothing was ever appended."""
        ...

    def read(self, after: int, limit: int) -> list[Entry]:
        """Return at most `limit` entries with a position > `after`, in order.

        Before `first()` only `Applied` entries are left.
        """
        ...

    def find(self, transaction_ids: Sequence[str]) -> dict[str, Entry]:
        """Return the Scored entries still held, by transaction id; unknown ids are left out."""
        ...

    def batch_digest(self, batch_id: str, part: int) -> str | None:
        """Return the digest of a batch part taken at any time, None when it never came."""
        ...

    def batch(self, batch_id: str) -> list[BatchSummary]:
        """Return the parts of one batch, by position; none when it never came."""
        ...

    def batch_owner(self, batch_id: str) -> str | None:
        """Return who handed in a batch, None when it never came; costs the same however many parts it has."""
        ...

    def is_retracted(self, batch_id: str) -> bool:
        """Tell whether a batch was taken back at any time; costs the same however many parts it has."""
        ...

    def batches(self, since_us: int, source: str, after: int, limit: int) -> list[BatchSummary]:
        """Return label batches that arrived at or after `since_us`, position > `after`, in order.

        `source` "": every source.
        """
        ...

    def decisions(
        self, outcomes: Sequence[Outcome], since_us: int, model: str, after: int, limit: int
    ) -> list[Entry]:
        """Return decisions still held that arrived at or after `since_us`, position > `after`, in order.

        No outcomes: every one of `DECIDED`; `model` "": every model. Imported
        transactions were not decided here and never appear.
        """
        ...

    def last_applied(self) -> dict[str, Entry]:
        """Return the newest Applied entry of each model."""
        ...

    def applied(self, after: int = 0) -> list[Entry]:
        """Return every Applied entry with a position > `after`, in order: the record of what served when."""
        ...

    def tokens(self) -> Iterator[NewToken]:
        """Iterate over every token, by entity and surrogate; erased ones are left out."""
        ...

    def next_surrogates(self) -> dict[int, int]:
        """Return the lowest surrogate never given, by entity index; an index without one has had none."""
        ...

    def begin_erasure(self, erasure: Erasure) -> list[NewToken]:
        """Take the tokens of an entity and those linked to it away, and note the erasure; return them.

        Both or neither, durable on return.

        Raises:
            NotFound: the entity has no token (any more).
            Unavailable: nothing was written.
        """
        ...

    def erasures(self) -> list[Erasure]:
        """Return the erasures begun and not finished, by entity and surrogate."""
        ...

    def erase(
        self, positions: Sequence[int], categoricals: Sequence[int], transaction_ids: Collection[str]
    ) -> int:
        """Blank what is personal in the entries at `positions`; return how many changed.

        Of transactions the fields at the indexes `categoricals` become "", of
        label batches the comments on `transaction_ids`. What was pruned is passed
        over; repeating it changes nothing.

        Raises:
            Unavailable: a write failed; what was blanked stays blanked.
        """
        ...

    def secure(self) -> int:
        """Make everything up to a position durable and return it; 0 for nothing.

        An append may leave that to the system (`log.durability`). Ask here before anything
        durable is made of what was read, or it could be ahead of the log after a power cut.

        Raises:
            Unavailable: it cannot be synced.
        """
        ...

    def hold_to_heading(self, heading: Heading) -> None:
        """Take what is logged from here on as logged under this heading; not of a log that is only read.

        Raises:
            ConfigError: fields of the last one were moved or taken away.
            Unavailable: nothing was written.
        """
        ...

    def headings(self) -> Headings:
        """Return every heading with the position it holds from, in order; pruning keeps them.

        None for a log that no service was held to. The last may stand behind the head.
        """
        ...

    def prove_writable(self) -> None:
        """Write something that nobody reads, durably.

        Raises:
            LogUnwritable: it cannot be written.
        """
        ...

    def scrub(self, wait_s: float) -> None:
        """Return when no file of the log holds anything of what was erased or pruned before.

        Raises:
            Unavailable: somebody read an old state of the log for all of `wait_s`.
        """
        ...

    def finish_erasure(self, erasure: Erasure) -> None:
        """Take the note of an erasure away; without one nothing happens.

        Raises:
            Unavailable: nothing was written.
        """
        ...

    def prune(self, upto_position: int, before_arrival_us: int) -> int:
        """Remove the prefix with position <= `upto_position` and arrival < `before_arrival_us`.

        Applied entries stay. Returns how many entries were removed.
        """
        ...

    def close(self) -> None:
        """Release files; the log is not used afterwards."""
        ...


def arrivals_of(events: Sequence[Event], arrival_time_us: int | Sequence[int], last_us: int) -> list[int]:
    """Return one arrival per event, µs UTC, none older than the one before it or than `last_us`.

    >>> arrivals_of([None, None, None], [5, 3, 9], 4)
    [5, 5, 9]
    """
    if isinstance(arrival_time_us, int):
        return [max(arrival_time_us, last_us)] * len(events)
    if len(arrival_time_us) != len(events):
        raise InvalidInput(
            "arrival_time_us",
            f"{len(arrival_time_us)} for {len(events)} events",
            "give one for each or one for all",
        )
    arrivals = []
    for arrival_us in arrival_time_us:
        last_us = max(last_us, arrival_us)
        arrivals.append(last_us)
    return arrivals


def summarise(position: int, arrival_time_us: int, event: LabelsSubmitted) -> BatchSummary:
    """Return the summary of a batch part; it counts the labels by value."""
    values = [label.value for label in event.labels]
    return BatchSummary(
        position,
        arrival_time_us,
        event.batch_id,
        event.part,
        event.source,
        event.submitter,
        values.count(LabelValue.FRAUD),
        values.count(LabelValue.LEGITIMATE),
        values.count(LabelValue.WITHDRAWN),
        event.digest,
    )


def check_taken(erasure: Erasure, taken: Sequence[NewToken]) -> None:
    """Refuse an erasure whose own token is not among those found.

    Raises:
        NotFound: it is not.
    """
    if erasure.key not in [(it.entity_index, it.surrogate) for it in taken]:
        raise NotFound(
            f"surrogate {erasure.surrogate} of entity {erasure.entity_index} has no token: it was never "
            "given, or its entity was erased before"
        )
