"""Event days: the calendar days of the service's time zone, as days since 1970-01-01.

Budgets are spent by the day and evidence closes by the day, so both sides of
the line between two days have to agree with what people see on a calendar,
days of 23 and 25 hours included.
"""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.clock import SECOND_US

_FIRST_DAY = date(1970, 1, 1)


def event_days(event_time_us: NDArray[np.int64], zone: ZoneInfo) -> NDArray[np.int32]:
    """Return the local calendar day of each time, int32 days since 1970-01-01.

    >>> event_days(np.array([0, 82_800_000_000]), ZoneInfo("Europe/Brussels")).tolist()
    [0, 1]
    """
    utc = pl.Series(event_time_us, dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))
    local = utc.dt.convert_time_zone(zone.key).dt.date()
    return local.cast(pl.Int32).to_numpy()


def day_start_us(day: int, zone: ZoneInfo) -> int:
    """Return the first moment of a local day, µs since the epoch, UTC.

    >>> day_start_us(1, ZoneInfo("UTC"))
    86400000000
    """
    local = datetime.combine(_FIRST_DAY + timedelta(days=day), time(), tzinfo=zone)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return int((local - epoch).total_seconds()) * SECOND_US


def day_name(day: int) -> str:
    """Return the ISO date of a day.

    >>> day_name(19_000)
    '2022-01-08'
    """
    return (_FIRST_DAY + timedelta(days=day)).isoformat()
