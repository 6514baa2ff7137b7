"""What is alarming in one scrape of both processes, by the thresholds and names of the alert rules.

One look has no memory: rates are those since a process started, and nothing holds an alarm down.
The rules in `deploy/` are for operators; this is for somebody at a terminal.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from fraud.monitoring.names import ACCESS
from fraud.monitoring.scrape import Sample, Samples

Severity = Literal["page", "ticket", "notice"]
SEVERITIES: tuple[Severity, ...] = ("page", "ticket", "notice")

ONE_DAY = "1d"
"""The window of a feed that may be short for a week-end or a holiday."""
EXPECTED_MIN = 20
"""Fewer labels promised say nothing about a feed."""
CALLS_MIN = 100
"""Fewer calls say nothing about errors or latency."""
CALIBRATION_FACTOR = 2.0
ENTITIES_SHARE = 0.9
"""Of the entities of a kind that state can be kept of."""
SPENT_SHARE = 0.95
"""Of a day's budget to explore: what is left is less than most payments cost."""
DISK_FULL_BYTES = 500 * 2**20
ERRORS = ("UNKNOWN", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED")
"""What is ours to answer for, but for calls of those who ask for more than they may."""
_LATENCY_QUANTILE = 0.99


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarming figure, under the name of its alert rule."""

    name: str
    severity: Severity
    text: str


def alarming(seen: Samples, thresholds: Mapping[str, float], now_us: int, wall_us: int) -> list[Alarm]:
    """Return what is alarming, the most severe first; a process that was not scraped says nothing.

    `thresholds` are those of `fraud.monitoring.alarms`, `now_us` is µs UTC by the clock of the service,
    `wall_us` by that on the wall, which certificates and credentials go by.
    """
    found = [
        *_flags(seen),
        *_limits(seen, thresholds),
        *_quality(seen, thresholds),
        *_traffic(seen, thresholds),
        *_feeds(seen, thresholds),
        *_calls(seen, thresholds),
        *_access(seen, thresholds, wall_us),
        *_ages(seen, thresholds, now_us),
    ]
    return sorted(found, key=lambda alarm: SEVERITIES.index(alarm.severity))


_FLAGS: tuple[tuple[str, str, Severity, str], ...] = (
    ("fraud_events_dropped_total", "FraudEventsDropped", "page", "decisions are not in the log"),
    ("fraud_tainted_champion", "FraudChampionTainted", "page", "serves, but learned from excluded data"),
    ("fraud_champion_missing", "FraudChampionMissing", "page", "its champion cannot be loaded, none decides"),
    ("fraud_rules_refused", "FraudRulesRefused", "page", "its rules do not fit, and are not in force"),
    ("fraud_retrain_frozen", "FraudRetrainFrozen", "ticket", "the guard keeps it from training"),
    ("fraud_monitoring_failures_total", "FraudQualityNotMeasured", "ticket", "figures could not be computed"),
    ("fraud_guard_findings", "FraudGuardFinding", "notice", "findings of the guard"),
    ("fraud_awaiting_approval_versions", "FraudAwaitingApproval", "notice", "versions wait for a person"),
)
"""Figures that are alarming above 0."""
_LIMITS: tuple[tuple[str, str, Severity, str, str], ...] = (
    ("fraud_queue_rows", "FraudScorerQueueFull", "page", "queue_rows", "rows wait to be scored"),
    ("fraud_labels_waiting", "FraudLabelsWaiting", "ticket", "labels_waiting", "labels without a payment"),
)
"""Figures that are alarming above a threshold."""


def _flags(seen: Samples) -> Iterator[Alarm]:
    for name, alarm, severity, text in _FLAGS:
        for sample in seen.find(name):
            if sample.value > 0:
                count = f" ({sample.value:g})" if sample.value > 1 else ""
                yield Alarm(alarm, severity, f"{_of(sample)}{text}{count}")
    if seen.value("fraud_serving") == 0 and seen.value("fraud_restore_progress_ratio") == 1:
        yield Alarm("FraudNotServing", "page", "the scorer is up and does not serve")
    for sample in seen.find("fraud_retrain_last_result", result="failed"):
        if sample.value > 0:
            yield Alarm("FraudRetrainFailing", "ticket", f"{_of(sample)}the last retrain failed")
    used = seen.value("fraud_emergency_used_retrains")
    if used and seen.value("fraud_emergency_left_retrains") == 0:
        yield Alarm(
            "FraudEmergenciesSpent", "notice", f"{used:g} emergency retrains have used up their budget"
        )
    for sample in seen.find("fraud_exploration_left_minor"):
        enabled = seen.value("fraud_exploration_enabled", model=sample.labels["model"])
        spent = seen.value("fraud_exploration_spent_minor", model=sample.labels["model"]) or 0.0
        if enabled and spent and spent >= SPENT_SHARE * (spent + sample.value):
            yield Alarm("FraudExplorationSpent", "notice", f"{_of(sample)}today's budget to explore is spent")


def _limits(seen: Samples, thresholds: Mapping[str, float]) -> Iterator[Alarm]:
    for name, alarm, severity, key, text in _LIMITS:
        value = seen.value(name)
        if value is not None and value > thresholds[key]:
            yield Alarm(alarm, severity, f"{value:,.0f} {text}")
    logged, archived = seen.value("fraud_log_position"), seen.value("fraud_archive_position")
    if logged is not None and archived is not None and logged - archived > thresholds["archive_lag_events"]:
        yield Alarm("FraudArchiveLag", "ticket", f"{logged - archived:,.0f} entries not archived")
    free, size = seen.value("fraud_disk_free_bytes"), seen.value("fraud_disk_size_bytes")
    if free is None or not size:
        pass  # nobody has measured yet
    elif free < DISK_FULL_BYTES:
        yield Alarm("FraudDiskFull", "page", f"{free / 1e6:,.0f} MB are left of the disk")
    elif free / size < thresholds["disk_free_share"]:
        yield Alarm(
            "FraudDiskFilling", "ticket", f"{free / size:.1%} of the disk is free ({free / 1e9:.1f} GB)"
        )
    most = seen.value("fraud_entities_max") or math.inf
    for sample in seen.find("fraud_entities"):
        share, kind = sample.value / most, sample.labels["entity"]
        if share >= 1:
            text = f"{kind}: state is kept of {most:,.0f}, and newer ones read as never seen"
            yield Alarm("FraudEntitiesFull", "page", text)
        elif share > ENTITIES_SHARE:
            text = f"{kind}: state is kept of {sample.value:,.0f}, of {most:,.0f} at most"
            yield Alarm("FraudEntitiesFilling", "ticket", text)


def _quality(seen: Samples, thresholds: Mapping[str, float]) -> Iterator[Alarm]:
    for sample in seen.find("fraud_realised_decay", bound="lower", figure="recall"):
        if sample.value > thresholds["decay"]:
            window = sample.labels["window"]
            yield Alarm(
                "FraudDecay", "ticket", f"{_of(sample)}recall of {window} fell by {sample.value:.2f} at least"
            )
    for sample in seen.find("fraud_realised_gain", bound="upper", figure="recall"):
        if -sample.value > thresholds["decay"]:
            text = f"{_of(sample)}the first champion catches {-sample.value:.0%} more frauds at least"
            yield Alarm("FraudWorseThanFirst", "ticket", text)
    for sample in seen.find("fraud_realised_calibration_ratio", subject="champion", bound="lower"):
        high = seen.value("fraud_realised_calibration_ratio", **{**sample.labels, "bound": "upper"})
        if sample.value > CALIBRATION_FACTOR or (high is not None and high < 1 / CALIBRATION_FACTOR):
            window = sample.labels["window"]
            yield Alarm(
                "FraudCalibrationOff", "notice", f"{_of(sample)}scores of {window} promise other frauds"
            )


def _traffic(seen: Samples, thresholds: Mapping[str, float]) -> Iterator[Alarm]:
    moved: tuple[tuple[str, str, Severity], ...] = (
        ("scores", "FraudScoreDrift", "ticket"),
        ("features", "FraudFeatureDrift", "notice"),
    )
    for kind, alarm, severity in moved:
        for sample in seen.find("fraud_drift_findings", kind=kind):
            if sample.value > 0:
                yield Alarm(alarm, severity, f"{_of(sample)}{kind} have moved ({sample.value:g})")
    for sample in seen.find("fraud_probing_findings"):
        if sample.value > 0:
            count = seen.value("fraud_probing_entities", **sample.labels) or 0.0
            text = f"{_of(sample)}{count:,.0f} {sample.labels['kind']}s show {sample.labels['pattern']}"
            yield Alarm("FraudProbing", "ticket", text)
    most = thresholds["alert_ratio"]
    for sample in seen.find("fraud_recent_alert_ratio", bound="point"):
        model = sample.labels["model"]
        low, high = (
            seen.value("fraud_recent_alert_ratio", model=model, bound=it) for it in ("lower", "upper")
        )
        if (low is not None and low > most) or (high is not None and high < 1 / most):
            yield Alarm(
                "FraudAlertRateJump", "page", f"{_of(sample)}{sample.value:.2g} times the promised alerts"
            )


def _feeds(seen: Samples, thresholds: Mapping[str, float]) -> Iterator[Alarm]:
    for sample in seen.find("fraud_feed_observed_ratio"):
        expected = seen.value("fraud_feed_expected_labels", **sample.labels) or 0.0
        if expected >= EXPECTED_MIN and sample.value < thresholds["feed_observed_ratio"]:
            feed = f"{sample.labels['source']} in {sample.labels['window']}"
            text = f"{_of(sample)}{sample.value:.0%} of {expected:,.0f} fraud labels came from {feed}"
            if sample.labels["window"] == ONE_DAY:
                yield Alarm("FraudLabelFeedPaused", "notice", text)
            else:
                yield Alarm("FraudLabelFeedSilent", "ticket", text)


def _calls(seen: Samples, thresholds: Mapping[str, float]) -> Iterator[Alarm]:
    calls: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for it in seen.find("grpc_server_handled_total"):
        method = it.labels["grpc_method"]
        calls[method] += int(it.value)
        wrong[method] += int(it.value) if it.labels["grpc_code"] in ERRORS else 0
    for it in seen.find("fraud_rate_limited_total"):
        wrong[it.labels["grpc_method"]] -= int(it.value)
    for method, count in calls.items():
        if count >= CALLS_MIN and wrong[method] / count > thresholds["error_share"]:
            text = f"{method}: {wrong[method] / count:.1%} of calls failed since the start"
            yield Alarm("FraudGrpcErrors", "page", text)
    slow = score_latency(seen)
    if slow is not None and slow > thresholds["latency_seconds"]:
        yield Alarm("FraudScoringSlow", "ticket", f"1 % of calls took longer than {slow * 1e3:,.0f} ms")


def score_latency(seen: Samples) -> float | None:
    """Return the upper bound of the bucket with the 99th percentile of Score, s; None for few calls."""
    buckets = sorted(
        (float(it.labels["le"]), it.value)
        for it in seen.find("grpc_server_handling_seconds_bucket", grpc_method="Score")
    )
    if not buckets or buckets[-1][1] < CALLS_MIN:
        return None
    return next(bound for bound, count in buckets if count >= _LATENCY_QUANTILE * buckets[-1][1])


def _access(seen: Samples, thresholds: Mapping[str, float], wall_us: int) -> Iterator[Alarm]:
    for sample in seen.find("fraud_access_end_timestamp_seconds"):
        left_s, what = sample.value - wall_us / 1e6, sample.labels["what"]
        if left_s < thresholds["access_left_seconds"]:
            text = f"ends in {left_s / 86_400:.0f} days" if left_s > 0 else "has ended"
            yield Alarm("FraudAccessEnds", "ticket", f"{ACCESS[what]} {text}")


def _ages(seen: Samples, thresholds: Mapping[str, float], now_us: int) -> Iterator[Alarm]:
    for sample in seen.find("fraud_champion_age_seconds"):
        if sample.value > thresholds["champion_age_seconds"]:
            yield Alarm(
                "FraudChampionStale", "ticket", f"{_of(sample)}trained {sample.value / 86_400:.0f} days ago"
            )
    for sample in seen.find("fraud_retrain_last_success_timestamp_seconds"):
        age = now_us / 1e6 - sample.value
        if age > thresholds["retrain_age_seconds"]:
            yield Alarm(
                "FraudRetrainOverdue", "ticket", f"{_of(sample)}last retrained {age / 86_400:.0f} days ago"
            )


def _of(sample: Sample) -> str:
    model = sample.labels.get("model")
    return f"{model}: " if model else ""
