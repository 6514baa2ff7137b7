"""`[training.triggers]`: when a retrain starts by itself, and what an emergency may cost at most."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from fraud.clock import DAY_US, HOUR_US
from fraud.settings.durations import DurationUs, PositiveDurationUs
from fraud.settings.section import Name, Section


def _unless_never(value: object) -> object:
    return None if value == "never" else value


class MissBurst(Section):
    """More confirmed misses than quiet weeks promise: frauds that the champion had approved."""

    least: int = Field(default=20, ge=1, le=1_000_000, description="votes; fewer are no burst")
    jump: float = Field(default=3.0, gt=1, le=1_000, description="votes ÷ expected, at least")
    p_value: float = Field(default=1e-3, gt=0, lt=0.5, description="of one look, over its spans of days")
    weeks: int = Field(default=8, ge=3, le=52, description="that say what is usual")
    one_vote: Literal["cluster", "card"] = Field(
        default="cluster", description="cluster: cards that share a merchant out of line are one"
    )


class ValueFall(Section):
    """The share of fraud value that the champion finds has fallen below what was found before."""

    fall: float = Field(default=0.1, gt=0, lt=1, description="lost beyond doubt, of all fraud value")
    p_value: float = Field(default=1e-3, ge=1e-9, lt=0.5, description="of one look")
    frauds_min: int = Field(default=30, ge=2, le=1_000_000, description="on either side")


class Triggers(Section):
    """When a retrain starts by itself; each but `every` is off when left out.

    `misses`, `value_detection` and `probing` start emergency retrains, which have a budget of their own.
    """

    every: Annotated[PositiveDurationUs | None, BeforeValidator(_unless_never)] = Field(
        default=7 * DAY_US, description='"never": off'
    )
    new_frauds: int | None = Field(
        default=None, ge=1, description="that became known since the last cycle, each counted once"
    )
    hold_down: DurationUs = Field(default=6 * HOUR_US, description="least time between two cycles")
    per_day_max: int = Field(default=4, ge=1, le=1_000)
    misses: MissBurst | None = None
    value_detection: ValueFall | None = None
    probing: bool = Field(default=False, description="the findings of monitoring.probing start a retrain")
    emergencies_max: int = Field(default=2, ge=0, le=100, description="emergency retrains in the span below")
    emergencies_within: PositiveDurationUs = 7 * DAY_US
    backoff_max: PositiveDurationUs = Field(
        default=7 * DAY_US,
        description="between emergencies; the hold-down doubles with each that brought no promotion, "
        "and with each cycle that failed or died",
    )
    sources: tuple[Name, ...] | None = Field(
        default=None,
        min_length=1,
        description="whose labels may start an emergency; default: the first of labels.sources",
    )
    submitter_share_max: float = Field(
        default=0.5,
        gt=0,
        lt=1,
        description="of the misses that count, by one submitter who did not give more of them before",
    )

    @property
    def emergencies_wanted(self) -> tuple[str, ...]:
        """The triggers of emergency retrains that are on, by their names here."""
        on = {
            "misses": self.misses is not None,
            "value_detection": self.value_detection is not None,
            "probing": self.probing,
        }
        return tuple(name for name, wanted in on.items() if wanted)

    @property
    def emergencies(self) -> bool:
        """Tell whether any emergency retrain may start at all."""
        return bool(self.emergencies_wanted) and self.emergencies_max > 0

    @model_validator(mode="after")
    def _room_for_both(self) -> Self:
        if self.emergencies and self.per_day_max < 2:
            raise ValueError(
                "per_day_max: is 1, but emergencies leave the last place of a day to other retrains, so none "
                "could ever start; raise it to 2 or more, or set emergencies_max = 0"
            )
        alone = 1 / (1 - self.submitter_share_max)
        if self.misses is not None and self.misses.jump <= alone:
            raise ValueError(
                f"misses.jump: {self.misses.jump:g} is within what one submitter could add by himself "
                f"({alone:g} times what is usual, by submitter_share_max); raise it, or lower that"
            )
        return self
