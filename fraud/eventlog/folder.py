"""The event log of a data folder, for who only reads it, and the clock that goes with it."""

from pathlib import Path

from fraud.clock import Clock, LogClock, WallClock
from fraud.errors import NotAllowedNow
from fraud.eventlog.log import EventLog
from fraud.eventlog.sqlite import SqliteEventLog
from fraud.settings import Settings


def open_log(settings: Settings, path: Path | None = None) -> SqliteEventLog:
    """Open the log of the data folder, or a copy of it at `path`, for reading; a service may run on it.

    Raises:
        NotAllowedNow: there is no log yet.
        ConfigError: it was made for other entities.
        Damaged, Unavailable: as `fraud.eventlog.connection.connect`.
    """
    path = path or settings.places.log
    if not path.is_file():
        raise NotAllowedNow(
            f"{path}: no event log yet; start 'fraud serve' or load a history with 'fraud import'"
        )
    return SqliteEventLog.open(path, writable=False, entity_names=settings.schema_.entity_names)


def clock_of(settings: Settings, log: EventLog) -> Clock:
    """Return the clock of the service; one that follows the log stands at its newest arrival."""
    return WallClock() if settings.service.clock == "wall" else LogClock(log.last_arrival_us())
