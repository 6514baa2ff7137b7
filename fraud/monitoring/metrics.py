"""The metrics of both processes; the only door to prometheus_client.

Two holders, `ScorerMetrics` and `RetrainerMetrics`, each with a registry of
its own. What the scoring path touches is bound to its labels beforehand, so an
update is a locked addition. Names begin with `fraud_` (or are those of the
`grpc_server_*` family that dashboards know), units are base units, and labels
take their values from the configuration or from the tables below: never from
a request. A test walks the registries and holds every name to this.
"""

from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import isinf
from threading import Thread
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from fraud.errors import ConfigError
from fraud.monitoring.buckets import Buckets
from fraud.monitoring.quality import Quality
from fraud.records import LabelValue, Outcome

CALL_SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
APPEND_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5)
BATCH_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)
SCORES = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 1)
DELAY_SECONDS = tuple(days * 86_400 for days in (1 / 24, 0.25, 1, 2, 4, 7, 14, 21, 30, 45, 60, 90, 120, 180))
RETRAIN_SECONDS = (1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 21_600)

LIMITS = (
    "UNSEEN_CATEGORY",
    "OUT_OF_RANGE",
    "LATE_EVENT",
    "NO_CHAMPION",
    "STALE_CHAMPION",
)
"""What stands before the colon of a limit, beside NEW_<ENTITY>; any other kind counts as OTHER."""

OTHER = "OTHER"

GRPC_CODES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
    "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip


class HistogramFamily(Collector):
    """A histogram with labels whose children are `Buckets`; registered on creation."""

    def __init__(
        self,
        name: str,
        text: str,
        bounds: Sequence[float],
        labels: Sequence[str],
        registry: CollectorRegistry,
    ) -> None:
        self.name = name
        self._text = text
        self._bounds = bounds
        self._labels = tuple(labels)
        self._children: dict[tuple[str, ...], Buckets] = {}
        registry.register(self)

    def labels(self, *values: str) -> Buckets:
        """Return the child of these label values; bind it once where it is hot."""
        child = self._children.get(values)
        if child is None:
            if len(values) != len(self._labels):
                raise ValueError(f"{self.name}: {values} for the labels {self._labels}")
            child = self._children.setdefault(values, Buckets(self._bounds))
        return child

    def describe(self) -> Iterable[HistogramMetricFamily]:
        """Yield the family without samples, so that registering it counts nothing."""
        yield HistogramMetricFamily(self.name, self._text, labels=self._labels)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yield the family as it stands."""
        family = HistogramMetricFamily(self.name, self._text, labels=self._labels)
        for values, child in list(self._children.items()):
            buckets, total = child.read()
            named = [("+Inf" if isinf(bound) else str(bound), float(count)) for bound, count in buckets]
            family.add_metric(values, named, sum_value=total)
        yield family


def _registry() -> CollectorRegistry:
    # Without it every counter has one more series, which nobody reads.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


class CallMetrics:
    """One gRPC method, bound. `started` before the handler, `handled` after it."""

    __slots__ = ("_by_code", "_seconds", "_started")

    def __init__(self, started: Counter, by_code: dict[str, Counter], seconds: Buckets) -> None:
        self._started = started
        self._by_code = by_code
        self._seconds = seconds

    def started(self) -> None:
        """Count a call that came in."""
        self._started.inc()

    def handled(self, code: str, seconds: float) -> None:
        """Count a call that was answered with a gRPC status name such as OK."""
        self._by_code.get(code, self._by_code["UNKNOWN"]).inc()
        self._seconds.observe(seconds)


class ModelMetrics:
    """What the scoring path counts for one model, bound."""

    __slots__ = ("_outcomes", "scores")

    def __init__(self, outcomes: dict[int, Counter], scores: Buckets) -> None:
        self._outcomes = outcomes
        self.scores = scores

    def decided(self, outcomes: Sequence[int], scores: NDArray[np.floating] | None) -> None:
        """Count decisions of a batch by outcome, and their scores (None without a champion)."""
        tally = Tally(outcomes) if len(outcomes) > 1 else dict.fromkeys(outcomes, 1)
        for outcome, count in tally.items():
            self._outcomes[outcome].inc(count)
        if scores is not None:
            self.scores.observe_many(scores)


class ScorerMetrics:
    """The scoring process: calls, decisions, log, labels, champion.

    `models`, `sources` and `entities` (names of the schema's entities) come from
    the configuration; they bound the labels.
    Plain gauges and counters are public and updated by `.inc(n)` and `.set(x)`.
    """

    def __init__(
        self, models: Sequence[str], sources: Sequence[str], entities: Sequence[str] = ("card",)
    ) -> None:
        self.registry = registry = _registry()
        call = ("grpc_type", "grpc_service", "grpc_method")
        self._started = Counter("grpc_server_started", "Calls begun", call, registry=registry)
        self._handled = Counter(
            "grpc_server_handled", "Calls answered, by status", (*call, "grpc_code"), registry=registry
        )
        self._seconds = HistogramFamily(
            "grpc_server_handling_seconds", "Time from call to answer", CALL_SECONDS, call, registry
        )
        self._calls: dict[tuple[str, str], CallMetrics] = {}
        self._bind_decisions(models, entities)
        self._bind_labels(sources)
        self._bind_log()
        self._bind_champion()

    def _bind_decisions(self, models: Sequence[str], entities: Sequence[str]) -> None:
        registry = self.registry
        decisions = Counter(
            "fraud_decisions", "Decisions, by outcome", ("model", "outcome"), registry=registry
        )
        scores = HistogramFamily("fraud_score", "Calibrated scores given", SCORES, ("model",), registry)
        self.models = {
            model: ModelMetrics(
                {int(outcome): decisions.labels(model, outcome.name) for outcome in Outcome},
                scores.labels(model),
            )
            for model in models
        }
        limits = Counter("fraud_limits", "Limits stated in replies, by kind", ("limit",), registry=registry)
        new = [f"NEW_{entity.upper()}" for entity in entities]
        self._limits = {kind: limits.labels(kind) for kind in (*new, *LIMITS, OTHER)}
        self.duplicates = Counter(
            "fraud_duplicates", "Transactions sent again and answered as stored", registry=registry
        )
        self.late_events = Counter(
            "fraud_late_events", "Transactions older than what the state holds", registry=registry
        )
        self.batch_rows = HistogramFamily(
            "fraud_batch_rows", "Rows scored together", BATCH_ROWS, (), registry
        ).labels()
        self.queue_rows = Gauge("fraud_queue_rows", "Rows waiting to be scored", registry=registry)

    def _bind_labels(self, sources: Sequence[str]) -> None:
        registry = self.registry
        labels = Counter("fraud_labels", "Labels taken", ("source", "value"), registry=registry)
        self._labels = {
            (source, int(value)): labels.labels(source, value.name)
            for source in (*sources, OTHER)
            for value in LabelValue
        }
        delay = HistogramFamily(
            "fraud_label_delay_seconds", "From event to known label", DELAY_SECONDS, ("source",), registry
        )
        self._delays = {source: delay.labels(source) for source in (*sources, OTHER)}
        self.labels_waiting = Gauge(
            "fraud_labels_waiting", "Labels whose transaction is not known yet", registry=registry
        )

    def _bind_log(self) -> None:
        registry = self.registry
        self.append_seconds = HistogramFamily(
            "fraud_log_append_seconds", "Time to write a batch durably", APPEND_SECONDS, (), registry
        ).labels()
        self.log_position = Gauge("fraud_log_position", "Position of the last log entry", registry=registry)
        self.restores = Counter(
            "fraud_restores", "Times the state was rebuilt from snapshot and log", registry=registry
        )
        self.dropped = Counter(
            "fraud_events_dropped", "Events answered but not logged: always 0", registry=registry
        )

    def _bind_champion(self) -> None:
        registry = self.registry
        self._champion = Gauge(
            "fraud_champion_info", "1 for the version that serves", ("model", "version"), registry=registry
        )
        self._champion_age = Gauge(
            "fraud_champion_age_seconds", "Since its training cut", ("model",), registry=registry
        )
        self._swaps = Counter(
            "fraud_swaps", "Versions put into service or refused", ("model", "result"), registry=registry
        )
        self._versions: dict[str, str] = {}

    def call(self, service: str, method: str, kind: str = "unary") -> CallMetrics:
        """Return the bound metrics of a method, e.g. `fraud.v1.ScoringService`, `Score`.

        Only methods that the server has may be asked for: the names become labels.
        """
        known = self._calls.get((service, method))
        if known is None:
            labels = (kind, service, method)
            by_code = {code: self._handled.labels(*labels, code) for code in GRPC_CODES}
            known = CallMetrics(self._started.labels(*labels), by_code, self._seconds.labels(*labels))
            self._calls[service, method] = known
        return known

    def limit(self, text: str, count: int = 1) -> None:
        """Count a limit such as `NEW_CARD` or `OUT_OF_RANGE:amount`, by its kind."""
        kind = text.partition(":")[0]
        self._limits.get(kind, self._limits[OTHER]).inc(count)

    def labelled(self, source: str, value: LabelValue, count: int = 1) -> None:
        """Count labels taken from a source; one that is not configured counts as OTHER."""
        key = (source, int(value))
        self._labels.get(key, self._labels[OTHER, int(value)]).inc(count)

    def label_delay(self, source: str, seconds: NDArray[np.floating]) -> None:
        """Count the delays of labels that found their transactions, seconds float[n]."""
        self._delays.get(source, self._delays[OTHER]).observe_many(seconds)

    def champion(self, model: str, version: str) -> None:
        """Say which version serves ("" for none); the former one's series ends."""
        former = self._versions.pop(model, "")
        if former and former != version:
            self._champion.remove(model, former)
        if version:
            self._versions[model] = version
            self._champion.labels(model, version).set(1)

    def champion_age(self, model: str, seconds: float) -> None:
        """Set the age of the champion, seconds since its training cut."""
        self._champion_age.labels(model).set(seconds)

    def swapped(self, model: str, result: Literal["applied", "refused"]) -> None:
        """Count a version put into service, or one that failed its checks and stays out."""
        self._swaps.labels(model, result).inc()


class RetrainerMetrics:
    """The retraining process: cycles, verdicts, archive, realised quality."""

    def __init__(self) -> None:
        self.registry = registry = _registry()
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

    def retrained(
        self, model: str, result: Literal["finished", "failed"], seconds: float, time_us: int
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

    def quality(self, model: str, quality: Quality) -> None:
        """Show the realised quality of a model; a figure that is not defined is NaN."""
        self._frauds.labels(model).set(quality.frauds)
        for name, interval in (("average_precision", quality.average_precision), ("recall", quality.recall)):
            ends = (("", interval.value), ("_low", interval.low), ("_high", interval.high))
            for bound, figure in ends:
                self._quality[name, bound].labels(model).set(figure)


@dataclass(slots=True)
class MetricsServer:
    """A bound HTTP endpoint; `port` is the one it got, −1 when metrics are off."""

    port: int
    _server: Any = None
    _thread: Thread | None = None

    def close(self) -> None:
        """Stop serving and free the port; again is no error."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = self._thread = None


def serve_metrics(registry: CollectorRegistry, host: str, port: int) -> MetricsServer:
    """Serve a registry at `/metrics`; port 0 takes any free one, −1 serves nothing.

    Raises:
        ConfigError: the port is taken or the host is not ours.
    """
    if port == -1:
        return MetricsServer(-1)
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise ConfigError(
            f"monitoring: metrics cannot be served on {host}:{port} ({error.strerror}); "
            "choose another port (0: any free one, -1: none)"
        ) from None
    return MetricsServer(server.server_port, server, thread)
