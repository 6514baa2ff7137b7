"""Event days follow the calendar of the service's time zone."""

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from fraud.clock import DAY_US, HOUR_US
from fraud.evaluation.days import day_name, day_start_us, event_days


@pytest.mark.parametrize("name", ["UTC", "Europe/Brussels", "America/New_York", "Asia/Kathmandu"])
def test_a_day_begins_at_local_midnight_and_ends_where_the_next_begins(name: str) -> None:
    zone = ZoneInfo(name)
    for day in range(19_800, 20_200):
        start = day_start_us(day, zone)
        assert event_days(np.array([start - 1, start]), zone).tolist() == [day - 1, day]
        assert datetime.fromtimestamp(start / 1e6, zone).date().isoformat() == day_name(day)


def test_days_of_a_clock_change_have_23_and_25_hours() -> None:
    zone = ZoneInfo("Europe/Brussels")
    lengths = {day_start_us(day + 1, zone) - day_start_us(day, zone) for day in range(19_700, 20_066)}
    assert lengths == {DAY_US - HOUR_US, DAY_US, DAY_US + HOUR_US}
