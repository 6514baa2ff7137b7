"""One alert, with series at which it fires and series close to them at which it must not."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Case:
    """One alert. `bad` and `good` map a series, as its process shows it, to its values; times are minutes.

    Values are `step` minutes apart. `before` None: there is no hold-down, so it fires at once.
    """

    alert: str
    bad: Mapping[str, str]
    good: Mapping[str, str]
    after: int
    before: int | None
    step: int = 1


def steady(value: float, minutes: int = 240) -> str:
    """Spell a value that does not change."""
    return f"{value}+0x{minutes}"


def gauge(
    alert: str, series: str, bad: float, good: float, after: int, before: int | None, **also: float
) -> Case:
    """Make the case of a gauge that stands; `also` are gauges that both services have."""
    both = {name.replace("__", ":"): steady(value) for name, value in also.items()}
    return Case(alert, {series: steady(bad), **both}, {series: steady(good), **both}, after, before)
