"""`[sentinels]`: confirmed frauds that are never learned from and that every challenger must still catch."""

from typing import Self

from pydantic import Field, model_validator

from fraud.settings.section import Name, Section


class Sentinels(Section):
    """How large a set is, whose word makes a fraud fit for one, and how much of it may be missed."""

    rows_min: int = Field(default=20, ge=1, description="frauds in a set at least")
    rows_max: int = Field(default=1_000, ge=1, le=10_000, description="frauds in a set at most")
    patterns_max: int = Field(default=32, ge=1, le=1_000, description="sets of one model")
    source: Name | None = Field(default=None, description="default: the first of labels.sources")
    kept_share: float = Field(
        default=0.8, gt=0, le=1, description="of what the reference catches, a challenger must catch"
    )

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        if self.rows_min > self.rows_max:
            raise ValueError(f"rows_min: {self.rows_min} is above rows_max, {self.rows_max}")
        return self
