"""The metrics of the scoring process: calls, decisions, labels, log, champion, exclusions."""

from collections import Counter as Tally
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from prometheus_client import Counter, Gauge

from fraud.monitoring.buckets import Buckets
from fraud.monitoring.metrics import HistogramFamily, new_registry
from fraud.records import LabelValue, Outcome

CALL_SECONDS = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
APPEND_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5)
BATCH_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096)
SCORES = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 1)
DELAY_SECONDS = tuple(days * 86_400 for days in (1 / 24, 0.25, 1, 2, 4, 7, 14, 21, 30, 45, 60, 90, 120, 180))

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
        self.registry = registry = new_registry()
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
        self._bind_exploration(models)

    def _bind_exploration(self, models: Sequence[str]) -> None:
        registry = self.registry
        explored = Counter(
            "fraud_explored", "Would-be declines let through to learn from", ("model",), registry=registry
        )
        minor = Counter(
            "fraud_explored_minor", "Amounts let through, base currency", ("model",), registry=registry
        )
        self._explored = {name: (explored.labels(name), minor.labels(name)) for name in models}
        self._spent = Gauge(
            "fraud_exploration_spent_minor", "Amounts let through today", ("model",), registry=registry
        )
        self._left = Gauge(
            "fraud_exploration_left_minor", "What today's budget still admits", ("model",), registry=registry
        )
        self._exploring = Gauge(
            "fraud_exploration_enabled", "1 while a model explores", ("model",), registry=registry
        )

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
        self._rollbacks = Counter(
            "fraud_rollbacks", "Former champions put back into service", ("model",), registry=registry
        )
        self._tainted = Gauge(
            "fraud_tainted_versions",
            "Versions that learned from excluded data",
            ("model",),
            registry=registry,
        )
        self._awaiting = Gauge(
            "fraud_awaiting_approval_versions",
            "Versions that wait for a person to promote them",
            ("model",),
            registry=registry,
        )
        self._exclusions = Gauge(
            "fraud_exclusions_in_force", "Exclusions of data now in force", registry=registry
        )

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

    def explored(self, model: str, rows: int, minor: int) -> None:
        """Count would-be declines that were let through, and their amounts in base currency."""
        count, amount = self._explored[model]
        count.inc(rows)
        amount.inc(minor)

    def exploration(self, model: str, *, enabled: bool, spent_minor: int, left_minor: int | None) -> None:
        """Show whether a model explores, today's spending, and what is left (None: no budget, no series)."""
        self._exploring.labels(model).set(enabled)
        self._spent.labels(model).set(spent_minor)
        if left_minor is not None:
            self._left.labels(model).set(left_minor)

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

    def rolled_back(self, model: str) -> None:
        """Count a rollback put into service."""
        self._rollbacks.labels(model).inc()

    def taint(self, model: str, versions: int) -> None:
        """Set how many versions of a model learned from data that is excluded now."""
        self._tainted.labels(model).set(versions)

    def awaiting_approval(self, model: str, versions: int) -> None:
        """Set how many versions of a model wait for a person to promote them."""
        self._awaiting.labels(model).set(versions)

    def exclusions_in_force(self, count: int) -> None:
        """Set how many exclusions are in force."""
        self._exclusions.set(count)
