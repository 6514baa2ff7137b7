"""`[monitoring]`: where metrics are scraped, what is measured over which spans, when it is alarming."""

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from fraud.clock import DAY_US, HOUR_US, MINUTE_US
from fraud.settings.access import TlsFiles, is_loopback
from fraud.settings.durations import PositiveDurationUs, format_duration
from fraud.settings.section import Name, Section

WINDOWS_MAX = 6


def _within_a_day(span_us: int) -> int:
    if span_us > DAY_US:
        raise ValueError(
            f"{format_duration(span_us)} is longer than the day that is looked at; give 24h or less"
        )
    return span_us


SpanOfDay = Annotated[PositiveDurationUs, AfterValidator(_within_a_day)]


class Drift(Section):
    """When recent traffic counts as moved. All of them must hold: effect, chance, and enough rows."""

    window: PositiveDurationUs = Field(
        default=7 * DAY_US, description="traffic held against the reference; a whole week has all weekdays"
    )
    rows_min: int = Field(default=1_000, ge=100, description="in the window; fewer: nothing is said")
    rows_max: int = Field(default=50_000, ge=1_000, description="of the window that are looked at")
    ignore: tuple[str, ...] = Field(
        default=("*_age_s",), description="features shown but never found: they grow with the service"
    )
    effect: float = Field(default=0.1, gt=0, lt=10, description="PSI beyond what chance gives")
    p_value: float = Field(
        default=1e-3, gt=0, lt=0.5, description="for all features of a look together (Holm)"
    )


class Ladder(Section):
    """Amounts of one entity that rise step by step above what passed before.

    A step is above the highest that was approved that day and at most `factor` times that; what lies
    below breaks no run, so neither a payment of the owner nor a step down after a stopped one does.
    """

    entities: tuple[Name, ...] | None = Field(default=None, description="default: the first of the schema")
    steps_min: int = Field(default=4, ge=2, le=50, description="steps of one run")
    factor: float = Field(default=2.0, gt=1, le=100, description="a step ÷ the highest that passed, at most")
    within: SpanOfDay = Field(default=DAY_US, description="from the first step to the last")


class Trial(Section):
    """A small payment of one entity, and soon a large one: a card is tried and then used."""

    entities: tuple[Name, ...] | None = Field(default=None, description="default: the first of the schema")
    small_max_minor: int = Field(default=300, ge=1, description="smallest unit of the base currency")
    large_min_minor: int = Field(default=10_000, ge=2, description="the same; of the payment that follows")
    within: SpanOfDay = Field(default=2 * HOUR_US, description="from the small payment to the large one")

    @model_validator(mode="after")
    def _large_is_larger(self) -> Self:
        if self.large_min_minor <= self.small_max_minor:
            raise ValueError(
                f"large_min_minor: {self.large_min_minor} is not above small_max_minor, "
                f"{self.small_max_minor}; raise it, or lower that"
            )
        return self


class ManyDeclines(Section):
    """Payments of one entity that were not simply approved."""

    entities: tuple[Name, ...] | None = Field(default=None, description="default: all of the schema")
    count_min: int = Field(default=2, ge=2, le=10_000, description="not approved")
    share: float = Field(default=0.3, ge=0, le=1, description="of the entity's payments of the day")
    within: SpanOfDay = DAY_US


class ManySmall(Section):
    """Many small payments of one entity."""

    entities: tuple[Name, ...] | None = Field(default=None, description="default: all of the schema")
    amount_max_minor: int = Field(default=300, ge=1, description="smallest unit of the base currency")
    count_min: int = Field(default=5, ge=2, le=10_000, description="of at most that amount")
    share: float = Field(default=0.5, ge=0, le=1, description="of the entity's payments of the day")
    within: SpanOfDay = HOUR_US


class Probing(Section):
    """Entities that test cards or walk along a limit: those of the last day against quiet weeks."""

    enabled: bool = True
    baseline: PositiveDurationUs = Field(
        default=28 * DAY_US,
        description="days that say what is usual; the loudest quarter of the weeks counts as the next one",
    )
    entities_min: int = Field(default=3, ge=1, le=1_000_000, description="fewer of a kind are no finding")
    jump: float = Field(default=3.0, gt=1, le=1_000, description="entities ÷ expected, at least")
    p_value: float = Field(default=1e-3, gt=0, lt=0.5, description="for all patterns and kinds of a look")
    rows_max: int = Field(
        default=500_000, ge=1_000, description="of a day; beyond them, entities are thinned evenly"
    )
    ladder: Ladder = Ladder()
    trial: Trial = Trial()
    declines: ManyDeclines = ManyDeclines()
    small: ManySmall = ManySmall()

    @field_validator("baseline")
    @classmethod
    def _weeks_enough(cls, baseline_us: int) -> int:
        if not 21 * DAY_US <= baseline_us <= 182 * DAY_US:
            raise ValueError(f"{format_duration(baseline_us)} is not three to 26 weeks; give 21d to 182d")
        return baseline_us


class Alarms(Section):
    """From when on a figure is alarming: alert rules and `fraud status` read these."""

    decay: float = Field(default=0.05, gt=0, lt=1, description="recall lost since promotion, beyond doubt")
    alert_ratio: float = Field(default=2.0, gt=1, description="alerts ÷ promised, either way")
    feed_observed_ratio: float = Field(default=0.3, gt=0, lt=1, description="fraud labels ÷ promised; below")
    access_left: PositiveDurationUs = Field(
        default=14 * DAY_US, description="before a certificate or an identity's last credential ends"
    )
    champion_age: PositiveDurationUs = 60 * DAY_US
    retrain_age: PositiveDurationUs = Field(default=14 * DAY_US, description="since one ended well")
    error_share: float = Field(default=0.01, gt=0, lt=1, description="of calls")
    latency: PositiveDurationUs = Field(default=100_000, description="99th percentile of Score")
    archive_lag_events: int = Field(default=1_000_000, ge=1)
    labels_waiting: int = Field(default=10_000, ge=1, description="whose payment is not known")
    disk_free_share: float = Field(default=0.1, gt=0, lt=1, description="of the data folder; below")
    queue_rows: int = Field(default=10_000, ge=1, description="waiting to be scored")


class Monitoring(Section):
    """Prometheus ports, one per process (0: any free port, -1: off), and what they show."""

    host: str = "127.0.0.1"
    insecure: bool = Field(
        default=False,
        description="metrics on a network without TLS and readers, because something else guards it",
    )
    tls: TlsFiles = TlsFiles()
    token_file: Path | None = Field(default=None, description="holds what a reader shows as bearer token")
    scorer_port: int = Field(default=9464, ge=-1, le=65_535)
    retrainer_port: int = Field(default=9465, ge=-1, le=65_535)
    readers_max: int = Field(
        default=16, ge=1, le=1_000, description="of one process at once; who comes then is turned away"
    )
    scorer_host: str | None = Field(
        default=None, min_length=1, description="where 'fraud status' finds the scorer's; unset: this machine"
    )
    retrainer_host: str | None = Field(default=None, min_length=1, description="the same of the retrainer")
    counting: bool = Field(default=True, description="false: the scorer counts nothing at all")
    quality_windows: tuple[PositiveDurationUs, ...] = Field(
        default=(7 * DAY_US, 28 * DAY_US, 90 * DAY_US), description="of matured payments, rising"
    )
    quality_every: PositiveDurationUs = Field(
        default=HOUR_US, description="at most so often when labels come in; a new day counts at once"
    )
    bootstrap_rounds: int = Field(default=100, ge=20, le=10_000, description="behind each interval")
    cohorts: int = Field(default=13, ge=1, le=53, description="weeks shown one by one")
    shadows: int = Field(default=2, ge=0, le=9, description="versions in shadow whose quality is shown")
    reference: bool = Field(
        default=True, description="score with the first champion too, to see what retraining brings"
    )
    traffic_every: PositiveDurationUs = Field(default=5 * MINUTE_US, description="looks at recent traffic")
    drift: Drift = Drift()
    probing: Probing = Probing()
    alarms: Alarms = Alarms()
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @field_validator("quality_windows")
    @classmethod
    def _whole_days(cls, windows: tuple[int, ...]) -> tuple[int, ...]:
        if not 1 <= len(windows) <= WINDOWS_MAX:
            raise ValueError(f"has {len(windows)} spans; give 1 to {WINDOWS_MAX}")
        if any(window % DAY_US for window in windows):
            raise ValueError("must be whole days, like '28d'")
        return windows

    @model_validator(mode="after")
    def _is_guarded(self) -> Self:
        off = self.scorer_port == self.retrainer_port == -1
        guarded = self.tls.certificate and (self.tls.clients or self.token_file)
        if not (off or guarded or self.insecure or is_loopback(self.host)):
            raise ValueError(
                f"host: {self.host} is reached from other machines, so it needs [monitoring.tls] certificate "
                "and token_file (or [monitoring.tls] clients); or say insecure = true where something else "
                "guards it"
            )
        return self

    @model_validator(mode="after")
    def _windows_rise(self) -> Self:
        if any(low >= high for low, high in pairwise(self.quality_windows)):
            raise ValueError("quality_windows: must rise from one to the next")
        return self
