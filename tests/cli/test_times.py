"""Moments on the command line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud.cli.times import format_time, parse_time_us
from fraud.errors import InvalidInput


@given(st.integers(min_value=1, max_value=253_402_300_799_999_999))
def test_a_moment_survives_being_written_and_read(time_us: int) -> None:
    assert parse_time_us(format_time(time_us), "at") == time_us


def test_a_zone_is_taken_into_account() -> None:
    assert parse_time_us("2026-03-01T13:00:00+01:00", "at") == parse_time_us("2026-03-01T12:00:00Z", "at")


@pytest.mark.parametrize("value", ["", "soon", "12", None, 1.5, True])
def test_what_is_no_moment_is_refused_by_name(value: object) -> None:
    with pytest.raises(InvalidInput, match=r"at: .* is not a time; write it like"):
        parse_time_us(value, "at")
