"""Reads a log in spans of about so many rows, without a gap."""

from typing import Protocol

from fraud.errors import Damaged
from fraud.records import Entry, Headings, LabelsSubmitted, OutcomesReported

READ_ENTRIES = 1_000
"""Entries asked of the log at once; one may hold thousands of labels."""


class Readable(Protocol):
    """The part of an event log that is copied from."""

    def secure(self) -> int:
        """Make everything up to a position durable and return it; 0 for nothing."""
        ...

    def read(self, after: int, limit: int) -> list[Entry]:
        """Return at most `limit` entries with a position > `after`, in order."""
        ...

    def headings(self) -> Headings:
        """Return every heading with the position it holds from, in order."""
        ...


def read_span(log: Readable, after: int, upto: int, rows_max: int) -> list[Entry]:
    """Read entries behind `after`, at most to `upto`, until they make `rows_max` rows.

    Raises:
        Damaged: the log was pruned beyond `after`.
    """
    entries: list[Entry] = []
    rows, position = 0, after
    while position < upto and rows < rows_max:
        page = log.read(position, min(READ_ENTRIES, rows_max - rows, upto - position))
        if not page or page[-1].position != position + len(page):
            held = page[0].position if page else "none"
            raise Damaged(
                f"the log lacks entries behind position {position} (next held: {held}) that were never "
                "archived; it was pruned too early: restore the archive or the log from a copy"
            )
        entries += page
        position = page[-1].position
        rows += sum(_rows_in(entry) for entry in page)
    return entries


def _rows_in(entry: Entry) -> int:
    match entry.event:
        case LabelsSubmitted(labels=held) | OutcomesReported(reports=held):
            return len(held)
        case _:
            return 1
