"""The daily series of a variant: what the retrainer would have shown at the end of each day.

    a day's cut ─▶ quality · decay · gain · recent traffic · feeds · guard ─▶ the gauges, read back

Figures come from the functions of `fraud.monitoring` that the retrainer calls, and go through its
catalogue of metrics, so names and labels are those that are scraped.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from benchmarks.alerts_world import Reign, Stream, Variant
from benchmarks.guard import MODEL, judge_day
from benchmarks.guard_feed import Frames
from fraud.clock import DAY_US
from fraud.evaluation.days import event_days
from fraud.evaluation.resampling import Interval
from fraud.guard.flow import flows
from fraud.monitoring.metrics import Catalogue
from fraud.monitoring.names import CHAMPION, FIRST
from fraud.monitoring.quality import (
    COMPARED,
    SCORE_PREFIX,
    Judged,
    QualityRules,
    figures,
    gains,
    judged_rows,
)
from fraud.monitoring.quality_series import bounds, show_decay, show_windows, window_name
from fraud.monitoring.traffic import Shares, Traffic, look_at
from fraud.registry.guard_reports import GuardReport
from fraud.retrainer.guarding import flow_of
from fraud.retrainer.matrices import matrix_of
from fraud.training.history import History

Labels = tuple[tuple[str, str], ...]
_COLUMNS = (
    *("position", "event_time_us", "is_fraud", "label_known_us", "label_position", "amount_base_minor"),
    *("score", "outcome", "explored", "propensity", "rule", "imported", "entity_card"),
)
_HISTOGRAMS = {"fraud_retrain_seconds": (1.0,), "fraud_archive_copy_seconds": (1.0,)}
_UNKNOWN = Interval(float("nan"), float("nan"), float("nan"))
_WEEK = 7


@dataclass
class Daily:
    """Values by day of every series, NaN where there was none."""

    days: range
    values: dict[tuple[str, Labels], np.ndarray] = field(default_factory=dict)

    def keep(self, catalogue: Catalogue, day: int) -> None:
        """Read the gauges as they stand at the end of a day."""
        for family in catalogue.registry.collect():
            for sample in family.samples:
                if sample.name.startswith("fraud_") and sample.labels:
                    key = (sample.name, tuple(sorted(sample.labels.items())))
                    if key not in self.values:
                        self.values[key] = np.full(len(self.days), np.nan)
                    self.values[key][day - self.days.start] = sample.value

    def one(self, name: str, **labels: str) -> np.ndarray:
        """Return a series by day, all NaN where there is none."""
        for (known, given), values in self.values.items():
            if known == name and labels.items() <= dict(given).items():
                return values
        return np.full(len(self.days), np.nan)


def daily(stream: Stream, variant: Variant, days: range) -> Daily:
    """Return what a variant would have shown on some days."""
    shown = Daily(days)
    catalogue = Catalogue("retrainer", _HISTOGRAMS)
    catalogue.show_thresholds(stream.settings.monitoring.alarms)
    frames = stream.history(variant)
    watch = _Watch(stream, frames, catalogue)
    former: GuardReport | None = None
    for day in days:
        watch.quality(day)
        watch.traffic(day)
        watch.feeds(day)
        former, findings = judge_day(stream.world, frames, day, former)
        catalogue.show("fraud_retrain_frozen", MODEL, {(): float(former.frozen)})
        found = {finding.check for finding in findings}
        catalogue.show("fraud_guard_findings", MODEL, {(check,): 1.0 for check in found})
        shown.keep(catalogue, day)
    return shown


class _Watch:
    """The parts of the retrainer's monitoring, on frames."""

    def __init__(self, stream: Stream, frames: Frames, catalogue: Catalogue) -> None:
        self._stream = stream
        self._frames = frames
        self._catalogue = catalogue
        self._promises: dict[str, dict[str, Interval]] = {}
        self._shares: dict[str, Shares] = {}

    def _history(self, day: int) -> History:
        stream = self._stream
        return History(self._frames, stream.world.spec, stream.settings, stream.cut(day))

    def quality(self, day: int) -> None:
        """Show quality, decay and gain of the champion as of the end of a day."""
        reign = self._stream.reign(day)
        if reign is None:
            return
        rules = QualityRules.of(self._stream.settings, self._stream.cut(day).time_us)
        first = self._stream.reigns[0]
        since_us = (rules.last_day - max(rules.windows)) * DAY_US
        judged = self._judged(day, since_us, {CHAMPION: reign, FIRST: first}, rules)
        windows = {days: judged.window(days, rules) for days in rules.windows}
        found = {(CHAMPION, days): figures(part, CHAMPION, rules) for days, part in windows.items()}
        found |= {(FIRST, days): figures(part, FIRST, rules) for days, part in windows.items()}
        gained = {
            (days, name): gain for days, part in windows.items() for name, gain in gains(part, rules).items()
        }
        show_windows(self._catalogue, MODEL, found, gained, dict.fromkeys(windows, 0))
        show_decay(self._catalogue, MODEL, found, self._promised(reign))

    def _promised(self, reign: Reign) -> dict[str, Interval]:
        """Return the figures on the week that a gate would have judged the champion on."""
        if reign.name not in self._promises:
            rules = QualityRules.of(self._stream.settings, self._stream.cut(reign.day - 1).time_us)
            start_us, _ = reign.evidence_us
            judged = self._judged(reign.day - 1, start_us, {CHAMPION: reign}, rules)
            intervals = figures(judged, CHAMPION, rules).intervals
            self._promises[reign.name] = {name: intervals[name] for name in COMPARED}
        return self._promises[reign.name]

    def _judged(self, day: int, since_us: int, subjects: dict[str, Reign], rules: QualityRules) -> Judged:
        rows = self._history(day).judged(MODEL, since_us, with_features=False).select(_COLUMNS)
        rows = rows.with_columns(score=pl.col("score").fill_null(0.0)).sort("position")
        frame = rows.collect()
        places = frame["position"].to_numpy() - 1
        given = {f"{SCORE_PREFIX}{name}": reign.scores[places] for name, reign in subjects.items()}
        return judged_rows(frame.with_columns(**{name: pl.Series(it) for name, it in given.items()}), rules)

    def traffic(self, day: int) -> None:
        """Show how recent payments look to the champion."""
        reign = self._stream.reign(day)
        if reign is None:
            return
        rules = self._stream.settings.monitoring.drift
        rows = self._of_days(range(day + 1 - rules.window // DAY_US, day + 1))
        seen = self._look(reign, rows.gather_every(-(-len(rows) // rules.rows_max)))
        if seen is None:
            return
        show = self._catalogue.show
        show("fraud_recent_alert_ratio", MODEL, bounds({(): seen.alert_ratio}))
        show("fraud_score_drift", MODEL, {(): seen.scores.effect})
        show("fraud_feature_drift", MODEL, {(it.name,): it.effect for it in seen.features})
        show("fraud_drift_findings", MODEL, {(kind,): len(names) for kind, names in seen.found.items()})

    def _look(self, reign: Reign, rows: pl.DataFrame) -> Traffic | None:
        settings = self._stream.settings
        if reign.name not in self._shares:
            week = self._of_days(range(reign.day - _WEEK, reign.day))
            scores = reign.bundle.scores_of(matrix_of(reign.bundle, week))
            self._shares[reign.name] = Shares.of(reign.bundle.thresholds.outcomes(scores))
        matrix = matrix_of(reign.bundle, rows)
        return look_at(
            reign.bundle,
            matrix,
            reign.bundle.scores_of(matrix),
            rows["entity_card"].cast(pl.Int64).to_numpy(),
            event_days(rows["event_time_us"].to_numpy(), settings.service.zone),
            self._shares[reign.name],
            settings.monitoring.drift,
            settings.monitoring.alarms,
            settings.gate.alert_share,
        )

    def _of_days(self, days: range) -> pl.DataFrame:
        start, stop = np.searchsorted(self._stream.days, [days.start, days.stop])
        return self._frames.payments.slice(int(start), int(stop - start))

    def feeds(self, day: int) -> None:
        """Show what came against what was due."""
        data = flow_of(self._history(day), MODEL)
        found = {
            (flow.source or "all", window_name(flow.days)): flow
            for flow in flows(data, self._stream.settings.guard)
        }
        show = self._catalogue.show
        show("fraud_feed_observed_ratio", MODEL, {key: flow.ratio for key, flow in found.items()})
        show("fraud_feed_expected_labels", MODEL, {key: flow.expected for key, flow in found.items()})


def names(series: Iterable[tuple[str, Labels]]) -> set[str]:
    """Return the metric names of some series."""
    return {name for name, _ in series}
