"""Which series exist, with which labels and which of their values: the table of names, and recorded ones."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from fraud.monitoring.names import ACCESS, BOUNDS, METRICS, OTHER
from fraud.monitoring.scorer_metrics import GRPC_CODES, LIMITS
from fraud.records import LabelValue, Outcome
from fraud.settings.monitoring import Alarms
from tests.deploy.promql import grouped, kept_by, selectors

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus" / "rules"
ANYWHERE = {"service", "job", "instance"}
UPKEEP_FAILED = "FraudUpkeepFailed"
"""The alert that a unit sends by itself, without a rule."""
FOREIGN: dict[str, set[str]] = {
    "up": set(),
    "ALERTS": {"alertname", "alertstate", "severity", "model"},
    "process_cpu_seconds_total": set(),
    "process_resident_memory_bytes": set(),
    "process_start_time_seconds": set(),
    "prometheus_notifications_dropped_total": set(),
    "prometheus_rule_evaluation_failures_total": {"rule_group"},
    "alertmanager_notifications_failed_total": {"integration"},
}
"""Series that are Prometheus' or Alertmanager's own, or of the process collector."""

VALUES: dict[str, set[str]] = {
    "bound": set(BOUNDS),
    "outcome": {outcome.name for outcome in Outcome},
    "grpc_code": set(GRPC_CODES),
    "limit": {*LIMITS, OTHER},
    "what": set(ACCESS),
    "value": {value.name for value in LabelValue},
    "job": {"fraud-scorer", "fraud-retrainer", "prometheus", "alertmanager"},
    "figure": {"recall", "average_precision", "value_detection"},
    "subject": {"decisions", "champion", "first"},
    "alertstate": {"firing"},
}
"""Values that a matcher may ask for, where code and not the configuration says which there are."""


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@cache
def rules() -> list[dict[str, Any]]:
    """Every rule of every file."""
    return [
        rule
        for path in sorted(RULES.glob("*.yml"))
        for group in read_yaml(path)["groups"]
        for rule in group["rules"]
    ]


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def processes_of(expr: str) -> list[frozenset[str]]:
    """For each series of ours that an expression asks for, who shows it; recorded ones by their inputs."""
    inputs = {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}
    shown = {name: frozenset(metric.processes) for metric in METRICS for name in metric.series}
    found = []
    for selector in selectors(expr):
        if selector.name in inputs:
            found += processes_of(inputs[selector.name])
        elif selector.name in shown:
            found.append(shown[selector.name])
    return found


@cache
def series() -> dict[str, frozenset[str]]:
    """Every series that may be asked for, with its labels."""
    known: dict[str, frozenset[str]] = {name: frozenset(labels) for name, labels in FOREIGN.items()}
    for metric in METRICS:
        for name in metric.series:
            known[name] = frozenset({*metric.labels, *({"le"} if name.endswith("_bucket") else ())})
    for rule in rules():
        if "record" in rule:
            known[rule["record"]] = frozenset(_recorded(rule["expr"], known))
    return known


def _recorded(expr: str, known: dict[str, frozenset[str]]) -> set[str]:
    kept = kept_by(expr)
    found = {label for selector in selectors(expr) for label in known.get(selector.name, frozenset())}
    return {*found} if kept is None else kept


def faults(expr: str) -> Iterator[str]:
    """Say what an expression asks for that does not exist."""
    labels: set[str] = set(ANYWHERE)
    for selector in selectors(expr):
        known = series().get(selector.name)
        if known is None:
            yield f"no series {selector.name}"
            continue
        labels |= known
        for label, operator, value in selector.matchers:
            if label not in known | ANYWHERE:
                yield f"{selector.name} has no label {label}"
            elif label in VALUES and "$" not in value:
                asked = value.split("|") if operator in ("=~", "!~") else [value]
                yield from (f"{label} is never {one!r}" for one in asked if not _matches(label, one))
    yield from (f"nothing has a label {label} to group by" for label in grouped(expr) - labels)


def _matches(label: str, pattern: str) -> bool:
    return any(re.fullmatch(pattern, value) for value in VALUES[label])


def alarm_names() -> set[str]:
    """Settings of [monitoring.alarms], with their unit where it is a duration."""
    return {*Alarms.model_fields, *(f"{name}_seconds" for name in Alarms.model_fields)}


def dashboards() -> dict[str, dict[str, Any]]:
    folder = DEPLOY / "grafana" / "dashboards"
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Panels of a dashboard; rows are left out."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]
