from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraud.features.calendar import calendar, offsets_of

ZONES = [
    "UTC",
    "Europe/Brussels",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
]


def expected(time_us: int, zone: str) -> list[float]:
    local = datetime.fromtimestamp(time_us // 1_000_000, UTC).astimezone(ZoneInfo(zone))
    return [local.hour, local.weekday(), local.weekday() >= 5, local.hour < 6]


@settings(deadline=None)  # the first of a zone looks for its changes
@given(st.sampled_from(ZONES), st.lists(st.integers(0, 4_000_000_000 * 10**6), min_size=1, max_size=20))
def test_calendar_features_are_those_of_the_local_clock(zone: str, times: list[int]) -> None:
    found = calendar(np.array(times, np.int64), zone)
    assert found.tolist() == [expected(time_us, zone) for time_us in times]


@pytest.mark.parametrize("zone", ZONES)
def test_every_change_of_the_clock_is_met_to_the_second(zone: str) -> None:
    changes = offsets_of(zone)[0][1:]
    times = np.concatenate([changes - 1, changes]) * 1_000_000
    assert calendar(times, zone).tolist() == [expected(time_us, zone) for time_us in times.tolist()]


def test_night_may_pass_midnight() -> None:
    hours = np.arange(24, dtype=np.int64) * 3_600_000_000
    night = calendar(hours, "UTC", (22, 6))[:, 3]
    assert np.flatnonzero(night).tolist() == [0, 1, 2, 3, 4, 5, 22, 23]
    assert not calendar(hours, "UTC", (3, 3))[:, 3].any()
