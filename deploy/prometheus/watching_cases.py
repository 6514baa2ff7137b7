"""Cases of the alerts on the watching itself, by series of Prometheus and Alertmanager."""

from typing import Final

from deploy.prometheus.case import Case, gauge, steady

_NOT_SENT: Final = 'alertmanager_notifications_failed_total{job="alertmanager", integration="webhook"}'
_DROPPED: Final = 'prometheus_notifications_dropped_total{job="prometheus"}'
_NOT_EVALUATED: Final = (
    'prometheus_rule_evaluation_failures_total{job="prometheus", rule_group="fraud-scorer"}'
)

WATCHING: Final = (
    gauge("Heartbeat", 'up{job="prometheus"}', 1, 0, 1, None),
    # Again and again, or once.
    Case("FraudAlertsNotSent", {_NOT_SENT: "0+1x60"}, {_NOT_SENT: "0+0x10 1+0x50"}, after=15, before=8),
    Case("FraudAlertsNotSent", {_DROPPED: "0+1x60"}, {_DROPPED: steady(3)}, after=15, before=8),
    gauge("FraudAlertsNotSent", 'up{job="alertmanager"}', 0, 1, 12, 8),
    Case(
        "FraudAlertsNotEvaluated", {_NOT_EVALUATED: "0+1x60"}, {_NOT_EVALUATED: steady(3)}, after=15, before=8
    ),
)
