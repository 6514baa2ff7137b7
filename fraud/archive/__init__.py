"""The columnar history: Delta tables that hold every event of the log exactly once."""

from fraud.archive.archive import Archive, Readable

__all__ = ["Archive", "Readable"]
