"""`[models.NAME]`: one of the models the service hosts, its features and its policy."""

from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from fraud.settings.section import Section


class Cost(Section):
    """What the two mistakes cost, in any one unit."""

    missed_fraud: float = Field(gt=0)
    false_alarm: float = Field(gt=0)


class Target(Section):
    """How a threshold is found; exactly one key is given.

    `share` of traffic or `per_day` transactions at or above it (review
    capacity), `precision` at or above it, `cost` of mistakes, or a `score`.
    """

    share: float | None = Field(default=None, gt=0, lt=1)
    per_day: float | None = Field(default=None, gt=0)
    precision: float | None = Field(default=None, gt=0, lt=1)
    cost: Cost | None = None
    score: float | None = Field(default=None, gt=0, lt=1)

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            allowed = ", ".join(type(self).model_fields)
            raise ValueError(f"give exactly one of {allowed} (got {', '.join(given) or 'none'})")
        return self


class Exploration(Section):
    """A share of would-be declines is let through, to learn what they were."""

    rate: float = Field(default=0.0, ge=0, le=0.5)
    key: SecretStr = Field(
        default=SecretStr(""), description="secret of the hash; set it by environment variable"
    )
    amount_max_minor: int | None = Field(
        default=None, ge=0, description="a larger amount (base currency) is never let through"
    )

    @model_validator(mode="after")
    def _key_is_set(self) -> Self:
        if self.rate > 0 and len(self.key.get_secret_value()) < 16:
            raise ValueError("key: set at least 16 characters when rate > 0, or fraudsters predict it")
        return self


class Policy(Section):
    """Outcome by score; the thresholds are solved from these targets at training.

    A target left out means that outcome is never given.
    """

    challenge: Target | None = None
    review: Target | None = Target(share=0.01)
    decline: Target | None = None
    exploration: Exploration = Exploration()


class ModelSettings(Section):
    """A named model."""

    features: tuple[str, ...] = Field(default=("*",), description="names or patterns like card_*")
    categoricals: tuple[str, ...] = Field(default=("*",), description="names or patterns")
    no_champion: Literal["APPROVE", "CHALLENGE", "REVIEW", "DECLINE"] = "APPROVE"
    policy: Policy = Policy()
