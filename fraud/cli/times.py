"""Times as people write them, as integer microseconds UTC."""

import re
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from fraud.clock import format_time as format_time
from fraud.clock import other_unit
from fraud.errors import InvalidInput

if TYPE_CHECKING:
    from fraud.settings import Settings

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MICROSECONDS = re.compile(r"\d{16}")
_LEAST_US = 10**15
"""2001: a smaller number is a time in other units, or a date without its dashes."""
_DIGITS_MAX = 19


def parse_time_us(value: object, field: str) -> int:
    """Read a moment: ISO 8601, a datetime, or microseconds since 1970. Without a zone it is UTC.

    >>> parse_time_us("1970-01-02", "at")
    86400000000

    Raises:
        InvalidInput: `value` is none of these; the error names `field`.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= _LEAST_US:
        return value
    if isinstance(value, str):
        text = value.strip()
        if _MICROSECONDS.fullmatch(text):
            return int(text)
        try:
            value = datetime.fromisoformat(text)
        except ValueError:
            value = text
    if isinstance(value, datetime):
        aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        return (aware - _EPOCH) // _MICROSECOND
    remedy = "write it like 2026-03-01T12:00:00Z" + _unit_hint(value)
    raise InvalidInput(field, f"{value!r} is not a time", remedy)


def _unit_hint(value: object) -> str:
    number = str(value)
    unit = other_unit(int(number)) if len(number) <= _DIGITS_MAX and number.isdecimal() else ""
    return f", or in microseconds: this looks like {unit}" if unit else ""


def parse_moment_us(text: str, field: str) -> int:
    """Read a moment where 0 stands for none; of 1970 and before is the first microsecond.

    Raises:
        InvalidInput: `text` is no moment; the error names `field`.
    """
    return max(1, parse_time_us(text, field))


def parse_past_us(text: str, field: str, now_us: Callable[[], int]) -> int:
    """Read a moment as `parse_time_us` does, or a span like `30d` before now, which is asked for then only.

    Raises:
        InvalidInput: `text` is neither; the error names `field`.
    """
    from fraud.settings.durations import parse_duration_us

    try:
        span_us = parse_duration_us(text)
    except ValueError:
        try:
            return parse_time_us(text, field)
        except InvalidInput:
            remedy = "write it like 30d, or 2026-03-01T12:00:00Z"
            raise InvalidInput(field, f"{text!r} is neither a duration nor a time", remedy) from None
    return max(0, now_us() - span_us)


def service_now_us(settings: "Settings") -> int:
    """Return now by the clock of the service, µs UTC; by the log clock, its newest arrival (0: none)."""
    from fraud.clock import WallClock
    from fraud.eventlog.folder import open_log

    if settings.service.clock == "wall":
        return WallClock().now_us()
    if not settings.places.log.is_file():
        return 0
    with closing(open_log(settings)) as log:
        return log.last_arrival_us()
