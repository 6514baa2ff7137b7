"""Cases of the alerts that the scorer's own series fire: process, calls, log, disk, champion."""

from typing import Final

from deploy.prometheus.case import Case, gauge, steady

SCORE: Final = 'grpc_service="fraud.v1.ScoringService", grpc_method="Score", grpc_type="unary"'


def _calls(code: str, rate: int) -> tuple[str, str]:
    return f'grpc_server_handled_total{{{SCORE}, grpc_code="{code}"}}', f"0+{rate}x240"


def _limited(rate: int) -> tuple[str, str]:
    return f"fraud_rate_limited_total{{{SCORE}}}", f"0+{rate}x240"


SCORER: Final = (
    gauge("FraudScorerDown", 'up{job="fraud-scorer"}', 0, 1, 3, 0),
    Case(
        "FraudScorerRestarting",
        {'process_start_time_seconds{job="fraud-scorer"}': "0 0 0 100 100 200 200 300 300 300"},
        {'process_start_time_seconds{job="fraud-scorer"}': "0 0 0 100 100 200 200 200 200 200"},
        after=9,
        before=4,
    ),
    Case(
        # The other one restores its state.
        "FraudNotServing",
        {"fraud_serving": "1+0x9 0+0x100", "fraud_restore_progress_ratio": steady(1)},
        {"fraud_serving": "1+0x9 0+0x100", "fraud_restore_progress_ratio": steady(0.5)},
        after=13,
        before=11,
    ),
    Case(
        # A restore of more than five minutes, or of less.
        "FraudNotServing",
        {"fraud_serving": "1+0x9 0+0x100", "fraud_restore_progress_ratio": "1+0x9 0+0.01x100"},
        {"fraud_serving": "1+0x9 0+0x3 1+0x100", "fraud_restore_progress_ratio": "1+0x9 0+0.25x4 1+0x100"},
        after=18,
        before=15,
    ),
    Case(
        "FraudGrpcErrors",
        dict([_calls("OK", 980), _calls("INTERNAL", 20)]),
        dict([_calls("OK", 900), _calls("INVALID_ARGUMENT", 95), _calls("INTERNAL", 5)]),
        after=12,
        before=4,
    ),
    Case(
        # A queue that is full is ours, a caller over its rate is not.
        "FraudGrpcErrors",
        dict([_calls("OK", 980), _calls("RESOURCE_EXHAUSTED", 40), _limited(20)]),
        dict([_calls("OK", 500), _calls("RESOURCE_EXHAUSTED", 500), _limited(500)]),
        after=12,
        before=4,
    ),
    Case(
        # A scorer of a release that did not count those over their rate.
        "FraudGrpcErrors",
        dict([_calls("OK", 980), _calls("RESOURCE_EXHAUSTED", 20)]),
        dict([_calls("OK", 995), _calls("RESOURCE_EXHAUSTED", 5)]),
        after=12,
        before=4,
    ),
    Case(
        "FraudScoringSlow",
        {
            f'grpc_server_handling_seconds_bucket{{{SCORE}, le="0.1"}}': "0+950x240",
            f'grpc_server_handling_seconds_bucket{{{SCORE}, le="0.25"}}': "0+1000x240",
            f'grpc_server_handling_seconds_bucket{{{SCORE}, le="+Inf"}}': "0+1000x240",
        },
        {
            f'grpc_server_handling_seconds_bucket{{{SCORE}, le="0.1"}}': "0+995x240",
            f'grpc_server_handling_seconds_bucket{{{SCORE}, le="0.25"}}': "0+1000x240",
            f'grpc_server_handling_seconds_bucket{{{SCORE}, le="+Inf"}}': "0+1000x240",
        },
        after=20,
        before=8,
    ),
    Case(
        "FraudScorerQueueFull",
        {"fraud_queue_rows": "0+0x9 10001+0x100"},
        {"fraud_queue_rows": "0+0x9 10000+0x100"},
        after=12,
        before=10,
    ),
    gauge("FraudEventsDropped", "fraud_events_dropped_total", 1, 0, 1, None),
    Case(
        "FraudNoDecisions",
        {'fraud_decisions_total{model="card", outcome="APPROVE"}': "0+60x150 9000+0x90"},
        {'fraud_decisions_total{model="card", outcome="APPROVE"}': "0+60x150 9001+1x90"},
        after=175,
        before=160,
    ),
    Case(
        # Hours later it is still told.
        "FraudNoDecisions",
        {'fraud_decisions_total{model="card", outcome="APPROVE"}': "0+60x60 3600+0x540"},
        {'fraud_decisions_total{model="card", outcome="APPROVE"}': "0+60x60 3601+1x540"},
        after=570,
        before=70,
    ),
    Case(
        "FraudNoChampion",
        {'fraud_limits_total{limit="NO_CHAMPION"}': "0+10x240"},
        {'fraud_limits_total{limit="NO_CHAMPION"}': "0+10x30 300+0x210"},
        after=70,
        before=40,
    ),
    Case(
        "FraudSwapRefused",
        {'fraud_swaps_total{model="card", result="refused"}': "0+0x10 1+0x100"},
        {'fraud_swaps_total{model="card", result="applied"}': "0+0x10 1+0x100"},
        after=12,
        before=9,
    ),
    Case(
        # The scorer refused one before it was first scraped, and those of the others have none yet.
        "FraudSwapRefused",
        {'fraud_swaps_total{model="card", result="refused"}': "_x10 1+0x100"},
        {'fraud_swaps_total{model="card", result="refused"}': "_x10 0+0x100"},
        after=12,
        before=9,
    ),
    gauge(
        # An hour and fifteen days after the beginning of time.
        "FraudAccessEnds",
        'fraud_access_end_timestamp_seconds{what="certificate"}',
        3_600,
        15 * 86_400,
        12,
        8,
    ),
    gauge("FraudChampionMissing", 'fraud_champion_missing{model="card"}', 1, 0, 3, 0),
    gauge("FraudRulesRefused", 'fraud_rules_refused{model="card"}', 1, 0, 3, 0),
    Case(
        "FraudRulesFailing",
        {'fraud_rule_failures_total{model="card"}': "_x20 1+0x100"},
        {'fraud_rule_failures_total{model="card"}': steady(3)},
        after=22,
        before=19,
    ),
    Case(
        "FraudLogSlow",
        {
            'fraud_log_append_seconds_bucket{le="0.1"}': "0+95x240",
            'fraud_log_append_seconds_bucket{le="0.5"}': "0+100x240",
            'fraud_log_append_seconds_bucket{le="+Inf"}': "0+100x240",
        },
        {
            'fraud_log_append_seconds_bucket{le="0.1"}': "0+100x240",
            'fraud_log_append_seconds_bucket{le="0.5"}': "0+100x240",
            'fraud_log_append_seconds_bucket{le="+Inf"}': "0+100x240",
        },
        after=20,
        before=8,
    ),
    gauge("FraudEntitiesFull", 'fraud_entities{entity="card"}', 1_000, 999, 3, 0, fraud_entities_max=1_000),
    gauge(
        "FraudEntitiesFilling", 'fraud_entities{entity="card"}', 901, 900, 32, 28, fraud_entities_max=1_000
    ),
    gauge("FraudDiskFull", "fraud_disk_free_bytes", 5e8, 6e8, 3, 0, fraud_disk_size_bytes=1e9),
    gauge("FraudDiskFilling", "fraud_disk_free_bytes", 0.9e11, 1.1e11, 40, 20, fraud_disk_size_bytes=1e12),
    Case(
        "FraudDiskFilling",
        # Two fifths are free, and none will be in 28 hours; or in two weeks.
        {"fraud_disk_free_bytes": "400000000000-200000000x240", "fraud_disk_size_bytes": steady(1e12)},
        {"fraud_disk_free_bytes": "400000000000-20000000x240", "fraud_disk_size_bytes": steady(1e12)},
        after=60,
        before=20,
    ),
    gauge("FraudLabelsWaiting", "fraud_labels_waiting", 10_001, 10_000, 70, 50),
    Case(
        # Each service has thresholds of its own.
        "FraudLabelsWaiting",
        {"fraud_labels_waiting": steady(10_001)},
        {
            "fraud_labels_waiting": steady(10_001),
            'fraud_alarm_threshold{alarm="labels_waiting", job="fraud-retrainer"}': steady(20_000),
        },
        after=70,
        before=50,
    ),
)

CHAMPION: Final = (
    gauge("FraudChampionTainted", 'fraud_tainted_champion{model="card"}', 1, 0, 7, 3),
    Case(
        "FraudProbationRollback",
        {
            'fraud_ledger_rollbacks_total{model="card"}': "0+0x10 1+0x100",
            'fraud_probation_active{model="card"}': "1+0x10 0+0x100",
        },
        {
            'fraud_ledger_rollbacks_total{model="card"}': "0+0x10 1+0x100",
            'fraud_probation_active{model="card"}': "0+0x110",
        },
        after=12,
        before=9,
    ),
    Case(
        "FraudRolledBack",
        {
            'fraud_ledger_rollbacks_total{model="card"}': "0+0x10 1+0x100",
            'fraud_probation_active{model="card"}': "0+0x110",
        },
        {
            'fraud_ledger_rollbacks_total{model="card"}': "0+0x10 1+0x100",
            'fraud_probation_active{model="card"}': "1+0x10 0+0x100",
        },
        after=12,
        before=9,
    ),
    Case(
        "FraudAwaitingApproval",
        {'fraud_awaiting_approval_versions{model="card"}': steady(1)},
        {'fraud_awaiting_approval_versions{model="card"}': "1+0x50 0+0x200"},
        after=65,
        before=55,
    ),
    gauge(
        "FraudExplorationSpent",
        'fraud_exploration_left_minor{model="card"}',
        4,
        6,
        12,
        8,
        **{'fraud_exploration_enabled{model="card"}': 1, 'fraud_exploration_spent_minor{model="card"}': 96},
    ),
    gauge("FraudChampionStale", 'fraud_champion_age_seconds{model="card"}', 61 * 86_400, 59 * 86_400, 70, 50),
)
