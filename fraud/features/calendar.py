"""Calendar features in the service's time zone, without one Python object per row.

    zone ──(once)──▶ transitions and offsets ──▶ local second of each row ──▶ hour, day, weekend, night

The offsets of a zone are found by probing it day by day and halving the days
on which it changes, from 1970 to 2106; outside, the nearest offset holds.
"""

from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from fraud.features.compiled import jit

SECOND_US = 1_000_000
DAY_S = 86_400
PROBE_S = (0, 2**32 - 1)
EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday; Monday is 0
SATURDAY = 5


@cache
def offsets_of(zone: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return when the zone's offset changes and the offset from then on, both int64, seconds.

    The first time is the smallest int64, so every time has an offset:
    `offsets[searchsorted(times, second, "right") - 1]`.
    """
    info = ZoneInfo(zone)
    second, end = PROBE_S
    offset = _offset_at(info, second)
    times, offsets = [np.iinfo(np.int64).min], [offset]
    while second < end:
        probe = min(second + DAY_S, end)
        if _offset_at(info, probe) != offset:
            before, after = second, probe
            while after - before > 1:
                middle = (before + after) // 2
                before, after = (middle, after) if _offset_at(info, middle) == offset else (before, middle)
            probe, offset = after, _offset_at(info, after)
            times.append(after)
            offsets.append(offset)
        second = probe
    return np.array(times, dtype=np.int64), np.array(offsets, dtype=np.int64)


def calendar(
    times_us: NDArray[np.int64], zone: str, night_hours: tuple[int, int] = (0, 6)
) -> NDArray[np.float32]:
    """Return float32[n, 4]: hour 0–23, day of week (Monday 0), weekend 0/1, night 0/1.

    `times_us` int64[n], µs UTC. Night is from the first to before the second
    hour, and may pass midnight: `(22, 6)`.

    >>> calendar(np.array([0], dtype=np.int64), "Europe/Brussels").tolist()
    [[1.0, 3.0, 0.0, 1.0]]
    """
    out = np.empty((len(times_us), 4), dtype=np.float32)
    fill(times_us, *offsets_of(zone), *night_hours, np.arange(4), out)
    return out


@jit
def fill(
    times_us: NDArray[np.int64],
    changes: NDArray[np.int64],
    offsets: NDArray[np.int64],
    night_from: int,
    night_to: int,
    columns: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """Write hour, day of week, weekend and night into `columns` int64[4] of `out`; -1: left out."""
    for i in range(times_us.shape[0]):
        second = times_us[i] // SECOND_US
        local = second + offsets[np.searchsorted(changes, second, side="right") - 1]
        hour = local % DAY_S // 3_600
        day = (local // DAY_S + EPOCH_WEEKDAY) % 7
        if night_from <= night_to:
            night = night_from <= hour < night_to
        else:
            night = hour >= night_from or hour < night_to
        if columns[0] >= 0:
            out[i, columns[0]] = hour
        if columns[1] >= 0:
            out[i, columns[1]] = day
        if columns[2] >= 0:
            out[i, columns[2]] = day >= SATURDAY
        if columns[3] >= 0:
            out[i, columns[3]] = night


def _offset_at(zone: ZoneInfo, second: int) -> int:
    offset = datetime.fromtimestamp(second, tz=UTC).astimezone(zone).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())
