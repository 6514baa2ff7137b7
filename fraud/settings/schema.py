"""`[schema]`: what a transaction of this service carries.

The order in the file is the order in every record, log and feature row, so
fields are only ever appended.
"""

from functools import cached_property
from typing import Any, Self

from pydantic import Field, model_validator

from fraud.settings.durations import DurationUs
from fraud.settings.section import Name, Section

AMOUNT_MINOR_BOUND = 2**31 - 1
"""No amount in base currency is larger: sums of squares then fit two 64-bit
limbs for 2^31 events (proven in `tests/features/test_bounds.py`)."""

ENTITIES_MAX = 8
FIELDS_MAX = 256


class EntityField(Section):
    """Something that takes part in many transactions: a card, a merchant, a device."""

    required: bool = True
    personal: bool = Field(
        default=False, description="its token goes with the person it belongs to, when that one is erased"
    )


class NumericField(Section):
    """A number given with the transaction."""

    required: bool = False
    min: float | None = None
    max: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _is_never_personal(cls, given: Any) -> Any:
        if isinstance(given, dict) and "personal" in given:
            raise ValueError(
                "personal: a number is a feature of the service, which state and training must keep; send "
                "what has to be erasable as a categorical field marked personal"
            )
        return given

    @model_validator(mode="after")
    def _bounds_leave_room(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min: {self.min} is above max {self.max}, so no value would be taken")
        return self


class CategoricalField(Section):
    """A word given with the transaction, e.g. a channel or a country."""

    required: bool = False
    length_max: int = Field(default=64, ge=1, le=1024)
    personal: bool = Field(default=False, description="blanked when its person is erased; no model uses it")


class Amount(Section):
    """Bounds of the amount in base currency."""

    max_minor: int = Field(default=1_000_000_000, ge=1, le=AMOUNT_MINOR_BOUND)


class Schema(Section):
    """Entities, numeric and categorical fields, amount."""

    entities: dict[Name, EntityField] = Field(min_length=1, max_length=ENTITIES_MAX)
    numeric: dict[Name, NumericField] = Field(default_factory=dict, max_length=FIELDS_MAX)
    categorical: dict[Name, CategoricalField] = Field(default_factory=dict, max_length=FIELDS_MAX)
    amount: Amount = Amount()
    token_length_max: int = Field(default=128, ge=8, le=1024)
    future_tolerance: DurationUs = Field(
        default=300_000_000, description="how far ahead of arrival an event time may be"
    )
    allow_card_numbers: bool = Field(
        default=False, description="accept entity ids that look like a card number in clear"
    )

    @model_validator(mode="after")
    def _names_are_distinct(self) -> Self:
        names = [*self.entities, *self.numeric, *self.categorical]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)}: used for two fields; give each its own name")
        return self

    @cached_property
    def entity_names(self) -> tuple[str, ...]:
        """Names of the entities, in order."""
        return tuple(self.entities)

    @cached_property
    def numeric_names(self) -> tuple[str, ...]:
        """Names of the numeric fields, in order."""
        return tuple(self.numeric)

    @cached_property
    def categorical_names(self) -> tuple[str, ...]:
        """Names of the categorical fields, in order."""
        return tuple(self.categorical)

    @cached_property
    def personal_names(self) -> tuple[str, ...]:
        """Names of the categorical fields marked personal, in order."""
        return tuple(name for name, field in self.categorical.items() if field.personal)
