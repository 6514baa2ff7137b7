"""Publishes how the loop has run, from the ledger: so it is the same after a restart.

Of the models that are configured: one that was taken out would be overdue for ever.
"""

from collections import Counter
from collections.abc import Iterable

from fraud.guard.finding import CHECKS
from fraud.monitoring.metrics import Labels
from fraud.monitoring.retrainer_metrics import RetrainerMetrics
from fraud.registry.ledger import VERDICTS, RegistryState
from fraud.registry.loop import RESULTS, LoopCounts
from fraud.registry.store import LedgerStore


class LoopWatch:
    """Counts on as entries come. One owner."""

    def __init__(self, store: LedgerStore, metrics: RetrainerMetrics, models: Iterable[str]) -> None:
        self._store = store
        self._metrics = metrics
        self._counts = LoopCounts()
        self._models = frozenset(models)
        for model in self._models:
            # What has not happened yet is 0, so that its first time is an increase.
            for name in ("fraud_versions", "fraud_promotions", "fraud_ledger_rollbacks"):
                metrics.catalogue.raise_to(name, (model,), 0)
            for result in RESULTS:
                metrics.catalogue.raise_to("fraud_retrains", (model, result), 0)
            for verdict in VERDICTS:
                metrics.catalogue.raise_to("fraud_verdicts", (model, verdict), 0)

    def turn(self, state: RegistryState) -> None:
        """Publish what the ledger holds now; nothing when it holds nothing new."""
        if state.seq == self._counts.seq:
            return
        for entry in self._store.read(after=self._counts.seq):
            self._counts.apply(entry)
        self._publish_counts()
        for model in self._models & state.guard_reports.keys():
            report = state.guard_reports[model]
            found = Counter(finding["check"] for finding in report.findings)
            self._metrics.guarded(model, {check: found[check] for check in CHECKS}, frozen=report.frozen)

    def _publish_counts(self) -> None:
        counts, catalogue = self._counts, self._metrics.catalogue
        totals: dict[str, dict[Labels, int]] = {
            "fraud_retrains": {(*key,): total for key, total in counts.retrains.items()},
            "fraud_verdicts": {(*key,): total for key, total in counts.verdicts.items()},
            "fraud_verdict_reasons": {(*key,): total for key, total in counts.reasons.items()},
            "fraud_versions": {(model,): total for model, total in counts.versions.items()},
            "fraud_promotions": {(model,): total for model, total in counts.promotions.items()},
            "fraud_ledger_rollbacks": {(model,): total for model, total in counts.rollbacks.items()},
        }
        for name, given in totals.items():
            for labels, total in given.items():
                if labels[0] in self._models:
                    catalogue.raise_to(name, labels, total)
        times = {
            "fraud_retrain_last_success_timestamp_seconds": counts.succeeded_us,
            "fraud_promotion_last_timestamp_seconds": counts.promoted_us,
            "fraud_rollback_last_timestamp_seconds": counts.rolled_back_us,
            "fraud_retrain_last_timestamp_seconds": {it: end.time_us for it, end in counts.last.items()},
        }
        for name, when in times.items():
            for model in self._models & when.keys():
                catalogue.show(name, model, {(): when[model] / 1e6})
        for model in self._models & counts.last.keys():
            end = counts.last[model]
            catalogue.show(
                "fraud_retrain_last_result", model, {(result,): result == end.result for result in RESULTS}
            )
            catalogue.show("fraud_retrain_last_seconds", model, {(): end.seconds})
