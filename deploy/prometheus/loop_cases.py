"""Cases of the alerts that the retrainer's series fire: loop, labels, quality, traffic."""

from typing import Final

from deploy.prometheus.case import Case, gauge, steady

_CHARGEBACKS: Final = 'model="card", source="chargeback", window="1d"'
_ANALYSTS: Final = 'model="card", source="analyst", window="1d"'

LOOP: Final = (
    gauge("FraudRetrainerDown", 'up{job="fraud-retrainer"}', 0, 1, 12, 8),
    Case(
        "FraudRetrainerRestarting",
        {'process_start_time_seconds{job="fraud-retrainer"}': "0 0 0 100 100 200 200 300 300 300"},
        {'process_start_time_seconds{job="fraud-retrainer"}': "0 0 0 100 100 200 200 200 200 200"},
        after=9,
        before=4,
    ),
    gauge("FraudRetrainFrozen", 'fraud_retrain_frozen{model="card"}', 1, 0, 17, 13),
    Case(
        "FraudRetrainFailing",
        {'fraud_retrain_last_result{model="card", result="failed"}': steady(1)},
        {
            'fraud_retrain_last_result{model="card", result="failed"}': steady(0),
            'fraud_retrain_last_result{model="card", result="finished"}': steady(1),
        },
        after=17,
        before=13,
    ),
    Case(
        "FraudRetrainOverdue",
        # The clock of promtool begins at 0: one ended two weeks before, the other a day later.
        {'fraud_retrain_last_success_timestamp_seconds{model="card"}': steady(-1_209_600)},
        {'fraud_retrain_last_success_timestamp_seconds{model="card"}': steady(-1_123_200)},
        after=70,
        before=50,
    ),
    Case(
        "FraudEmergenciesSpent",
        {"fraud_emergency_left_retrains": steady(0), "fraud_emergency_used_retrains": steady(2)},
        # No budget was ever given.
        {"fraud_emergency_left_retrains": steady(0), "fraud_emergency_used_retrains": steady(0)},
        after=17,
        before=13,
    ),
    Case(
        "FraudArchiveLag",
        {"fraud_log_position": steady(3_000_001), "fraud_archive_position": steady(2_000_000)},
        {"fraud_log_position": steady(3_000_000), "fraud_archive_position": steady(2_000_000)},
        after=17,
        before=13,
    ),
    Case(
        # Archiving stops, and what the retrainer last said of its lag stays as it was.
        "FraudArchiveLag",
        {
            "fraud_log_position": "0+100000x240",
            "fraud_archive_position": "0+100000x5 500000+0x240",
            "fraud_archive_lag_events": steady(0),
        },
        {"fraud_log_position": "0+100000x240", "fraud_archive_position": "0+100000x240"},
        after=33,
        before=29,
    ),
    Case(
        "FraudQualityNotMeasured",
        {'fraud_monitoring_failures_total{part="quality"}': "0+1x60"},
        {'fraud_monitoring_failures_total{part="quality"}': steady(3)},
        after=20,
        before=10,
    ),
    Case(
        "FraudLabelFeedPaused",
        {
            f"fraud_feed_observed_ratio{{{_CHARGEBACKS}}}": steady(0.29),
            f"fraud_feed_expected_labels{{{_CHARGEBACKS}}}": steady(20),
        },
        {
            f"fraud_feed_observed_ratio{{{_CHARGEBACKS}}}": steady(0.31),
            f"fraud_feed_expected_labels{{{_CHARGEBACKS}}}": steady(500),
            f"fraud_feed_observed_ratio{{{_ANALYSTS}}}": steady(0),
            f"fraud_feed_expected_labels{{{_ANALYSTS}}}": steady(19),
        },
        after=17,
        before=13,
    ),
    Case(
        # Three days and a half, or a week-end.
        "FraudLabelFeedSilent",
        {
            f"fraud_feed_observed_ratio{{{_CHARGEBACKS}}}": "1+0x48 0+0x168",
            f"fraud_feed_expected_labels{{{_CHARGEBACKS}}}": steady(20),
        },
        {
            f"fraud_feed_observed_ratio{{{_CHARGEBACKS}}}": "1+0x48 0+0x96 1+0x72",
            f"fraud_feed_expected_labels{{{_CHARGEBACKS}}}": steady(20),
        },
        after=6_000,
        before=5_700,
        step=30,
    ),
    gauge("FraudGuardFinding", 'fraud_guard_findings{model="card", check="share"}', 1, 0, 17, 13),
)


def _figure(name: str, bound: str, **labels: str) -> str:
    spelt = ", ".join(
        f'{key}="{value}"' for key, value in {"model": "card", "bound": bound, **labels}.items()
    )
    return f"{name}{{{spelt}}}"


_RECALL: Final = {"figure": "recall", "window": "28d"}
_OF_CHAMPION: Final = {"subject": "champion", "window": "28d"}

QUALITY: Final = (
    Case(
        "FraudDecay",
        {
            _figure("fraud_realised_decay", "point", **_RECALL): steady(0.2),
            _figure("fraud_realised_decay", "lower", **_RECALL): steady(0.06),
        },
        # As large a loss, of which chance may be the cause.
        {
            _figure("fraud_realised_decay", "point", **_RECALL): steady(0.2),
            _figure("fraud_realised_decay", "lower", **_RECALL): steady(0.04),
        },
        after=70,
        before=50,
    ),
    Case(
        "FraudWorseThanFirst",
        {_figure("fraud_realised_gain", "upper", **_RECALL): steady(-0.06)},
        {
            _figure("fraud_realised_gain", "point", **_RECALL): steady(-0.2),
            _figure("fraud_realised_gain", "upper", **_RECALL): steady(0.01),
        },
        after=70,
        before=50,
    ),
    Case(
        "FraudCalibrationOff",
        {_figure("fraud_realised_calibration_ratio", "lower", **_OF_CHAMPION): steady(2.1)},
        {
            _figure("fraud_realised_calibration_ratio", "lower", **_OF_CHAMPION): steady(1.4),
            _figure("fraud_realised_calibration_ratio", "upper", **_OF_CHAMPION): steady(2.6),
        },
        after=70,
        before=50,
    ),
    Case(
        "FraudCalibrationOff",
        {_figure("fraud_realised_calibration_ratio", "upper", **_OF_CHAMPION): steady(0.4)},
        {_figure("fraud_realised_calibration_ratio", "upper", **_OF_CHAMPION): steady(0.6)},
        after=70,
        before=50,
    ),
    Case(
        "FraudAlertRateJump",
        {_figure("fraud_recent_alert_ratio", "lower"): steady(2.1)},
        {
            _figure("fraud_recent_alert_ratio", "lower"): steady(1.9),
            _figure("fraud_recent_alert_ratio", "upper"): steady(3.2),
        },
        after=17,
        before=13,
    ),
    Case(
        "FraudAlertRateJump",
        {_figure("fraud_recent_alert_ratio", "upper"): steady(0.4)},
        {_figure("fraud_recent_alert_ratio", "upper"): steady(0.6)},
        after=17,
        before=13,
    ),
    gauge("FraudScoreDrift", 'fraud_drift_findings{model="card", kind="scores"}', 1, 0, 70, 50),
    gauge("FraudFeatureDrift", 'fraud_drift_findings{model="card", kind="features"}', 3, 0, 70, 50),
    gauge(
        "FraudProbing",
        'fraud_probing_findings{model="card", pattern="ladder", kind="card"}',
        1,
        0,
        17,
        13,
    ),
    gauge(
        "FraudUnknownInput",
        'fraud_recent_traffic_share{model="card", kind="out_of_range"}',
        0.06,
        0.04,
        35,
        25,
    ),
)
