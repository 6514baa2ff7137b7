"""Durations as people write them, as integer microseconds.

Two spellings are read: `45d`, `1h30m`, `10s`, `250ms`, and ISO 8601 `P1DT12H`
(days, hours, minutes, seconds and weeks; months and years have no fixed length).
"""

import re
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, ValidationInfo

from fraud.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from fraud.settings.spelling import spelled

_UNITS_US = {"w": 7 * DAY_US, "d": DAY_US, "h": HOUR_US, "m": MINUTE_US, "s": SECOND_US, "ms": 1_000}
_SHORT = re.compile(r"(?:\d+(?:ms|w|d|h|m|s))+")
_SHORT_PART = re.compile(r"(\d+)(ms|w|d|h|m|s)")
_ISO = re.compile(r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")


def parse_duration_us(text: object) -> int:
    """Return the duration that `text` spells, in microseconds; zero is allowed.

    >>> parse_duration_us("1h30m") == parse_duration_us("PT1H30M")
    True

    Raises:
        ValueError: `text` is not a duration.
    """
    if isinstance(text, int) and not isinstance(text, bool):
        return text
    if isinstance(text, str):
        if _SHORT.fullmatch(text):
            return sum(int(n) * _UNITS_US[unit] for n, unit in _SHORT_PART.findall(text))
        match = _ISO.fullmatch(text)
        if match and any(match.groups()):
            units = (_UNITS_US[unit] for unit in ("w", "d", "h", "m", "s"))
            return sum(int(n or 0) * unit for n, unit in zip(match.groups(), units, strict=True))
    raise ValueError(f"{spelled(text)} is not a duration; write it like '45d', '1h30m', '10s' or 'P1DT12H'")


def format_duration(duration_us: int) -> str:
    """Spell a duration in the short form, largest unit first.

    >>> format_duration(5_400_000_000)
    '1h30m'
    """
    if duration_us == 0:
        return "0s"
    parts = []
    for unit in ("d", "h", "m", "s", "ms"):
        n, duration_us = divmod(duration_us, _UNITS_US[unit])
        if n:
            parts.append(f"{n}{unit}")
    return "".join(parts) or f"{duration_us}us"


UNITS_REQUIRED = {"units_required": True}
"""Validation context for what people wrote: there `maturity = 30` is a mistake, not 30 µs."""


def _not_negative(text: object, info: ValidationInfo) -> int:
    number = isinstance(text, int) and not isinstance(text, bool)
    if number and (info.context or {}).get("units_required"):
        raise ValueError(f"{text!r} has no unit; write it like '45d', '1h30m', '10s' or 'P1DT12H'")
    duration_us = parse_duration_us(text)
    if duration_us < 0:
        raise ValueError(f"{text!r} must not be negative")
    return duration_us


def _positive(text: object, info: ValidationInfo) -> int:
    duration_us = _not_negative(text, info)
    if duration_us == 0:
        raise ValueError(f"{text!r} must be longer than zero")
    return duration_us


DurationUs = Annotated[int, BeforeValidator(_not_negative), PlainSerializer(format_duration, str)]
PositiveDurationUs = Annotated[int, BeforeValidator(_positive), PlainSerializer(format_duration, str)]
