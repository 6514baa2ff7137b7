"""The columnar history: Delta tables that hold every event of the log exactly once."""

from fraud.archive.archive import Archive
from fraud.archive.erasure import Linked, Traces
from fraud.archive.spans import Readable
from fraud.archive.table import Size

__all__ = ["Archive", "Linked", "Readable", "Size", "Traces"]
