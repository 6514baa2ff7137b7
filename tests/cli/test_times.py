"""Moments on the command line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud.cli.times import format_time, parse_moment_us, parse_past_us, parse_time_us
from fraud.errors import InvalidInput


@given(st.integers(min_value=1, max_value=253_402_300_799_999_999))
def test_a_moment_survives_being_written_and_read(time_us: int) -> None:
    assert parse_time_us(format_time(time_us), "at") == time_us


def test_a_zone_is_taken_into_account() -> None:
    assert parse_time_us("2026-03-01T13:00:00+01:00", "at") == parse_time_us("2026-03-01T12:00:00Z", "at")


@pytest.mark.parametrize("text", ["1970-01-01", "1969-12-31T23:59:59Z"])
def test_a_moment_is_never_the_zero_that_stands_for_none(text: str) -> None:
    assert parse_moment_us(text, "--since") == 1


def test_a_span_reaches_back_from_now_and_a_moment_asks_for_no_clock() -> None:
    assert parse_past_us("1h", "--since", lambda: 7_200_000_001) == 3_600_000_001
    assert parse_past_us("30d", "--since", lambda: 5) == 0
    assert parse_past_us("1970-01-02", "--since", lambda: 1 // 0) == 86_400_000_000
    with pytest.raises(InvalidInput, match="--since: 'soon' is neither a duration nor a time"):
        parse_past_us("soon", "--since", lambda: 1)


@pytest.mark.parametrize("value", ["", "soon", "12", None, 1.5, True, 1_767_225_600, "20260301120000"])
def test_what_is_no_moment_is_refused_by_name(value: object) -> None:
    with pytest.raises(InvalidInput, match=r"at: .* is not a time; write it like"):
        parse_time_us(value, "at")


def test_a_number_in_another_unit_is_refused_and_the_unit_named() -> None:
    for value, unit in ((1_767_225_600, "seconds"), ("1767225600000", "milliseconds")):
        with pytest.raises(InvalidInput, match=f"is not a time; write it .*: this looks like {unit}"):
            parse_time_us(value, "at")
