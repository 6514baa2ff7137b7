"""Time as an argument: the wall clock of production, the log clock of replays.

No core function asks what time it is. Shells hold a `Clock` and pass
`clock.now_us()` down: microseconds since 1970-01-01 UTC.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
EARLIEST_US = 946_684_800_000_000
"""2000-01-01: earlier times are refused, for they are times in seconds or milliseconds, or none."""
LATEST_US = 4_102_444_800_000_000
"""2100-01-01: later times are refused under any clock."""
_OTHER_UNITS = (("seconds", 1, 1_000_000), ("milliseconds", 1, 1_000), ("nanoseconds", 1_000, 1))
"""Each with what a number in it is divided and multiplied by to be microseconds."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def format_time(time_us: int) -> str:
    """Spell a moment in ISO 8601, UTC; "" for 0, which stands for never; one that no calendar has in µs.

    >>> format_time(86_400_000_000)
    '1970-01-02T00:00:00Z'
    """
    if time_us == 0:
        return ""
    try:
        return (_EPOCH + timedelta(microseconds=time_us)).isoformat().replace("+00:00", "Z")
    except OverflowError:
        return f"{time_us} µs"


def other_unit(time_us: int) -> str:
    """Return the unit in which a number is a time of this century although it is none in µs; "" for none.

    >>> other_unit(1_700_000_000), other_unit(1_700_000_000_000), other_unit(1_700_000_000_000_000_000)
    ('seconds', 'milliseconds', 'nanoseconds')
    >>> other_unit(1_700_000_000_000_000), other_unit(0)
    ('', '')
    """
    for unit, divisor, factor in _OTHER_UNITS:
        if EARLIEST_US <= time_us * factor // divisor <= LATEST_US:
            return unit
    return ""


def microseconds_wanted(time_us: int) -> str:
    """Say what to send in place of a time that cannot be one, and in which unit it seems to be.

    >>> microseconds_wanted(1_700_000_000)
    'send microseconds since 1970 UTC: this looks like seconds'
    """
    unit = other_unit(time_us)
    return "send microseconds since 1970 UTC" + (f": this looks like {unit}" if unit else "")


class Clock(Protocol):
    """Tells the time, and may be told of events that carry one."""

    def now_us(self) -> int:
        """Return microseconds since the epoch, UTC."""
        ...

    def observe(self, time_us: int) -> None:
        """Take note of a time that stands in an incoming event."""
        ...


class WallClock:
    """The machine's clock; what events say does not move it."""

    def now_us(self) -> int:
        """Return the machine's time in microseconds UTC."""
        return time.time_ns() // 1_000

    def observe(self, time_us: int) -> None:
        """Do nothing: wall time follows nobody."""


class LogClock:
    """Follows the newest time it was told of; for replays, backtests and the demo.

    >>> clock = LogClock(10)
    >>> clock.observe(30); clock.observe(20); clock.now_us()
    30
    """

    def __init__(self, start_us: int = 0) -> None:
        self._now_us = start_us

    def now_us(self) -> int:
        """Return the newest time observed, microseconds UTC."""
        return self._now_us

    def observe(self, time_us: int) -> None:
        """Move forward to `time_us` if it is newer; never back."""
        self._now_us = max(self._now_us, time_us)
