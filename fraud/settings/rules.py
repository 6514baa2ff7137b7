"""`[rules]`: limits of the rules and lists that stand beside the models."""

from pydantic import Field

from fraud.settings.section import Section

RULES_BOUND = 200
"""No configuration allows more rules: each is a series of a metric, and is evaluated on every batch."""
LETTERS_BOUND = 10_000
"""Nor longer conditions."""


class Rules(Section):
    """How much may be asked of every payment beside the model."""

    rules_max: int = Field(default=50, ge=1, le=RULES_BOUND, description="of one model, in force at once")
    expression_length_max: int = Field(
        default=1_000, ge=10, le=LETTERS_BOUND, description="letters of one `when`"
    )
    listings_max: int = Field(
        default=100_000, ge=1, le=10_000_000, description="entities on block and allow lists together"
    )
