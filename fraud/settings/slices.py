"""`[gate.slices]`: parts of traffic in which a challenger must not be worse, whatever it wins elsewhere."""

from itertools import pairwise
from typing import Annotated, Self

from pydantic import Field, model_validator

from fraud.clock import DAY_US
from fraud.settings.durations import PositiveDurationUs
from fraud.settings.schema import AMOUNT_MINOR_BOUND
from fraud.settings.section import Name, Section

AmountMinor = Annotated[int, Field(ge=1, le=AMOUNT_MINOR_BOUND)]


class Slices(Section):
    """Which slices are looked at, and from how many attacks on they are tested."""

    attacks_min: int = Field(
        default=30, ge=5, description="fewer in a slice: pooled with the other small ones, or only reported"
    )
    margin: float = Field(
        default=0.05, ge=0, lt=0.5, description="recall within the budget may be lower by this"
    )
    new_entities: tuple[Name, ...] | None = Field(
        default=None, description="default: each entity whose age is a feature (since first)"
    )
    new_within: PositiveDurationUs = Field(
        default=7 * DAY_US, description="an entity first seen less long ago is new"
    )
    fields: tuple[str, ...] = Field(
        default=("*",), description="categorical fields, names or patterns; none marked personal"
    )
    amounts: tuple[AmountMinor, ...] = Field(
        default=(1_000, 10_000, 100_000), description="where one band of amounts ends and the next begins"
    )

    @model_validator(mode="after")
    def _amounts_rise(self) -> Self:
        if any(low >= high for low, high in pairwise(self.amounts)):
            raise ValueError(f"amounts: must rise from one to the next, got {list(self.amounts)}")
        return self
