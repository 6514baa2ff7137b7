"""What `fraud status` says, as one document: from the ledger, and from what both processes show."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fraud.cli.times import format_time
from fraud.clock import WallClock
from fraud.monitoring.alarming import Alarm, alarming
from fraud.monitoring.alarms import thresholds
from fraud.monitoring.names import BOUNDS, CHAMPION, DECISIONS, FIRST
from fraud.monitoring.scrape import Firing, Samples
from fraud.registry.ledger import RegistryState
from fraud.registry.loop import RESULTS, LoopCounts
from fraud.registry.probation import probation_of
from fraud.retrainer.triggers import budget_of
from fraud.settings import Settings
from fraud.settings.durations import format_duration
from fraud.settings.monitoring import Monitoring

QUALITY = ("recall", "precision", "average_precision", "value_detection", "value_fraud_ratio")


@dataclass(frozen=True, slots=True)
class Seen:
    """One look: samples of each process (None: it does not answer), why not, what a Prometheus says."""

    scorer: Samples | None
    retrainer: Samples | None
    missing: Mapping[str, str]
    prometheus: tuple[Firing, ...] | None = None

    @property
    def all(self) -> Samples:
        """The samples of both processes."""
        nothing = Samples(())
        return (self.scorer or nothing).merged(self.retrainer or nothing)


def status_document(
    settings: Settings, state: RegistryState, counts: LoopCounts, seen: Seen, now_us: int
) -> dict[str, Any]:
    """Return everything the screen shows, as JSON values; `now_us` is µs UTC by the service's clock."""
    samples = seen.all
    limits = thresholds(settings.monitoring.alarms)
    windows = [format_duration(window) for window in settings.monitoring.quality_windows]
    return {
        "at": format_time(now_us),
        "processes": {
            name: {"answers": found is not None, "why_not": seen.missing.get(name, "")}
            for name, found in (("scorer", seen.scorer), ("retrainer", seen.retrainer))
        },
        "models": [_model(model, state, samples, windows) for model in settings.models],
        "feeds": _feeds(samples),
        "loop": [_loop(model, state, counts, samples) for model in settings.models],
        "reaction": _reaction(settings, state, samples, now_us),
        "service": _service(samples),
        "alarms": [
            asdict(alarm)
            for alarm in (
                *_down(settings.monitoring, seen),
                *alarming(samples, limits, now_us, WallClock().now_us()),
            )
        ],
        "prometheus": None if seen.prometheus is None else [asdict(each) for each in seen.prometheus],
    }


def _down(monitoring: Monitoring, seen: Seen) -> Iterator[Alarm]:
    """Yield an alarm for each process that should answer and does not; without a set port none should."""
    if monitoring.scorer_port > 0 and "scorer" in seen.missing:
        yield Alarm("FraudScorerDown", "page", seen.missing["scorer"])
    if monitoring.retrainer_port > 0 and "retrainer" in seen.missing:
        yield Alarm("FraudRetrainerDown", "ticket", seen.missing["retrainer"])


def _model(model: str, state: RegistryState, samples: Samples, windows: list[str]) -> dict[str, Any]:
    champion, reign = state.champion(model), state.reign(model)
    serving = next((it.labels["version"] for it in samples.find("fraud_champion_info", model=model)), None)
    probation = probation_of(state, model)
    return {
        "model": model,
        "champion": champion,
        "serves": serving,
        "since": format_time(reign.since_us) if champion and reign else None,
        "trained": format_time(state.version(champion).cut_time_us) if champion else None,
        "tainted_by": list(state.tainted_by(champion)) if champion else [],
        "on_probation_until": None if probation is None else format_time(probation.until_us),
        "challengers": [it.version for it in state.pending(model)],
        "promised": {
            figure: _interval(samples, "fraud_promised_quality", model=model, figure=figure)
            for figure in QUALITY
        },
        "quality": [
            {
                "window": window,
                "subject": subject,
                "frauds": samples.value("fraud_realised_frauds", model=model, subject=subject, window=window),
                **{
                    figure: _interval(
                        samples, f"fraud_realised_{figure}", model=model, subject=subject, window=window
                    )
                    for figure in QUALITY
                },
                "answered_recall": _interval(samples, "fraud_answered_recall", model=model, window=window)
                if subject == DECISIONS
                else None,
            }
            for window in windows
            for subject in (DECISIONS, CHAMPION, FIRST)
            if samples.value("fraud_realised_rows", model=model, subject=subject, window=window)
        ],
        "decay": {
            window: _interval(samples, "fraud_realised_decay", model=model, figure="recall", window=window)
            for window in windows
        },
        "gain": {
            window: _interval(samples, "fraud_realised_gain", model=model, figure="recall", window=window)
            for window in windows
        },
        "traffic": _traffic(model, samples),
    }


def _traffic(model: str, samples: Samples) -> dict[str, Any]:
    return {
        "rows": samples.value("fraud_recent_rows", model=model),
        "alert_ratio": _interval(samples, "fraud_recent_alert_ratio", model=model),
        "findings": {
            it.labels["kind"]: int(it.value) for it in samples.find("fraud_drift_findings", model=model)
        },
        "most_moved": [
            [it.labels["feature"], it.value]
            for it in sorted(samples.find("fraud_feature_drift", model=model), key=lambda it: -it.value)[:3]
        ],
        "probing": [
            {
                **{name: it.labels[name] for name in ("pattern", "kind")},
                "entities": samples.value("fraud_probing_entities", **it.labels),
                "expected": samples.value("fraud_probing_expected_entities", **it.labels),
                "finding": it.value > 0,
            }
            for it in samples.find("fraud_probing_findings", model=model)
        ],
        "estimated_recall": samples.value("fraud_estimated_recall", model=model),
        "estimate_holds": {
            it.labels["assumption"]: bool(it.value)
            for it in samples.find("fraud_estimate_holds", model=model)
        },
    }


def _interval(samples: Samples, name: str, **labels: str) -> list[float] | None:
    """Return a figure with its interval, None where it is not shown or not defined."""
    found = [samples.value(name, **labels, bound=bound) for bound in BOUNDS]
    given = [each for each in found if each is not None]
    return given if len(given) == len(BOUNDS) else None


def _feeds(samples: Samples) -> list[dict[str, Any]]:
    feeds = sorted(
        {(it.labels["model"], it.labels["source"]) for it in samples.find("fraud_feed_observed_ratio")}
    )
    return [
        {
            "model": model,
            "source": source,
            "observed": {
                it.labels["window"]: it.value
                for it in samples.find("fraud_feed_observed_ratio", model=model, source=source)
            },
            "median_delay_s": samples.value(
                "fraud_feed_delay_seconds", model=model, source=source, quantile="0.5"
            ),
            "last_label": _time(samples.value("fraud_feed_last_label_timestamp_seconds", source=source)),
        }
        for model, source in feeds
    ]


def _loop(model: str, state: RegistryState, counts: LoopCounts, samples: Samples) -> dict[str, Any]:
    last = counts.last.get(model)
    report = state.guard_reports.get(model)
    return {
        "model": model,
        "retrains": {result: counts.retrains[model, result] for result in RESULTS},
        "last": None
        if last is None
        else {"at": format_time(last.time_us), "result": last.result, "seconds": last.seconds},
        "running": bool(samples.value("fraud_retrain_running")),
        "verdicts": {verdict: count for (name, verdict), count in counts.verdicts.items() if name == model},
        "promotions": counts.promotions[model],
        "rollbacks": counts.rollbacks[model],
        "guard": [] if report is None else sorted({str(it["check"]) for it in report.findings}),
        "frozen": report is not None and report.frozen,
    }


def _reaction(settings: Settings, state: RegistryState, samples: Samples, now_us: int) -> dict[str, Any]:
    """Say why the last cycle started, what asks for an emergency, and what its budget still allows."""
    triggers = settings.training.triggers
    budget = budget_of(triggers, state.cycles, now_us)
    last = state.cycles[-1] if state.cycles else None
    return {
        "last": None
        if last is None
        else {
            "at": format_time(last.time_us),
            "trigger": last.trigger,
            "why": last.reason,
            "ended": last.ended,
        },
        "asked_for": [
            [it.labels["model"], it.labels["trigger"]]
            for it in samples.find("fraud_trigger_active")
            if it.value > 0
        ],
        "emergencies": {
            "enabled": triggers.emergencies,
            "used": budget.used,
            "left": budget.left,
            "within": format_duration(triggers.emergencies_within),
            "next_from": format_time(max(budget.from_us, now_us)) if triggers.emergencies else None,
        },
    }


def _service(samples: Samples) -> dict[str, Any]:
    free, size = samples.value("fraud_disk_free_bytes"), samples.value("fraud_disk_size_bytes")
    return {
        "restored_share": samples.value("fraud_restore_progress_ratio"),
        "log_position": samples.value("fraud_log_position"),
        "archive_lag": samples.value("fraud_archive_lag_events"),
        "queue_rows": samples.value("fraud_queue_rows"),
        "labels_waiting": samples.value("fraud_labels_waiting"),
        "dropped": samples.value("fraud_events_dropped_total"),
        "disk_free_share": free / size if free is not None and size else None,
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else format_time(int(seconds * 1e6))
