"""`[features]`: which aggregates are kept per entity, and calendar features.

A window `[floor(t - width, hop), t)` is made of hops: exact at the head,
rounded to a hop at the tail. `hop` defaults to a twelfth of the width.
What shows somebody trying things out (small payments, declines, a ladder of amounts)
is declared like any other aggregate, and costs nothing where it is not.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from fraud.clock import HOUR_US, MINUTE_US, SECOND_US
from fraud.settings.durations import DurationUs, PositiveDurationUs, format_duration, parse_duration_us
from fraud.settings.schema import AMOUNT_MINOR_BOUND
from fraud.settings.section import Name, Section

HOPS_MAX = 128
"""Hops in one window or label-feedback ring."""

Aggregate = Literal["count", "sum", "mean", "max", "std", "amount_over_mean", "small_count", "declined_count"]
Since = Literal["previous", "first"]
Calendar = Literal["hour", "day_of_week", "weekend", "night"]
Hour = Annotated[int, Field(ge=0, le=24)]


def _default_hop_us(width_us: int) -> int:
    """A twelfth of the width, rounded up to a whole second, minute or hour where it is longer."""
    hop_us = -(-width_us // 12)
    for unit_us in (HOUR_US, MINUTE_US, SECOND_US):
        if hop_us >= unit_us:
            return -(-hop_us // unit_us) * unit_us
    return SECOND_US


def _window_from_text(value: object) -> object:
    return {"width": value} if isinstance(value, str) else value


class Window(Section):
    """A sliding window; a bare `"24h"` stands for `{ width = "24h" }`."""

    width: PositiveDurationUs
    hop: PositiveDurationUs = 0

    @model_validator(mode="before")
    @classmethod
    def _fill_hop(cls, value: Any) -> Any:
        value = _window_from_text(value)
        if isinstance(value, dict) and "hop" not in value and "width" in value:
            hop_us = _default_hop_us(parse_duration_us(value["width"]))
            return {**value, "hop": format_duration(hop_us)}
        return value

    @model_validator(mode="after")
    def _hop_fits(self) -> Self:
        if self.hop % SECOND_US:
            raise ValueError("hop: must be whole seconds")
        hops = -(-self.width // self.hop) + 1
        if hops > HOPS_MAX:
            raise ValueError(f"hop: {hops} hops in one window, {HOPS_MAX} allowed; make it longer")
        return self

    @property
    def name(self) -> str:
        """The width as it stands in feature names, largest unit first: `1h`, `1d` (of "24h"), `7d`."""
        return format_duration(self.width)


class FraudRate(Section):
    """Frauds known by now ÷ transactions, both over `[t - delay - width, t - delay)`.

    Both ends are rounded down to a hop.
    """

    width: PositiveDurationUs
    delay: DurationUs
    hop: PositiveDurationUs = 24 * HOUR_US

    @model_validator(mode="after")
    def _hop_fits(self) -> Self:
        hops = -(-(self.width + self.delay) // self.hop) + 1
        if self.hop % SECOND_US:
            raise ValueError("hop: must be whole seconds")
        if hops > HOPS_MAX:
            raise ValueError(f"hop: reaches back {hops} hops, {HOPS_MAX} allowed; make it longer")
        return self

    @property
    def name(self) -> str:
        """Width and delay as they stand in feature names, e.g. `7d_delay_7d`."""
        return f"{format_duration(self.width)}_delay_{format_duration(self.delay)}"


def _unique(values: Any) -> Any:
    """Refuse a list that names something twice; of what is no list the type has more to say."""
    if not isinstance(values, list | tuple):
        return values
    twice = sorted({str(value) for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)}: given twice")
    return values


class Steps(Section):
    """What is a small step from an entity's previous amount to the next: upward or level, and soon."""

    ratio: float = Field(
        default=2.0,
        ge=1,
        le=10,
        description="the amount is at most so many times the one before, and no less",
    )
    within: PositiveDurationUs = 24 * HOUR_US

    @model_validator(mode="after")
    def _ratio_is_exact(self) -> Self:
        if round(self.ratio, 3) != self.ratio:
            raise ValueError("ratio: has more than three decimals; round it, steps are compared in integers")
        return self

    @property
    def ratio_thousandths(self) -> int:
        """The ratio in thousandths, 1,000 to 10,000: what the kernel compares with."""
        return round(self.ratio * 1_000)


class EntityFeatures(Section):
    """What is kept about one entity."""

    windows: tuple[Window, ...] = Field(default=(), max_length=8)
    aggregates: Annotated[tuple[Aggregate, ...], BeforeValidator(_unique)] = ("count", "sum")
    distinct: Annotated[tuple[Name, ...], BeforeValidator(_unique)] = Field(
        default=(), description="other entities whose distinct values are counted per window"
    )
    since: Annotated[tuple[Since, ...], BeforeValidator(_unique)] = ()
    fraud_rates: tuple[FraudRate, ...] = Field(default=(), max_length=8)
    small_amount_minor: int | None = Field(
        default=None, ge=1, le=AMOUNT_MINOR_BOUND, description="largest amount that small_count counts"
    )
    steps: Steps | None = Field(
        default=None, description="compare each amount with the one before, and count runs of small steps"
    )

    @model_validator(mode="after")
    def _small_is_said(self) -> Self:
        if "small_count" in self.aggregates and self.small_amount_minor is None:
            raise ValueError(
                "small_amount_minor: small_count needs it; say up to which amount a payment is small"
            )
        if "small_count" not in self.aggregates and self.small_amount_minor is not None:
            raise ValueError('small_amount_minor: nothing counts by it; add "small_count" to aggregates')
        return self

    @model_validator(mode="after")
    def _windows_are_distinct(self) -> Self:
        _unique([window.name for window in self.windows])
        _unique([rate.name for rate in self.fraud_rates])
        return self


class Features(Section):
    """The feature state of the service; models pick from it by name."""

    calendar: Annotated[tuple[Calendar, ...], BeforeValidator(_unique)] = ()
    night_hours: tuple[Hour, Hour] = (0, 6)
    entities_max: int = Field(default=1_000_000, ge=16, le=2**30)
    distinct_buckets: int = Field(default=64, ge=16, le=1024)
    age_max: PositiveDurationUs | None = Field(
        default=None, description="an entity's age stops here; default: it grows as long as the log does"
    )
    entities: dict[Name, EntityFeatures] = Field(default_factory=dict)

    @property
    def reach_us(self) -> int:
        """How far back a label can still change state: the longest width + delay + hop, µs."""
        rates = (rate for entity in self.entities.values() for rate in entity.fraud_rates)
        return max((rate.width + rate.delay + rate.hop for rate in rates), default=0)
