"""The metrics of the scoring process: calls, decisions, labels, log, champion, exclusions."""

from collections import Counter as Tally
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from prometheus_client import Counter

from fraud.monitoring.buckets import Buckets
from fraud.monitoring.metrics import Catalogue, Labels
from fraud.monitoring.names import ACCESS, OTHER
from fraud.records import LabelValue, Outcome
from fraud.settings.monitoring import Alarms

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
    "TAINTED_CHAMPION",
)
"""What stands before the colon of a limit, beside NEW_<ENTITY>; any other kind counts as OTHER."""

BUCKETS = {
    "grpc_server_handling_seconds": CALL_SECONDS,
    "fraud_score": SCORES,
    "fraud_batch_rows": BATCH_ROWS,
    "fraud_label_delay_seconds": DELAY_SECONDS,
    "fraud_log_append_seconds": APPEND_SECONDS,
    "fraud_swap_seconds": CALL_SECONDS,
    "fraud_shadow_seconds": CALL_SECONDS,
}
"""Upper bounds of each histogram."""

GRPC_CODES = (
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
    "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
)  # fmt: skip


class CallMetrics:
    """One gRPC method, bound. `started` before the handler, `handled` after it."""

    __slots__ = ("_by_code", "_limited", "_seconds", "_started")

    def __init__(
        self, started: Counter, by_code: dict[str, Counter], limited: Counter, seconds: Buckets
    ) -> None:
        self._started = started
        self._by_code = by_code
        self._limited = limited
        self._seconds = seconds

    def started(self) -> None:
        """Count a call that came in."""
        self._started.inc()

    def handled(self, code: str, seconds: float) -> None:
        """Count a call that was answered with a gRPC status name such as OK."""
        self._by_code.get(code, self._by_code["UNKNOWN"]).inc()
        self._seconds.observe(seconds)

    def limited(self) -> None:
        """Count a call whose caller is over a rate of its own, beside `handled`."""
        self._limited.inc()


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
        self,
        models: Sequence[str],
        sources: Sequence[str],
        entities: Sequence[str] = ("card",),
        data_dir: Path | None = None,
        *,
        alarms: Alarms | None = None,
        counting: bool = True,
    ) -> None:
        self._catalogue = catalogue = Catalogue("scorer", BUCKETS, counting=counting)
        self.registry = catalogue.registry
        self.counting = counting
        self._started = catalogue.counter("grpc_server_started")
        self._handled = catalogue.counter("grpc_server_handled")
        self._limited = catalogue.counter("fraud_rate_limited")
        self._seconds = catalogue.histogram("grpc_server_handling_seconds")
        self._calls: dict[tuple[str, str], CallMetrics] = {}
        self._bind_decisions(models, entities)
        self._bind_labels(sources)
        self._bind_log()
        self._bind_champion(models)
        catalogue.show_thresholds(alarms or Alarms())
        if data_dir is not None:
            catalogue.watch_disk(data_dir)

    def _bind_decisions(self, models: Sequence[str], entities: Sequence[str]) -> None:
        catalogue = self._catalogue
        decisions = catalogue.counter("fraud_decisions")
        scores = catalogue.histogram("fraud_score")
        self.models = {
            model: ModelMetrics(
                {int(outcome): decisions.labels(model, outcome.name) for outcome in Outcome},
                scores.labels(model),
            )
            for model in models
        }
        limits = catalogue.counter("fraud_limits")
        new = [f"NEW_{entity.upper()}" for entity in entities]
        self._limits = {kind: limits.labels(kind) for kind in (*new, *LIMITS, OTHER)}
        self.duplicates = catalogue.counter("fraud_duplicates")
        self.unexplained = catalogue.counter("fraud_unexplained")
        self.late_events = catalogue.counter("fraud_late_events")
        self.batch_rows = catalogue.histogram("fraud_batch_rows").labels()
        self.queue_rows = catalogue.gauge("fraud_queue_rows")
        self.queue_label_rows = catalogue.gauge("fraud_queue_label_rows")
        self.wait_seconds = catalogue.gauge("fraud_wait_seconds")
        explored = catalogue.counter("fraud_explored")
        minor = catalogue.counter("fraud_explored_minor")
        self._explored = {name: (explored.labels(name), minor.labels(name)) for name in models}
        self._spent = catalogue.gauge("fraud_exploration_spent_minor")
        self._left = catalogue.gauge("fraud_exploration_left_minor")
        self._exploring = catalogue.gauge("fraud_exploration_enabled")
        for model in models:
            catalogue.counter("fraud_rule_failures").labels(model)

    def _bind_labels(self, sources: Sequence[str]) -> None:
        labels = self._catalogue.counter("fraud_labels")
        self._labels = {
            (source, int(value)): labels.labels(source, value.name)
            for source in (*sources, OTHER)
            for value in LabelValue
        }
        delay = self._catalogue.histogram("fraud_label_delay_seconds")
        self._delays = {source: delay.labels(source) for source in (*sources, OTHER)}
        self.labels_waiting = self._catalogue.gauge("fraud_labels_waiting")

    def _bind_log(self) -> None:
        catalogue = self._catalogue
        self.append_seconds = catalogue.histogram("fraud_log_append_seconds").labels()
        self.log_position = catalogue.gauge("fraud_log_position")
        self.restores = catalogue.counter("fraud_restores")
        self.serving = catalogue.gauge("fraud_serving")
        self.restore_progress = catalogue.gauge("fraud_restore_progress_ratio")
        self.dropped = catalogue.counter("fraud_events_dropped")

    def _bind_champion(self, models: Sequence[str]) -> None:
        catalogue = self._catalogue
        self._champion = catalogue.gauge("fraud_champion_info")
        self._champion_missing = catalogue.gauge("fraud_champion_missing")
        self._swaps = catalogue.counter("fraud_swaps")
        # What has not happened yet is 0, so that its first time is an increase.
        for model in models:
            self._champion_missing.labels(model).set(0)
            self._swaps.labels(model, "applied")
            self._swaps.labels(model, "refused")
        self._swap_seconds = catalogue.histogram("fraud_swap_seconds")
        self._versions: dict[str, str] = {}
        self._rules: dict[str, frozenset[str]] = {}
        self._rollbacks = catalogue.counter("fraud_rollbacks")
        self._tainted = catalogue.gauge("fraud_tainted_versions")
        self._tainted_champion = catalogue.gauge("fraud_tainted_champion")
        self._awaiting = catalogue.gauge("fraud_awaiting_approval_versions")
        self._exclusions = catalogue.gauge("fraud_exclusions_in_force")
        self._shadow_info = catalogue.gauge("fraud_shadow_info")
        self._shadow_scored = catalogue.counter("fraud_shadow_scored")
        self._shadow_disagreed = catalogue.counter("fraud_shadow_disagreed")
        self._shadow_seconds = catalogue.histogram("fraud_shadow_seconds")
        self._shadows: dict[str, Mapping[str, str]] = {}

    def call(self, service: str, method: str, kind: str = "unary") -> CallMetrics:
        """Return the bound metrics of a method, e.g. `fraud.v1.ScoringService`, `Score`.

        Only methods that the server has may be asked for: the names become labels.
        """
        known = self._calls.get((service, method))
        if known is None:
            labels = (kind, service, method)
            by_code = {code: self._handled.labels(*labels, code) for code in GRPC_CODES}
            started, limited = self._started.labels(*labels), self._limited.labels(*labels)
            known = CallMetrics(started, by_code, limited, self._seconds.labels(*labels))
            self._calls[service, method] = known
        return known

    def limit(self, text: str, count: int = 1) -> None:
        """Count a limit such as `NEW_CARD` or `OUT_OF_RANGE:amount`, by its kind."""
        kind = text.partition(":")[0]
        self._limits.get(kind, self._limits[OTHER]).inc(count)

    def show_access(self, ends_us: Mapping[str, int]) -> None:
        """Show when each of `ACCESS` ends, µs UTC; what does not end has no series."""
        for what in ACCESS:
            ends: dict[Labels, float] = {(): ends_us[what] / 1e6} if what in ends_us else {}
            self._catalogue.show("fraud_access_end_timestamp_seconds", what, ends)

    def watch_entities(self, held: Mapping[str, Callable[[], float]], held_max: int) -> None:
        """Show of how many entities of each kind state is kept, asked for at each scrape (NaN: not known).

        Of each kind no more than `held_max` are; later ones read as never seen.
        """
        self._catalogue.gauge("fraud_entities_max").set(held_max)
        for entity, count in held.items():
            self._catalogue.gauge("fraud_entities").labels(entity).set_function(count)

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

    def rules_in_force(self, model: str, names: Sequence[str]) -> None:
        """Begin the series of a model's rules; those of rules that are gone end."""
        decided = self._catalogue.counter("fraud_rule_decisions")
        for gone in self._rules.get(model, frozenset()) - set(names):
            decided.remove(model, gone)
        for name in names:
            decided.labels(model, name)
        self._rules[model] = frozenset(names)
        self.rules_refused(model, refused=False)

    def rules_refused(self, model: str, *, refused: bool) -> None:
        """Say whether the rules that the ledger intends for a model do not fit and are not in force."""
        self._catalogue.gauge("fraud_rules_refused").labels(model).set(refused)

    def rules_failed(self, model: str) -> None:
        """Count a batch on which the rules failed."""
        self._catalogue.counter("fraud_rule_failures").labels(model).inc()

    def ruled(self, model: str, rule: str, count: int) -> None:
        """Count decisions that a rule in force or a list made."""
        self._catalogue.counter("fraud_rule_decisions").labels(model, rule).inc(count)

    def listed(self, counts: Mapping[str, int]) -> None:
        """Set how many entities stand on each list."""
        for name, count in counts.items():
            self._catalogue.gauge("fraud_listings").labels(name).set(count)

    def champion(self, model: str, version: str) -> None:
        """Say which version serves ("" for none); the former one's series ends."""
        former = self._versions.pop(model, "")
        if former and former != version:
            self._champion.remove(model, former)
        if version:
            self._versions[model] = version
            self._champion.labels(model, version).set(1)

    def champion_missing(self, model: str, *, missing: bool) -> None:
        """Say whether a model is without the champion that it should have."""
        self._champion_missing.labels(model).set(missing)

    def champion_age(self, model: str, seconds: float | None) -> None:
        """Show the age of the champion, seconds since its training cut; None where none serves."""
        age: dict[Labels, float] = {} if seconds is None else {(): seconds}
        self._catalogue.show("fraud_champion_age_seconds", model, age)

    def swapped(self, model: str, result: Literal["applied", "refused"]) -> None:
        """Count a version put into service, or one that failed its checks and stays out."""
        self._swaps.labels(model, result).inc()

    def swap_took(self, model: str, seconds: float) -> None:
        """Count the time from a promotion or rollback to the version in service."""
        self._swap_seconds.labels(model).observe(seconds)

    def rolled_back(self, model: str) -> None:
        """Count a rollback put into service."""
        self._rollbacks.labels(model).inc()

    def taint(self, model: str, versions: int, *, champion: bool = False) -> None:
        """Set how many versions learned from data that is excluded now, and whether the champion did."""
        self._tainted.labels(model).set(versions)
        self._tainted_champion.labels(model).set(champion)

    def awaiting_approval(self, model: str, versions: int) -> None:
        """Set how many versions of a model wait for a person to promote them."""
        self._awaiting.labels(model).set(versions)

    def on_probation(self, model: str, *, on: bool) -> None:
        """Say whether a champion is on probation."""
        self._catalogue.gauge("fraud_probation_active").labels(model).set(on)

    def exclusions_in_force(self, count: int) -> None:
        """Set how many exclusions are in force."""
        self._exclusions.set(count)

    def shadows(self, model: str, versions: Mapping[str, str]) -> None:
        """Say which version scores in which slot of a model's shadows; what was there before ends."""
        for slot, version in self._shadows.get(model, {}).items():
            if versions.get(slot) != version:
                self._shadow_info.remove(model, slot, version)
        for slot, version in versions.items():
            self._shadow_info.labels(model, slot, version).set(1)
        self._shadows[model] = dict(versions)

    def shadowed(self, model: str, slot: str, rows: int, disagreed: int) -> None:
        """Count payments scored in a slot, and those it would have answered otherwise."""
        self._shadow_scored.labels(model, slot).inc(rows)
        self._shadow_disagreed.labels(model, slot).inc(disagreed)

    def shadow_seconds(self, model: str, seconds: float) -> None:
        """Count the time a batch took for all shadows of a model."""
        self._shadow_seconds.labels(model).observe(seconds)

    def probation(self, model: str, e_values: Mapping[str, float]) -> None:
        """Show the E-values for a jump of an outcome's rate on probation, by side; none: of no probation.

        Sides are `alerts_rise`, `alerts_fall`, `declines_rise`, `declines_fall`.
        """
        shown: dict[Labels, float] = {(side,): e_value for side, e_value in e_values.items()}
        self._catalogue.show("fraud_probation_e_value", model, shown)
