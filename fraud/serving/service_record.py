"""What served when: every `Applied` entry of the log, each read from it once.

    log ─ entries beyond the last one seen ─► in order, by model, the newest of each model

One owner: the thread of `Queries`, which asks the log for what is new before it answers.
"""

from bisect import bisect_right
from collections.abc import Sequence

from fraud.eventlog.log import EventLog
from fraud.records import Applied, Entry


class ServiceRecord:
    """A running fold over the Applied entries of one log."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._entries: list[Entry] = []
        self._served: dict[str, list[Entry]] = {}
        self._last: dict[str, Entry] = {}

    def entries(self) -> Sequence[Entry]:
        """Return every Applied entry, oldest first; a copy."""
        self._catch_up()
        return tuple(self._entries)

    def last(self) -> dict[str, Entry]:
        """Return the newest entry of each model, refusals included; "" is the whole service."""
        self._catch_up()
        return dict(self._last)

    def served_at(self, model: str, at_us: int) -> Entry | None:
        """Return the entry that put in service what served a model at a moment, µs UTC."""
        self._catch_up()
        served = self._served.get(model, [])
        found = bisect_right(served, at_us, key=_arrival_us)
        return served[found - 1] if found else None

    def newest(self, model: str, before: int, limit: int) -> list[Entry]:
        """Return at most `limit` entries with a position < `before` (0: all), newest first.

        Those of a model are its own and those of the whole service; "" is every model.
        """
        self._catch_up()
        found: list[Entry] = []
        for entry in reversed(self._entries):
            if len(found) == limit:
                break
            if before and entry.position >= before:
                continue
            if model == "" or applied_of(entry).model in (model, ""):
                found.append(entry)
        return found

    def _catch_up(self) -> None:
        after = self._entries[-1].position if self._entries else 0
        for entry in self._log.applied(after):
            event = applied_of(entry)
            self._entries.append(entry)
            self._last[event.model] = entry
            if not event.refused:
                self._served.setdefault(event.model, []).append(entry)


def applied_of(entry: Entry) -> Applied:
    """Return the event of an entry that is an Applied one."""
    assert isinstance(entry.event, Applied)
    return entry.event


def _arrival_us(entry: Entry) -> int:
    return entry.arrival_time_us
