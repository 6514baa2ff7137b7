"""The metrics of the retraining process: cycles, verdicts, guard, archive, realised quality."""

from collections.abc import Mapping
from typing import Literal

from prometheus_client import Counter, Gauge

from fraud.monitoring.metrics import HistogramFamily, new_registry
from fraud.monitoring.quality import Quality

RETRAIN_SECONDS = (1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 21_600)


class RetrainerMetrics:
    """The retraining process: cycles, verdicts, guard, archive, realised quality."""

    def __init__(self) -> None:
        self.registry = registry = new_registry()
        self._cycle_seconds = HistogramFamily(
            "fraud_retrain_seconds", "Duration of a retrain", RETRAIN_SECONDS, ("model", "result"), registry
        )
        self._verdicts = Counter(
            "fraud_verdicts", "Verdicts of the gate", ("model", "verdict"), registry=registry
        )
        self._versions = Counter("fraud_versions", "Versions registered", ("model",), registry=registry)
        self._last_success = Gauge(
            "fraud_retrain_last_success_timestamp_seconds",
            "When a retrain last ended well, seconds since the epoch",
            ("model",),
            registry=registry,
        )
        self.archive_position = Gauge(
            "fraud_archive_position",
            "Log position up to which the archive holds everything",
            registry=registry,
        )
        self.archive_lag = Gauge(
            "fraud_archive_lag_events", "Log entries not yet in the archive", registry=registry
        )
        self.archive_seconds = HistogramFamily(
            "fraud_archive_copy_seconds",
            "Time to copy new entries to the archive",
            RETRAIN_SECONDS,
            (),
            registry,
        ).labels()
        self._findings = Gauge(
            "fraud_guard_findings",
            "Findings of the guard when it last judged the data",
            ("model", "check"),
            registry=registry,
        )
        self._frozen = Gauge(
            "fraud_retrain_frozen",
            "1 while the guard keeps a model from training",
            ("model",),
            registry=registry,
        )
        self._bind_quality()

    def _bind_quality(self) -> None:
        self._quality = {
            (figure, bound): Gauge(
                f"fraud_realised_{figure}{bound}", text + words, ("model",), registry=self.registry
            )
            for figure, text in (
                ("average_precision", "Average precision on matured events"),
                ("recall", "Recall within the alert budget on matured events"),
            )
            for bound, words in (("", ""), ("_low", ", low end"), ("_high", ", high end"))
        }
        self._frauds = Gauge(
            "fraud_realised_frauds", "Matured frauds behind the figures", ("model",), registry=self.registry
        )
        self._effective_frauds = Gauge(
            "fraud_realised_effective_frauds",
            "Equally weighted frauds that would say as much",
            ("model",),
            registry=self.registry,
        )

    def retrained(
        self, model: str, result: Literal["finished", "frozen", "failed"], seconds: float, time_us: int
    ) -> None:
        """Count the end of a retrain; `time_us` is now, and becomes the last success if it was one."""
        self._cycle_seconds.labels(model, result).observe(seconds)
        if result == "finished":
            self._last_success.labels(model).set(time_us / 1e6)

    def verdict(self, model: str, outcome: Literal["PROMOTE", "REJECT", "INCONCLUSIVE"]) -> None:
        """Count a verdict of the gate."""
        self._verdicts.labels(model, outcome).inc()

    def registered(self, model: str) -> None:
        """Count a version entered in the ledger."""
        self._versions.labels(model).inc()

    def guarded(self, model: str, findings: Mapping[str, int], *, frozen: bool) -> None:
        """Show what the guard last found, findings by check (0 ends an old one), and whether it froze."""
        for check, count in findings.items():
            self._findings.labels(model, check).set(count)
        self._frozen.labels(model).set(frozen)

    def quality(self, model: str, quality: Quality) -> None:
        """Show the realised quality of a model; a figure that is not defined is NaN."""
        self._frauds.labels(model).set(quality.frauds)
        self._effective_frauds.labels(model).set(quality.effective_frauds)
        for name, interval in (("average_precision", quality.average_precision), ("recall", quality.recall)):
            ends = (("", interval.value), ("_low", interval.low), ("_high", interval.high))
            for bound, figure in ends:
                self._quality[name, bound].labels(model).set(figure)
