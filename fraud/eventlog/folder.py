"""The event log of a data folder, for who only reads it."""

from fraud.errors import NotAllowedNow
from fraud.eventlog.sqlite import SqliteEventLog
from fraud.settings import Settings


def open_log(settings: Settings) -> SqliteEventLog:
    """Open the log of the data folder for reading; a service may run on it.

    Raises:
        NotAllowedNow: there is no log yet.
        ConfigError: it was made for other entities.
        Damaged, Unavailable: as `fraud.eventlog.connection.connect`.
    """
    path = settings.places.log
    if not path.is_file():
        raise NotAllowedNow(
            f"{path}: no event log yet; start 'fraud serve' or load a history with 'fraud import'"
        )
    return SqliteEventLog.open(path, writable=False, entity_names=settings.schema_.entity_names)
