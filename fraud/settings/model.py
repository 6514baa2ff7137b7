"""`[models.NAME]`: one of the models the service hosts, its features and its policy."""

from typing import Any, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from fraud.settings.section import Name, Section

RATE_MAX = 0.5


class Cost(Section):
    """What the two mistakes cost: a sum for each, in any one unit, or by the amount at risk.

    By amount, a missed fraud costs `loss_share` of what was paid and a false
    alarm `friction_minor`, in base currency.
    """

    missed_fraud: float | None = Field(default=None, gt=0)
    false_alarm: float | None = Field(default=None, gt=0)
    loss_share: float | None = Field(
        default=None, gt=0, description="of the amount; fees make it more than 1"
    )
    friction_minor: float | None = Field(default=None, gt=0, description="what one false alarm costs")

    @model_validator(mode="after")
    def _one_pair(self) -> Self:
        given = {name for name in type(self).model_fields if getattr(self, name) is not None}
        if given not in ({"missed_fraud", "false_alarm"}, {"loss_share", "friction_minor"}):
            raise ValueError(
                "give missed_fraud and false_alarm, or loss_share and friction_minor "
                f"(got {', '.join(sorted(given)) or 'none'})"
            )
        return self


class Target(Section):
    """How a threshold is found; exactly one key is given.

    `share` of traffic or `per_day` transactions at or above it (review
    capacity), `false_positive_rate`, the share of legitimate payments there, `precision`
    at or above it, `cost` of mistakes, or a `score`.
    """

    share: float | None = Field(default=None, gt=0, lt=1)
    per_day: float | None = Field(default=None, gt=0)
    false_positive_rate: float | None = Field(default=None, gt=0, lt=1)
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


class Band(Section):
    """Another rate of exploration, from a calibrated score on."""

    from_: float = Field(alias="from", gt=0, lt=1)
    rate: float = Field(ge=0, le=RATE_MAX)


class Exploration(Section):
    """A share of would-be declines is let through, to learn what they were."""

    enabled: bool = Field(default=True, description="`fraud explore --off` stops it without a restart")
    rate: float = Field(default=0.0, ge=0, le=RATE_MAX, description="below the first band")
    bands: tuple[Band, ...] = Field(default=(), max_length=20, description="rates by score, rising")
    key: SecretStr = Field(
        default=SecretStr(""), description="secret of the hash; set it by environment variable"
    )
    amount_max_minor: int | None = Field(
        default=None, ge=0, description="a larger amount (base currency) is never let through"
    )
    budget_minor: int | None = Field(
        default=None, ge=0, description="amounts let through in a day of service.timezone, in sum"
    )
    entity_budget_minor: dict[Name, int] = Field(
        default_factory=dict, description="the same for each merchant, card, …"
    )

    @property
    def rates(self) -> tuple[float, ...]:
        """Every rate there is, the one below the first band first."""
        return (self.rate, *(band.rate for band in self.bands))

    @property
    def active(self) -> bool:
        """True when some would-be decline may be let through, budgets permitting."""
        return self.enabled and max(self.rates) > 0

    @model_validator(mode="after")
    def _key_is_set(self) -> Self:
        if max(self.rates) > 0 and len(self.key.get_secret_value()) < 16:
            raise ValueError("key: set at least 16 characters when rate > 0, or fraudsters predict it")
        return self

    @model_validator(mode="after")
    def _bands_rise(self) -> Self:
        edges = [band.from_ for band in self.bands]
        if edges != sorted(set(edges)):
            raise ValueError(f"bands: the scores they start from must rise, got {edges}")
        return self

    @field_validator("entity_budget_minor")
    @classmethod
    def _no_debts(cls, given: dict[str, int]) -> dict[str, int]:
        below = [name for name, most in given.items() if most < 0]
        if below:
            raise ValueError(f"{', '.join(below)}: a budget is 0 or more")
        return given


class Policy(Section):
    """Outcome by score; the thresholds are solved from these targets at training.

    A target left out means that outcome is never given. Without any the riskiest hundredth goes to review.
    """

    challenge: Target | None = None
    review: Target | None = None
    decline: Target | None = None
    exploration: Exploration = Exploration()

    @model_validator(mode="before")
    @classmethod
    def _gives_an_outcome(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.keys().isdisjoint(("challenge", "review", "decline")):
            return given | {"review": {"share": 0.01}}
        return given


class ModelSettings(Section):
    """A named model."""

    features: tuple[str, ...] = Field(default=("*",), description="names or patterns like card_*")
    categoricals: tuple[str, ...] = Field(default=("*",), description="names or patterns")
    no_champion: Literal["APPROVE", "CHALLENGE", "REVIEW", "DECLINE"] = "APPROVE"
    no_clean_champion: Literal["KEEP", "NONE"] = Field(
        default="KEEP", description="what serves where an exclusion taints every champion there was"
    )
    policy: Policy = Policy()
