"""Every metric of both processes: name, kind, help, labels. The registries are built from this table.

    a row here ─► `Catalogue` (fraud.monitoring.metrics) ─► a family in the registry of its process
              └─► alert rules, dashboards, `fraud status`

Counters stand without `_total`, which their series have. Units are base units (seconds, bytes, shares
of one); `minor` is the smallest unit of the base currency. Values of labels come from the
configuration or from tables in the code, never from a request; `version` stands only in `_info`
series, of which there is one for each value of the other labels.

    model    configured models               subject  decisions   what was answered at the time
    window   `monitoring.quality_windows`             champion    the champion of now
    bound    point, lower, upper                      first       the reference that never changes
    source   configured sources, OTHER                shadow_1…n  versions that scored in shadow
    cohort   weeks back from now: 1…n                 feature     features and categoricals of the champion
    entity   entities of the schema
    alarm    `monitoring.alarms`, so that rules and `fraud status` compare with the same number
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram"]
Process = Literal["scorer", "retrainer"]

BOUNDS: Final = ("point", "lower", "upper")
DECISIONS, CHAMPION, FIRST, SHADOW = "decisions", "champion", "first", "shadow"
ACCESS: Final = {
    "certificate": "the server's certificate",
    "clients": "the last of the certificates that sign clients",
    "identity": "an identity's last credential",
}
"""What lets callers in and may end: the label `what`, and what it is in words."""
OTHER: Final = "OTHER"

_CALL = ("grpc_type", "grpc_service", "grpc_method")
_BEHIND = ("model", "subject", "window")
_FIGURE = (*_BEHIND, "bound")


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric, of the processes that have it."""

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...]
    processes: tuple[Process, ...]

    @property
    def series(self) -> tuple[str, ...]:
        """The names under which its samples are scraped."""
        if self.kind == "counter":
            return (f"{self.name}_total",)
        if self.kind == "histogram":
            return tuple(f"{self.name}{end}" for end in ("_bucket", "_sum", "_count"))
        return (self.name,)


def _rows(kind: Kind, *processes: Process) -> Callable[..., Metric]:
    def row(name: str, text: str, *labels: str) -> Metric:
        return Metric(name, kind, text, labels, processes)

    return row


_counter, _gauge, _histogram = (_rows(kind, "scorer") for kind in ("counter", "gauge", "histogram"))

_SCORER: Final[tuple[Metric, ...]] = (
    # Calls
    _counter("grpc_server_started", "Calls begun", *_CALL),
    _counter("grpc_server_handled", "Calls answered, by status", *_CALL, "grpc_code"),
    _histogram("grpc_server_handling_seconds", "Time from call to answer", *_CALL),
    _counter("fraud_rate_limited", "Calls refused because their caller asks for more than it may", *_CALL),
    _gauge("fraud_access_end_timestamp_seconds", "When what lets callers in ends next", "what"),
    # Decisions
    _counter("fraud_decisions", "Decisions, by outcome", "model", "outcome"),
    _histogram("fraud_score", "Calibrated scores given", "model"),
    _counter("fraud_limits", "Limits stated in replies, by kind", "limit"),
    _counter("fraud_duplicates", "Transactions sent again and answered as stored"),
    _counter("fraud_unexplained", "Decisions answered without their reasons, for want of time"),
    _counter("fraud_late_events", "Transactions older than what the state holds"),
    _histogram("fraud_batch_rows", "Rows scored together"),
    _gauge("fraud_queue_rows", "Rows waiting to be scored"),
    _gauge("fraud_queue_label_rows", "Labels and outcomes waiting to be logged"),
    _gauge("fraud_wait_seconds", "Wait foreseen for a payment that comes now"),
    _counter("fraud_rule_decisions", "Decisions that a rule or a list made", "model", "rule"),
    _gauge("fraud_rules_refused", "1 while a model's rules do not fit and are not in force", "model"),
    _counter("fraud_rule_failures", "Batches on which rules failed and the model decided alone", "model"),
    _gauge("fraud_listings", "Entities on a list now", "list"),
    # Feature state
    _gauge("fraud_entities", "Entities of a kind whose feature state is kept", "entity"),
    _gauge("fraud_entities_max", "Entities of a kind whose feature state can be kept"),
    # Exploration
    _counter("fraud_explored", "Would-be declines let through to learn from", "model"),
    _counter("fraud_explored_minor", "Amounts let through, base currency", "model"),
    _gauge("fraud_exploration_spent_minor", "Amounts let through today", "model"),
    _gauge("fraud_exploration_left_minor", "What today's budget still admits", "model"),
    _gauge("fraud_exploration_enabled", "1 while a model explores", "model"),
    # Labels
    _counter("fraud_labels", "Labels taken", "source", "value"),
    _histogram("fraud_label_delay_seconds", "From event to known label", "source"),
    _gauge("fraud_labels_waiting", "Labels whose transaction is not known yet"),
    # Log
    _histogram("fraud_log_append_seconds", "Time to write a batch durably"),
    _gauge("fraud_log_position", "Position of the last log entry"),
    _counter("fraud_restores", "Times the state was rebuilt from snapshot and log"),
    _gauge("fraud_serving", "1 while health says SERVING"),
    _gauge("fraud_restore_progress_ratio", "Share of the log folded into state; 1 when restored"),
    _counter("fraud_events_dropped", "Events answered but not logged: always 0"),
    # Champion
    _gauge("fraud_champion_info", "1 for the version that serves", "model", "version"),
    _gauge("fraud_champion_age_seconds", "Since its training cut", "model"),
    _gauge("fraud_champion_missing", "1 while the champion cannot be loaded and none decides", "model"),
    _counter("fraud_swaps", "Versions put into service or refused", "model", "result"),
    _histogram("fraud_swap_seconds", "Time to load, check and put a version in service", "model"),
    _counter("fraud_rollbacks", "Former champions put back into service", "model"),
    _gauge("fraud_tainted_versions", "Versions that learned from excluded data", "model"),
    _gauge("fraud_tainted_champion", "1 while the version that serves is tainted", "model"),
    _gauge("fraud_awaiting_approval_versions", "Versions that wait for a person to promote them", "model"),
    _gauge("fraud_exclusions_in_force", "Exclusions of data now in force"),
    # Shadow
    _counter("fraud_shadow_scored", "Payments scored in shadow", "model", "slot"),
    _counter("fraud_shadow_disagreed", "Payments a shadow would answer otherwise", "model", "slot"),
    _gauge("fraud_shadow_info", "1 for the version in a shadow's slot", "model", "slot", "version"),
    _histogram("fraud_shadow_seconds", "Time a batch takes for all its shadows", "model"),
    _gauge("fraud_probation_active", "1 while a new champion is on probation", "model"),
)

_counter, _gauge, _histogram = (_rows(kind, "retrainer") for kind in ("counter", "gauge", "histogram"))

_LOOP: Final[tuple[Metric, ...]] = (
    # Retraining; counters and timestamps are the ledger's, so they outlive the process
    _histogram("fraud_retrain_seconds", "Duration of a retrain since the start", "model", "result"),
    _counter("fraud_retrains", "Retrains ever, by how they ended", "model", "result"),
    _gauge("fraud_retrain_last_success_timestamp_seconds", "When a retrain last ended well", "model"),
    _gauge("fraud_retrain_last_timestamp_seconds", "When a retrain last ended", "model"),
    _gauge("fraud_retrain_last_result", "1 for the way the last retrain ended", "model", "result"),
    _gauge("fraud_retrain_last_seconds", "Duration of the last retrain", "model"),
    _gauge("fraud_retrain_running", "1 while a retrain runs"),
    _counter("fraud_verdicts", "Verdicts of the gate ever", "model", "verdict"),
    _counter("fraud_verdict_reasons", "Verdicts by way or failed check", "model", "verdict", "reason"),
    _counter("fraud_versions", "Versions ever registered", "model"),
    _counter("fraud_promotions", "Promotions ever", "model"),
    _gauge("fraud_promotion_last_timestamp_seconds", "When a version was last promoted", "model"),
    _counter("fraud_ledger_rollbacks", "Rollbacks ever entered in the ledger", "model"),
    _gauge("fraud_rollback_last_timestamp_seconds", "When the last rollback was entered", "model"),
    _gauge("fraud_retrain_last_trigger", "1 for what started the last retrain", "trigger"),
    # Emergencies
    _gauge("fraud_emergency_used_retrains", "Emergency retrains in the span of their budget"),
    _gauge("fraud_emergency_left_retrains", "Emergency retrains that their budget still allows"),
    _gauge("fraud_trigger_active", "1 while a model asks for an emergency retrain", "model", "trigger"),
    _gauge("fraud_miss_votes", "Separate misses confirmed since the last retrain", "model"),
    _gauge("fraud_miss_expected_votes", "The same as quiet weeks promise", "model"),
    _gauge(
        "fraud_value_detection_lost_share", "Share of fraud value found before and not now, at least", "model"
    ),
    # Guard
    _gauge("fraud_guard_findings", "Findings of the guard when it last judged", "model", "check"),
    _gauge("fraud_retrain_frozen", "1 while the guard keeps a model from training", "model"),
    # Archive
    _gauge("fraud_archive_position", "Log position up to which the archive holds everything"),
    _gauge("fraud_archive_lag_events", "Log entries not yet in the archive"),
    _histogram("fraud_archive_copy_seconds", "Time to copy new entries to the archive"),
    # Feeds
    _gauge(
        "fraud_feed_observed_ratio",
        "Fraud labels that came ÷ those that the delay curve promised",
        *("model", "source", "window"),
    ),
    _gauge("fraud_feed_expected_labels", "Fraud labels promised", "model", "source", "window"),
    _gauge("fraud_feed_delay_seconds", "Delay of matured fraud labels", "model", "source", "quantile"),
    _gauge("fraud_feed_last_label_timestamp_seconds", "When a label last came", "source"),
)

_QUALITY: Final[tuple[Metric, ...]] = (
    # Matured payments of a window, within the daily alert budget; 90 % intervals by card
    _gauge("fraud_realised_precision", "Share of alerts that were fraud", *_FIGURE),
    _gauge("fraud_realised_recall", "Share of frauds within the alert budget", *_FIGURE),
    _gauge("fraud_realised_average_precision", "Area under precision and recall", *_FIGURE),
    _gauge("fraud_realised_value_detection", "Share of the fraud amount within the budget", *_FIGURE),
    _gauge("fraud_realised_false_positive_ratio", "False alerts for each caught fraud", *_FIGURE),
    _gauge("fraud_realised_calibration_ratio", "Frauds that scores expected ÷ that came", *_FIGURE),
    _gauge(
        "fraud_realised_value_fraud_ratio",
        "Fraud amount that got through ÷ all amounts (decisions: as answered; else: beyond the budget)",
        *_FIGURE,
    ),
    _gauge("fraud_answered_recall", "Share of frauds not simply approved", "model", "window", "bound"),
    _gauge(
        "fraud_answered_precision",
        "Share of what was not simply approved that was fraud",
        *("model", "window", "bound"),
    ),
    _gauge("fraud_realised_rows", "Payments behind the figures", *_BEHIND),
    _gauge("fraud_realised_labels", "Labels behind the figures", *_BEHIND),
    _gauge("fraud_realised_frauds", "Frauds behind the figures", *_BEHIND),
    _gauge("fraud_realised_effective_frauds", "Equally weighted frauds that would say as much", *_BEHIND),
    _gauge("fraud_realised_unseen_rows", "Matured payments nobody knows the truth of", *_BEHIND),
    _gauge("fraud_realised_rule_rows", "Payments left out: a rule or list decided", "model", "window"),
    _gauge(
        "fraud_realised_gain",
        "What retraining bought: champion − first on the same payments, by figure",
        *("model", "window", "figure", "bound"),
    ),
    _gauge(
        "fraud_realised_decay",
        "What was lost since promotion: the champion's figure then − now",
        *("model", "window", "figure", "bound"),
    ),
    _gauge("fraud_promised_quality", "The champion's figure at promotion", "model", "figure", "bound"),
    _gauge("fraud_quality_subject_info", "1 for a subject's version", "model", "subject", "version"),
    # Weeks of what was decided; restated as labels come in
    _gauge("fraud_cohort_average_precision", "As realised, of one week", "model", "cohort", "bound"),
    _gauge("fraud_cohort_recall", "As realised, of one week", "model", "cohort", "bound"),
    _gauge("fraud_cohort_frauds", "Frauds of the week as known now", "model", "cohort"),
    _gauge("fraud_cohort_start_timestamp_seconds", "First moment of the week", "model", "cohort"),
    _gauge("fraud_cohort_restated_recall", "Change since the week had matured", "model", "cohort"),
    _gauge("fraud_cohort_restated_average_precision", "Change since the week had matured", "model", "cohort"),
    _gauge("fraud_cohort_restated_frauds", "Change since the week had matured", "model", "cohort"),
    _gauge("fraud_quality_matured_timestamp_seconds", "Up to when payments have matured", "model"),
    _gauge("fraud_quality_computed_timestamp_seconds", "When the figures were last computed", "model"),
)

_TRAFFIC: Final[tuple[Metric, ...]] = (
    # Before labels arrive: recent traffic of the champion
    _gauge("fraud_recent_rows", "Payments the figures on recent traffic rest on", "model"),
    _gauge("fraud_recent_outcome_share", "Share of recent payments by outcome", "model", "outcome"),
    _gauge("fraud_promised_outcome_share", "The same when the champion was trained", "model", "outcome"),
    _gauge("fraud_recent_alert_ratio", "Share of alerts now ÷ promised", "model", "bound"),
    _gauge("fraud_recent_traffic_share", "Share of recent payments by kind of oddity", "model", "kind"),
    _gauge("fraud_score_drift", "PSI of scores beyond chance", "model"),
    _gauge("fraud_feature_drift", "PSI of a feature beyond chance", "model", "feature"),
    _gauge("fraud_drift_findings", "Distributions moved beyond chance and effect", "model", "kind"),
    _gauge("fraud_shadow_disagreement_share", "Recent payments answered otherwise", "model", "subject"),
    # Testing of cards and limits within a day; entities are thinned beyond monitoring.probing.rows_max rows
    _gauge("fraud_probing_entities", "Entities that fit a pattern", "model", "pattern", "kind"),
    _gauge("fraud_probing_expected_entities", "The same as quiet weeks promise", "model", "pattern", "kind"),
    _gauge("fraud_probing_findings", "1 while they are beyond chance", "model", "pattern", "kind"),
    # Context, never a judgement: from calibrated scores alone
    _gauge("fraud_estimated_precision", "Context: what scores promise of alerts", "model"),
    _gauge("fraud_estimated_recall", "Context: what scores promise of frauds", "model"),
    _gauge("fraud_estimated_frauds", "Context: frauds that scores expect", "model"),
    _gauge("fraud_estimate_holds", "1 while what the estimate rests on holds", "model", "assumption"),
    # The watching itself
    _gauge("fraud_monitoring_seconds", "Time the last computation took", "part"),
    _counter("fraud_monitoring_failures", "Copies to the archive and computations that failed", "part"),
)

_gauge = _rows("gauge", "scorer", "retrainer")

_BOTH: Final[tuple[Metric, ...]] = (
    _gauge("fraud_disk_free_bytes", "Space left for the data folder"),
    _gauge("fraud_disk_size_bytes", "Size of the data folder's file system"),
    _gauge("fraud_probation_e_value", "Evidence for ending a probation by rollback", "model", "side"),
    _gauge("fraud_alarm_threshold", "From which value on an alarm is meant", "alarm"),
    _gauge("fraud_build_info", "1 for the release that runs", "version"),
)

METRICS: Final[tuple[Metric, ...]] = (*_SCORER, *_LOOP, *_QUALITY, *_TRAFFIC, *_BOTH)


def metrics_of(process: Process) -> tuple[Metric, ...]:
    """Return the metrics of one process, in the order of the table."""
    return tuple(metric for metric in METRICS if process in metric.processes)
