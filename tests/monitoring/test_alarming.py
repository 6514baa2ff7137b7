"""Local alarms: each is raised by its figure, none by a healthy service, and rules have the same names."""

from pathlib import Path

import pytest

from fraud.monitoring.alarming import Alarm, alarming
from fraud.monitoring.alarms import thresholds
from fraud.monitoring.scrape import Sample, Samples
from fraud.settings.monitoring import Alarms

NOW_US = 100 * 86_400_000_000
LIMITS = thresholds(Alarms())
RULES = Path(__file__).parents[2] / "deploy/prometheus/rules/alerts.yml"
CARD = {"model": "card"}
RECALL = {**CARD, "figure": "recall", "window": "28d"}
CALIBRATION = {**CARD, "subject": "champion", "window": "28d"}
FEED = {**CARD, "source": "bank", "window": "7d"}
DAY = {**FEED, "window": "1d"}
PROBING = {**CARD, "pattern": "ladder", "kind": "card"}
SCORE = {"grpc_method": "Score"}

Rows = list[tuple[str, dict[str, str], float]]

HEALTHY: Rows = [
    ("fraud_events_dropped_total", {}, 0),
    ("fraud_tainted_champion", CARD, 0),
    ("fraud_retrain_frozen", CARD, 0),
    ("fraud_retrain_last_result", {**CARD, "result": "failed"}, 0),
    ("fraud_retrain_last_result", {**CARD, "result": "finished"}, 1),
    ("fraud_monitoring_failures_total", {"part": "quality"}, 0),
    ("fraud_queue_rows", {}, 10),
    ("fraud_log_position", {}, 5_000_010),
    ("fraud_archive_position", {}, 5_000_000),
    ("fraud_serving", {}, 1),
    ("fraud_restore_progress_ratio", {}, 1),
    ("fraud_disk_free_bytes", {}, 50e9),
    ("fraud_disk_size_bytes", {}, 100e9),
    ("fraud_entities", {"entity": "card"}, 900),
    ("fraud_entities", {"entity": "device"}, 10),
    ("fraud_entities_max", {}, 1_000),
    ("fraud_realised_decay", {**RECALL, "bound": "lower"}, -0.1),
    ("fraud_realised_gain", {**RECALL, "bound": "upper"}, 0.2),
    ("fraud_realised_calibration_ratio", {**CALIBRATION, "bound": "lower"}, 0.9),
    ("fraud_realised_calibration_ratio", {**CALIBRATION, "bound": "upper"}, 1.1),
    ("fraud_recent_alert_ratio", {**CARD, "bound": "point"}, 1.1),
    ("fraud_recent_alert_ratio", {**CARD, "bound": "lower"}, 0.9),
    ("fraud_recent_alert_ratio", {**CARD, "bound": "upper"}, 1.3),
    ("fraud_drift_findings", {**CARD, "kind": "scores"}, 0),
    ("fraud_probing_findings", PROBING, 0),
    ("fraud_probing_entities", PROBING, 3),
    ("fraud_emergency_used_retrains", {}, 1),
    ("fraud_emergency_left_retrains", {}, 1),
    ("fraud_feed_observed_ratio", FEED, 0.9),
    ("fraud_feed_expected_labels", FEED, 50),
    ("fraud_feed_observed_ratio", DAY, 0.9),
    ("fraud_feed_expected_labels", DAY, 50),
    ("grpc_server_handled_total", {**SCORE, "grpc_code": "OK"}, 1_000),
    ("grpc_server_handled_total", {**SCORE, "grpc_code": "RESOURCE_EXHAUSTED"}, 500),
    ("fraud_rate_limited_total", SCORE, 500),
    ("grpc_server_handled_total", {"grpc_method": "SubmitLabels", "grpc_code": "OK"}, 100_000),
    ("grpc_server_handling_seconds_bucket", {**SCORE, "le": "0.01"}, 990),
    ("grpc_server_handling_seconds_bucket", {**SCORE, "le": "+Inf"}, 1_000),
    ("fraud_champion_age_seconds", CARD, 86_400),
    ("fraud_retrain_last_success_timestamp_seconds", CARD, 99 * 86_400),
    ("fraud_exploration_enabled", CARD, 1),
    ("fraud_exploration_spent_minor", CARD, 94),
    ("fraud_exploration_left_minor", CARD, 6),
    ("fraud_rules_refused", CARD, 0),
    ("fraud_champion_missing", CARD, 0),
    ("fraud_access_end_timestamp_seconds", {"what": "certificate"}, 115 * 86_400),
    ("fraud_access_end_timestamp_seconds", {"what": "identity"}, 200 * 86_400),
]


def raised(*changes: tuple[str, dict[str, str], float]) -> list[Alarm]:
    rows = {(name, tuple(sorted(labels.items()))): value for name, labels, value in (*HEALTHY, *changes)}
    samples = [Sample(name, dict(labels), value) for (name, labels), value in rows.items()]
    return alarming(Samples(samples), LIMITS, NOW_US, NOW_US)


def test_a_healthy_service_alarms_nobody_and_neither_does_silence() -> None:
    assert raised() == []
    assert alarming(Samples(()), LIMITS, NOW_US, NOW_US) == []


CASES: list[tuple[str, Rows]] = [
    ("FraudEventsDropped", [("fraud_events_dropped_total", {}, 1)]),
    ("FraudChampionTainted", [("fraud_tainted_champion", CARD, 1)]),
    ("FraudRetrainFrozen", [("fraud_retrain_frozen", CARD, 1)]),
    ("FraudRetrainFailing", [("fraud_retrain_last_result", {**CARD, "result": "failed"}, 1)]),
    ("FraudQualityNotMeasured", [("fraud_monitoring_failures_total", {"part": "quality"}, 3)]),
    ("FraudGuardFinding", [("fraud_guard_findings", {**CARD, "check": "silence"}, 1)]),
    ("FraudAwaitingApproval", [("fraud_awaiting_approval_versions", CARD, 1)]),
    ("FraudExplorationSpent", [("fraud_exploration_left_minor", CARD, 4)]),
    ("FraudRulesRefused", [("fraud_rules_refused", CARD, 1)]),
    ("FraudChampionMissing", [("fraud_champion_missing", CARD, 1)]),
    ("FraudScorerQueueFull", [("fraud_queue_rows", {}, 10_001)]),
    ("FraudArchiveLag", [("fraud_log_position", {}, 6_000_001)]),
    ("FraudNotServing", [("fraud_serving", {}, 0)]),
    ("FraudLabelsWaiting", [("fraud_labels_waiting", {}, 10_001)]),
    ("FraudDiskFilling", [("fraud_disk_free_bytes", {}, 9e9)]),
    ("FraudDiskFull", [("fraud_disk_free_bytes", {}, 0.5e9)]),
    ("FraudEntitiesFilling", [("fraud_entities", {"entity": "card"}, 901)]),
    ("FraudEntitiesFilling", [("fraud_entities", {"entity": "device"}, 999)]),
    ("FraudEntitiesFull", [("fraud_entities", {"entity": "device"}, 1_000)]),
    ("FraudDecay", [("fraud_realised_decay", {**RECALL, "bound": "lower"}, 0.06)]),
    ("FraudWorseThanFirst", [("fraud_realised_gain", {**RECALL, "bound": "upper"}, -0.06)]),
    ("FraudCalibrationOff", [("fraud_realised_calibration_ratio", {**CALIBRATION, "bound": "lower"}, 2.1)]),
    ("FraudCalibrationOff", [("fraud_realised_calibration_ratio", {**CALIBRATION, "bound": "upper"}, 0.4)]),
    ("FraudAlertRateJump", [("fraud_recent_alert_ratio", {**CARD, "bound": "lower"}, 2.1)]),
    ("FraudAlertRateJump", [("fraud_recent_alert_ratio", {**CARD, "bound": "upper"}, 0.4)]),
    ("FraudScoreDrift", [("fraud_drift_findings", {**CARD, "kind": "scores"}, 1)]),
    ("FraudFeatureDrift", [("fraud_drift_findings", {**CARD, "kind": "features"}, 2)]),
    ("FraudProbing", [("fraud_probing_findings", PROBING, 1)]),
    ("FraudEmergenciesSpent", [("fraud_emergency_left_retrains", {}, 0)]),
    ("FraudLabelFeedSilent", [("fraud_feed_observed_ratio", FEED, 0.29)]),
    ("FraudLabelFeedPaused", [("fraud_feed_observed_ratio", DAY, 0.29)]),
    ("FraudGrpcErrors", [("grpc_server_handled_total", {**SCORE, "grpc_code": "INTERNAL"}, 20)]),
    ("FraudGrpcErrors", [("grpc_server_handled_total", {**SCORE, "grpc_code": "DEADLINE_EXCEEDED"}, 20)]),
    ("FraudGrpcErrors", [("grpc_server_handled_total", {**SCORE, "grpc_code": "RESOURCE_EXHAUSTED"}, 520)]),
    ("FraudScoringSlow", [("grpc_server_handling_seconds_bucket", {**SCORE, "le": "0.01"}, 980)]),
    ("FraudChampionStale", [("fraud_champion_age_seconds", CARD, 61 * 86_400)]),
    *[
        ("FraudAccessEnds", [("fraud_access_end_timestamp_seconds", {"what": what}, day * 86_400.0)])
        for what, day in (("certificate", 113), ("clients", 101), ("identity", 99))
    ],
    ("FraudRetrainOverdue", [("fraud_retrain_last_success_timestamp_seconds", CARD, 85 * 86_400)]),
]


@pytest.mark.parametrize(("name", "changes"), CASES, ids=lambda it: it if isinstance(it, str) else "")
def test_each_alarm_is_raised_by_its_figure_alone(name: str, changes: Rows) -> None:
    assert [alarm.name for alarm in raised(*changes)] == [name]


def test_a_scorer_that_restores_its_state_is_not_told_of() -> None:
    assert raised(("fraud_serving", {}, 0), ("fraud_restore_progress_ratio", {}, 0.4)) == []


def test_what_ends_and_what_has_ended_is_named() -> None:
    ends = ("fraud_access_end_timestamp_seconds", {"what": "certificate"})
    assert [it.text for it in raised((*ends, 103 * 86_400))] == ["the server's certificate ends in 3 days"]
    assert [it.text for it in raised((*ends, 99 * 86_400))] == ["the server's certificate has ended"]


def test_too_little_says_nothing() -> None:
    assert raised(("fraud_feed_observed_ratio", FEED, 0.0), ("fraud_feed_expected_labels", FEED, 19)) == []
    assert raised(("fraud_exploration_left_minor", CARD, 0), ("fraud_exploration_enabled", CARD, 0)) == []
    assert raised(("fraud_realised_decay", {**RECALL, "bound": "lower"}, float("nan"))) == []
    none: Rows = [(f"fraud_emergency_{it}_retrains", {}, 0) for it in ("used", "left")]
    assert raised(*none) == [], "no budget at all is not a budget that was spent"


def test_the_most_severe_comes_first() -> None:
    found = raised(
        ("fraud_guard_findings", {**CARD, "check": "silence"}, 1),
        ("fraud_retrain_frozen", CARD, 1),
        ("fraud_tainted_champion", CARD, 1),
    )
    assert [alarm.severity for alarm in found] == ["page", "ticket", "notice"]


@pytest.mark.parametrize("name", sorted({name for name, _ in CASES}))
def test_an_alert_rule_has_the_same_name_and_severity(name: str) -> None:
    changes = next(changes for alarm, changes in CASES if alarm == name)
    (alarm,) = raised(*changes)
    _, _, rest = RULES.read_text().partition(f"alert: {name}\n")
    assert rest, f"deploy has no alert {name}"
    assert f"severity: {alarm.severity}" in rest.partition("- alert:")[0]
