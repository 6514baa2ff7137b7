"""The metrics of the retraining process: cycles, loop, guard, feeds, archive, quality, traffic."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from fraud.monitoring.metrics import Catalogue, Labels
from fraud.settings.monitoring import Alarms

RETRAIN_SECONDS = (1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 21_600)
BUCKETS = {"fraud_retrain_seconds": RETRAIN_SECONDS, "fraud_archive_copy_seconds": RETRAIN_SECONDS}
"""Upper bounds of each histogram."""

PARTS = ("archive", "loop", "quality", "feeds", "traffic", "probing", "reaction")
"""What the monitoring is made of: the copy that it looks at, and what is computed."""


class RetrainerMetrics:
    """The retraining process. What is a function of ledger or archive is set as a whole, by `catalogue`.

    Plain gauges are public and updated by `.set(x)`.
    """

    def __init__(self, data_dir: Path | None = None, alarms: Alarms | None = None) -> None:
        self.catalogue = catalogue = Catalogue("retrainer", BUCKETS)
        self.registry = catalogue.registry
        self._cycle_seconds = catalogue.histogram("fraud_retrain_seconds")
        self.archive_position = catalogue.gauge("fraud_archive_position")
        self.archive_lag = catalogue.gauge("fraud_archive_lag_events")
        self.archive_seconds = catalogue.histogram("fraud_archive_copy_seconds").labels()
        self.running = catalogue.gauge("fraud_retrain_running")
        for part in PARTS:
            catalogue.raise_to("fraud_monitoring_failures", (part,), 0)
        catalogue.show_thresholds(alarms or Alarms())
        if data_dir is not None:
            catalogue.watch_disk(data_dir)

    def retrained(
        self, model: str, result: Literal["finished", "untrained", "frozen", "failed"], seconds: float
    ) -> None:
        """Count the end of a retrain of this process."""
        self._cycle_seconds.labels(model, result).observe(seconds)

    def guarded(self, model: str, findings: Mapping[str, int], *, frozen: bool) -> None:
        """Show what the guard last found, findings by check (0 ends an old one), and whether it froze."""
        for check, count in findings.items():
            self.catalogue.gauge("fraud_guard_findings").labels(model, check).set(count)
        self.catalogue.gauge("fraud_retrain_frozen").labels(model).set(frozen)

    def probation(self, model: str, e_value: float | None) -> None:
        """Show the E-value of frauds that only the former champion would have caught; None: no probation."""
        shown: dict[Labels, float] = {} if e_value is None else {("frauds",): e_value}
        self.catalogue.show("fraud_probation_e_value", model, shown)

    def took(self, part: str, seconds: float) -> None:
        """Show how long the last computation of a part of the monitoring took."""
        self.catalogue.gauge("fraud_monitoring_seconds").labels(part).set(seconds)

    def failed(self, part: str) -> None:
        """Count a part of the monitoring that failed."""
        self.catalogue.counter("fraud_monitoring_failures").labels(part).inc()
