"""`[attacks]`: what a fraudster controls of a payment, within which bounds, and what it costs him.

Costs are a share of the value that the stolen card would have paid (the fraud as it
was), so that a curve over cost means the same for small and large frauds; `minor`
adds a fixed sum in base currency. What is not controlled stays as it was: the card
itself, above all.
"""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from fraud.clock import DAY_US, HOUR_US, MINUTE_US
from fraud.settings.durations import DurationUs, PositiveDurationUs
from fraud.settings.section import Name, Section

CostShare = Annotated[float, Field(ge=0, le=10)]
GATE_FRAUDS_MIN = 30
"""Fewer attacked frauds show nothing: the gate reports them and does not judge."""


class AmountControl(Section):
    """Steals less, or more: what is given up of the value is the cost."""

    least_share: float = Field(default=0.1, gt=0, le=1, description="of the fraud's amount, at least")
    most_share: float = Field(default=1.0, ge=1, le=100, description="and at most; more costs nothing")


class PaceControl(Section):
    """Waits before paying: cards burn meanwhile."""

    wait_max: PositiveDurationUs = Field(default=2 * DAY_US, description="after the fraud as it was")
    step: PositiveDurationUs = Field(default=4 * HOUR_US, description="what waiting is tried in")
    day_share: CostShare = Field(default=0.05, description="cost of a day")

    @model_validator(mode="after")
    def _step_fits(self) -> Self:
        if not 1 <= self.wait_max // self.step <= 96:
            raise ValueError(f"step: goes {self.wait_max // self.step} times into wait_max; make it 1 to 96")
        return self


class SplitControl(Section):
    """Pays the sum in several payments; each must get through."""

    payments_max: int = Field(default=4, ge=2, le=32)
    apart: PositiveDurationUs = Field(default=30 * MINUTE_US, description="from one payment to the next")
    payment_share: CostShare = Field(default=0.02, description="cost of each payment after the first")


class Follows(Section):
    """What a choice costs and what it brings with it."""

    share: CostShare = 0.1
    minor: int = Field(default=0, ge=0, description="beside it, a sum in base currency")
    sets: dict[Name, float] = Field(
        default_factory=dict, max_length=16, description="numeric fields that take a value with it"
    )


class EntityControl(Follows):
    """Uses another merchant, device, …: one that is known here, or one never seen."""

    new: bool = Field(default=False, description="one never seen instead of known ones")
    candidates: int = Field(default=16, ge=1, le=256, description="known ones within reach")
    brings: tuple[Name, ...] = Field(
        default=(),
        max_length=16,
        description="fields that belong to it, words or numbers: they take what is most often seen with it",
    )

    @model_validator(mode="after")
    def _known_ones_bring(self) -> Self:
        if self.new and self.brings:
            raise ValueError(
                f"brings: nothing was ever seen with a new one; leave out {', '.join(self.brings)}, or "
                "say in sets what follows"
            )
        return self


class WordControl(Follows):
    """Sends another word in a categorical field."""

    share: CostShare = 0.05
    words: tuple[str, ...] = Field(default=(), max_length=64, description="default: the most frequent ones")
    candidates: int = Field(default=8, ge=1, le=64, description="how many of the most frequent")


class NumericControl(Follows):
    """Sends another number, between two bounds."""

    share: CostShare = 0.05
    low: float
    high: float

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low: {self.low} is above high, {self.high}")
        return self


class Attacks(Section):
    """Capabilities, and how hard an evasion is looked for."""

    amount: AmountControl | None = AmountControl()
    pace: PaceControl | None = PaceControl()
    split: SplitControl | None = SplitControl()
    entities: dict[Name, EntityControl] | None = Field(
        default=None, max_length=8, description="default: known ones of every entity but the first"
    )
    categorical: dict[Name, WordControl] | None = Field(
        default=None, description="default: every categorical field that no entity brings"
    )
    numeric: dict[Name, NumericControl] = Field(default_factory=dict, max_length=16)
    costs: tuple[float, ...] = Field(
        default=(0.05, 0.1, 0.25, 0.5, 0.75, 1.0), min_length=1, max_length=32, description="of the curve"
    )
    recent: PositiveDurationUs = Field(default=28 * DAY_US, description="frauds newer than this are attacked")
    frauds: int = Field(default=200, ge=10, le=10_000, description="of these at most, spread evenly")
    queries: int = Field(default=30, ge=1, le=10_000, description="payments that a black box may try a card")
    query_apart: DurationUs = Field(default=10 * MINUTE_US, description="from one try to the next")
    combinations: int = Field(default=4_096, ge=16, le=1_000_000, description="that a white box looks at")
    seed: int = Field(default=7, ge=0, lt=2**31)
    gate: bool = Field(default=False, description="a challenger must not be easier to evade")
    gate_cost: float = Field(default=0.25, gt=0, le=1, description="up to here the curve is judged")
    gate_margin: float = Field(
        default=0.05, gt=0, lt=1, description="more frauds evade by at most this share"
    )
    gate_frauds: int = Field(default=100, ge=10, le=1_000, description="attacked for the gate at most")

    @property
    def gate_costs(self) -> tuple[float, ...]:
        """The points of the curve that the gate judges, rising: those below `gate_cost`, and that."""
        return (*sorted({cost for cost in self.costs if cost < self.gate_cost}), self.gate_cost)

    @property
    def brought(self) -> frozenset[str]:
        """Fields that come with an entity."""
        return frozenset(name for it in (self.entities or {}).values() for name in it.brings)

    @model_validator(mode="after")
    def _gate_can_judge(self) -> Self:
        if self.gate and self.gate_frauds < GATE_FRAUDS_MIN:
            raise ValueError(
                f"gate_frauds: {self.gate_frauds} show nothing, and the gate would never judge by them; give "
                f"{GATE_FRAUDS_MIN} or more, or gate = false"
            )
        return self

    @model_validator(mode="after")
    def _what_is_brought_is_not_sent(self) -> Self:
        """Refuse what would part a field from the entity that it belongs to."""
        entities, words = self.entities or {}, self.categorical or {}
        tables: Mapping[str, Mapping[str, Follows]] = {
            "entities": entities,
            "categorical": words,
            "numeric": self.numeric,
        }
        places = [(name, f"entities.{of}.brings") for of, it in entities.items() for name in it.brings]
        places += [(name, f"categorical.{name}") for name in words]
        places += [(name, f"numeric.{name}") for name in self.numeric]
        for table, controls in tables.items():
            places += [(name, f"{table}.{of}.sets") for of, it in controls.items() for name in it.sets]
        for field in sorted(self.brought):
            where = [place for name, place in places if name == field]
            if len(where) > 1:
                raise ValueError(
                    f"{where[0]}: {field} belongs to that entity, and {where[1]} would change it by itself; "
                    "leave it out of one of them"
                )
        return self

    @field_validator("costs")
    @classmethod
    def _costs_rise(cls, given: tuple[float, ...]) -> tuple[float, ...]:
        if list(given) != sorted(set(given)) or given[0] <= 0:
            raise ValueError(f"must rise from one to the next, above 0; got {list(given)}")
        return given
