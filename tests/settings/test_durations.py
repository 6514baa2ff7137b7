"""Durations: what people write is what the service counts."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fraud.settings import format_duration, parse_duration_us

MILLISECONDS = st.integers(min_value=0, max_value=10_000 * 86_400_000)


@given(MILLISECONDS)
def test_a_duration_survives_being_written_and_read(milliseconds: int) -> None:
    assert parse_duration_us(format_duration(milliseconds * 1_000)) == milliseconds * 1_000


@given(st.lists(st.tuples(st.integers(0, 999), st.sampled_from(["w", "d", "h", "m", "s", "ms"])), min_size=1))
def test_parts_of_a_duration_add_up(parts: list[tuple[int, str]]) -> None:
    together = parse_duration_us("".join(f"{n}{unit}" for n, unit in parts))
    assert together == sum(parse_duration_us(f"{n}{unit}") for n, unit in parts)


@given(st.integers(0, 99), st.integers(0, 999), st.integers(0, 99), st.integers(0, 99), st.integers(0, 99))
def test_the_iso_spelling_says_the_same(
    weeks: int, days: int, hours: int, minutes: int, seconds: int
) -> None:
    iso = f"P{weeks}W{days}DT{hours}H{minutes}M{seconds}S"
    assert parse_duration_us(iso) == parse_duration_us(f"{weeks}w{days}d{hours}h{minutes}m{seconds}s")


@given(st.text(max_size=12))
def test_any_other_text_is_refused_with_an_example_of_the_right_one(text: str) -> None:
    assume(not re.fullmatch(r"(\d+(ms|[wdhms]))+|P.*\d.*", text))
    with pytest.raises(ValueError, match="write it like '45d'"):
        parse_duration_us(text)


@pytest.mark.parametrize(
    "text", ["", "5", "5 d", "-5d", "1.5h", "P1Y", "P1M", "P", "PT", "d", "5D", None, 1.5, True]
)
def test_these_are_no_durations(text: object) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration_us(text)


def test_the_short_form_puts_the_largest_unit_first() -> None:
    assert format_duration(parse_duration_us("36h")) == "1d12h"
    assert format_duration(0) == "0s"
    assert format_duration(250_000) == "250ms"
