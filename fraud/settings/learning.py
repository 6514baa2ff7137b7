"""`[labels]`, `[training]` and `[gate]`: what is learned from, how, and what is promoted."""

import os
from typing import Annotated, Final, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from fraud.clock import DAY_US
from fraud.settings.durations import DurationUs, PositiveDurationUs
from fraud.settings.section import Name, Section
from fraud.settings.slices import Slices
from fraud.settings.triggers import Triggers

FOLDS_MAX: Final = 10
"""Folds of the entities, each with a booster of its own beside the served one."""
RecipeKind = Literal["full", "recent", "continue", "hardened"]


class MeasuredMaturity(Section):
    """The maturity follows the delays that labels have: of the slowest source that gives enough of them."""

    quantile: float = Field(default=0.95, gt=0.5, lt=1, description="share of its fraud labels that came")
    least: PositiveDurationUs = Field(
        default=7 * DAY_US, description="never less; labels.maturity is the most"
    )


class Labels(Section):
    """Which label is known at T, and when the absence of fraud may be trusted."""

    sources: tuple[Name, ...] = Field(
        default=("chargeback", "analyst", "customer"), min_length=1, description="best first"
    )
    conflict: Literal["LABELER_PRIORITY", "LAST_WRITE_WINS", "MAJORITY_VOTE"] = "LABELER_PRIORITY"
    maturity: PositiveDurationUs = Field(
        default=30 * DAY_US, description="an event older than this and unlabelled was no fraud"
    )
    measured: MeasuredMaturity | None = Field(
        default=None, description="default: the maturity is as set, delays are only reported"
    )
    assume_completed: bool = Field(
        default=True, description="an approved payment without a report counts as completed"
    )
    waiting_max: int = Field(
        default=500_000, ge=1, description="labels that wait for payments, in the memory of the scorer"
    )
    waiting_each_max: int = Field(
        default=1_000, ge=1, description="of them, those of one source for one payment"
    )


class Recipe(Section):
    """How one challenger is fitted. Parameters are XGBoost's own names."""

    kind: RecipeKind
    window: PositiveDurationUs = Field(default=180 * DAY_US, description="days of training rows")
    rounds: int = Field(default=200, ge=1, le=5_000)
    rounds_max: int = Field(
        default=1_000,
        ge=1,
        le=20_000,
        description="continue: of the whole chain; beyond, it is fitted from nothing",
    )
    max_depth: int = Field(default=6, ge=1, le=16)
    learning_rate: float = Field(default=0.1, gt=0, le=1)
    min_child_weight: float = Field(default=1.0, ge=0)
    subsample: float = Field(default=1.0, gt=0, le=1)
    colsample_bytree: float = Field(default=1.0, gt=0, le=1)
    reg_lambda: float = Field(default=1.0, ge=0)
    max_bin: int = Field(default=1024, ge=16, le=65_536)
    base_score: float = Field(default=0.5, gt=0, lt=1)
    recency_half_life: PositiveDurationUs | None = None
    legitimate_share: float = Field(
        default=1.0, gt=0, le=1, description="share of legitimate rows kept, weighted by its inverse"
    )
    replay_share: float = Field(
        default=0.0, ge=0, le=1, description="recent: share of older frauds that may be replayed"
    )
    replay_max: int = Field(
        default=1_000, ge=1, le=100_000, description="recent: frauds replayed at most, of all past patterns"
    )
    replay_honest: int = Field(
        default=5, ge=0, le=100, description="recent: honest rows of that time beside each"
    )
    variant_frauds: int = Field(
        default=300, ge=10, le=10_000, description="hardened: frauds that the champion is attacked with"
    )
    variant_cost: float = Field(
        default=0.5, gt=0, le=10, description="hardened: evasions dearer than that are left out"
    )
    variant_ways: int = Field(
        default=60, ge=0, le=1_000, description="hardened: other ways drawn of each of these frauds"
    )
    variant_rounds: int = Field(
        default=3, ge=0, le=8, description="hardened: fits more, each with the ways that pass the one before"
    )
    variant_weight: float = Field(default=1.0, gt=0, le=100, description="hardened: an evasion ÷ its fraud")
    variant_share: float = Field(
        default=0.5, gt=0, le=4, description="hardened: all evasions weigh at most so much of all frauds"
    )
    monotone: dict[str, Literal["rising", "falling"]] = Field(
        default_factory=dict, max_length=64, description="features with which the score may only go one way"
    )


def _default_recipes() -> dict[str, Recipe]:
    return {
        "full": Recipe(kind="full"),
        "recent": Recipe(kind="recent", window=28 * DAY_US, replay_share=1.0),
        "continue": Recipe(kind="continue", window=28 * DAY_US, rounds=50),
    }


class Fresh(Section):
    """Verdicts teach as soon as they are known; payments of entities set apart judge meanwhile."""

    apart: float = Field(default=0.3, gt=0, le=0.5, description="share of the entities that judge")
    folds: int | None = Field(
        default=None,
        ge=2,
        le=FOLDS_MAX,
        description="default: apart; else all entities judge, each by a booster fitted without its fold",
    )
    entity: Name | None = Field(default=None, description="default: the first of the schema")
    silence: PositiveDurationUs = Field(
        default=7 * DAY_US,
        description="without a verdict for so long, or labels.maturity, a payment teaches as legitimate",
    )


class Training(Section):
    """Splits, recipes and the Ray workers."""

    seed: int = Field(default=7, ge=0, lt=2**31)
    fresh: Fresh | None = Field(
        default=None, description="default: only matured rows teach, and time alone parts what judges"
    )
    embargo: DurationUs | None = Field(default=None, description="default: the label maturity")
    calibration: PositiveDurationUs = 7 * DAY_US
    evidence: PositiveDurationUs = 7 * DAY_US
    frauds_min: int = Field(default=50, ge=2, description="fewer in the training rows of the window: no fit")
    recipes: dict[Name, Recipe] = Field(default_factory=_default_recipes, min_length=1, max_length=16)
    triggers: Triggers = Triggers()
    ray_address: str = Field(default="", description='empty: a local Ray; "auto" or host:port')
    cpus: int | None = Field(default=None, ge=1, description="of the local Ray; default: all")
    cpus_per_task: int | None = Field(
        default=None, ge=1, description="threads of one fit; default: 2, or 1 where there is one CPU"
    )
    task_retries: int = Field(default=3, ge=0, le=100)
    niceness: int = Field(
        default=10, ge=0, le=19, description="of workers; above 0 they also run on idle cores only (Linux)"
    )
    archive_every: PositiveDurationUs = Field(default=60_000_000)
    archive_small_files_max: int = Field(
        default=500, ge=2, le=1_000_000, description="of a table; beyond that they are merged, once a day"
    )

    @property
    def local_cpus(self) -> int:
        """CPUs of the local Ray."""
        return self.cpus or os.cpu_count() or 1

    @property
    def threads_per_task(self) -> int:
        """Threads of one fit. Two beat one: recipes differ in length, and the last one runs alone."""
        return self.cpus_per_task or min(2, self.local_cpus)


class Shadow(Section):
    """Versions that score live traffic without effect, in the champion's own batches."""

    challengers: int = Field(default=1, ge=0, le=8, description="that score beside the champion, at most")
    least: PositiveDurationUs = Field(
        default=DAY_US, description='gate.mode = "shadow": time in shadow before a promotion'
    )
    rows_min: int = Field(default=1_000, ge=1, description="and payments scored there")


class Probation(Section):
    """After a promotion the former champion stays in shadow; what goes wrong rolls back by itself."""

    enabled: bool = True
    length: PositiveDurationUs | None = Field(default=None, description="default: labels.maturity")
    outcome_ratio_max: float = Field(
        default=3.0,
        gt=1,
        description="alerts and declines ÷ the former champion's on the same payments, either way",
    )
    outcome_share_min: float = Field(
        default=0.002, gt=0, lt=1, description="of payments; fewer alerts than that are no jump"
    )


class Gate(Section):
    """What a challenger has to prove. Every bound is a check in the verdict."""

    mode: Literal["automatic", "shadow", "approval"] = Field(
        default="automatic",
        description='"shadow": a promotion waits until the version has scored live traffic in shadow; '
        '"approval": for a person (fraud promote)',
    )
    shadow: Shadow = Shadow()
    probation: Probation = Probation()
    evidence_frauds_min: int = Field(default=50, ge=1)
    evidence_attacks_min: int = Field(default=5, ge=1, description="where no champion is there to beat")
    alert_share: float = Field(default=0.01, gt=0, lt=1, description="equal alert budget, of a day")
    e_value: float = Field(default=20.0, ge=1)
    attempts_within: PositiveDurationUs | None = Field(
        default=None, description="older attempts against the champion do not raise e_value; default: all do"
    )
    refresh_margin: float = Field(default=0.03, gt=0, lt=0.5)
    newest_lost_max: int = Field(
        default=0, ge=0, le=100, description="so many of the newest attacks fewer may a refresh catch"
    )
    champion_age: PositiveDurationUs = Field(
        default=28 * DAY_US, description="an older champion may be refreshed"
    )
    floor_average_precision: float = Field(default=0.05, ge=0, le=1)
    floor_recall: float = Field(default=0.2, ge=0, le=1, description="at the alert budget")
    calibration_ratio_max: float = Field(
        default=2.0, gt=1, description="expected ÷ observed frauds, either way"
    )
    alert_shift_max: float = Field(default=3.0, gt=1, description="alert rate ÷ the champion's, either way")
    alerts_max: float = Field(
        default=0.25, gt=0, le=1, description="alerts ÷ recent traffic, or as many as the champion's"
    )
    unadjusted_shift_max: float | None = Field(
        default=None, gt=1, description="the same at the champion's thresholds; default: reported only"
    )
    risk_cutoffs: tuple[Annotated[int, Field(ge=1, le=999)], ...] = Field(
        default=(900, 950, 990), description="cut-offs that clients keep on the risk score"
    )
    risk_shift_max: float = Field(
        default=0.1, gt=0, lt=1, description="change of the share of traffic at or above each, either way"
    )
    risk_rows_min: int = Field(
        default=500, ge=20, description="rows expected at or above a cut-off; fewer: reported only"
    )
    bundle_bytes_max: int = Field(
        default=64 * 2**20,
        ge=2**16,
        description="that a scorer keeps of a version; of folds it keeps nothing",
    )
    scoring_ratio_max: float = Field(
        default=3.0, gt=1, description="time to score a batch ÷ the champion's, both measured here"
    )
    pending_max: int = Field(
        default=6, ge=0, description="frozen challengers awaiting evidence, one of each recipe before others"
    )
    bootstrap_rounds: int = Field(default=200, ge=20, le=10_000)
    slices: Slices = Slices()


def _not_empty(value: object) -> object:
    if value == {}:
        raise ValueError("is empty, so nothing would be checked; leave it out for the defaults")
    return value


GateSettings = Annotated[Gate, BeforeValidator(_not_empty)]


class Import(Section):
    """How the columns of a history map to the schema (`fraud import`)."""

    model: Name
    transaction_id: str
    event_time: str
    amount: str
    amount_unit: Literal["major", "minor"] = "major"
    entities: dict[Name, str]
    numeric: dict[Name, str] = Field(default_factory=dict)
    categorical: dict[Name, str] = Field(default_factory=dict)
    label: str = Field(description="column that is 1 or true for frauds")
    label_source: Name
    label_time: str | None = Field(default=None, description="column; default: event time")
    label_delay: DurationUs = 0
    arrival_time: str | None = Field(default=None, description="column; default: event time")

    @model_validator(mode="after")
    def _delay_or_column(self) -> Self:
        if self.label_time is not None and self.label_delay:
            raise ValueError("label_delay: give either label_time or label_delay, not both")
        return self
