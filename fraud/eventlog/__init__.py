"""The event log: what was scored, labelled, reported and applied, in order, durable."""

from fraud.eventlog.lock import lock_data_folder
from fraud.eventlog.log import BatchSummary, Erasure, EventLog, NewToken
from fraud.eventlog.memory import MemoryEventLog
from fraud.eventlog.sqlite import SqliteEventLog

__all__ = [
    "BatchSummary",
    "Erasure",
    "EventLog",
    "MemoryEventLog",
    "NewToken",
    "SqliteEventLog",
    "lock_data_folder",
]
