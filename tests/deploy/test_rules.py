"""Alert rules: what they ask for exists, each fires and stays silent when it should, each has its section."""

import inspect
import re
import shutil
import subprocess

import pytest

from deploy.prometheus.cases import CASES, FOLDER, THRESHOLDS, files
from fraud.monitoring import alarming
from fraud.monitoring.names import METRICS
from fraud.monitoring.retrainer_metrics import RetrainerMetrics
from fraud.monitoring.scorer_metrics import ScorerMetrics
from fraud.monitoring.scrape import HEARTBEAT
from fraud.settings.monitoring import Alarms
from tests.deploy.known import (
    DEPLOY,
    RULES,
    alarm_names,
    alerts,
    dashboards,
    faults,
    panels,
    processes_of,
    rules,
)
from tests.deploy.promql import selectors

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian package prometheus)"
)


def promtool(*arguments: str) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_prometheus_accepts_configuration_and_rules() -> None:
    promtool("check", "config", "--syntax-only", str(DEPLOY / "prometheus" / "prometheus.yml"))
    promtool("check", "rules", *(str(path) for path in sorted(RULES.glob("*.yml"))))


@needs_promtool
def test_every_alert_fires_when_it_should_and_not_sooner_or_for_less() -> None:
    promtool("test", "rules", *(str(path) for path in files()))


def test_every_alert_is_tried() -> None:
    assert {case.alert for case in CASES} == set(alerts())
    held = {name for name, rule in alerts().items() if rule.get("for")}
    assert {case.alert for case in CASES if case.before is not None} >= held
    written = {path: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.yml")}
    assert written == files(), "run python -m deploy.prometheus.cases"


def test_what_the_cases_play_exists() -> None:
    assert [fault for case in CASES for name in (*case.bad, *case.good) for fault in faults(name)] == []


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_what_a_rule_asks_for_exists(rule: dict[str, str]) -> None:
    assert list(faults(rule["expr"])) == []


def test_faults_are_seen() -> None:
    assert list(faults("fraud_queue_rowz > 1")) == ["no series fraud_queue_rowz"]
    assert list(faults('fraud_queue_rows{model="card"}')) == ["fraud_queue_rows has no label model"]
    assert list(faults('fraud_realised_recall{bound="low"}')) == ["bound is never 'low'"]
    assert list(faults("sum by (shop) (fraud_queue_rows)")) == ["nothing has a label shop to group by"]


def joined_by_instance(expr: str) -> bool:
    """Tell whether series that no process shows together are brought together by the instance of one."""
    apart = not frozenset.intersection(frozenset(("scorer", "retrainer")), *processes_of(expr))
    joins = re.findall(r"\b(?:on|ignoring)\s*\(([^)]*)\)", expr)
    return apart and (not joins or any("instance" in join or "job" in join for join in joins))


def test_nothing_joins_scorer_and_retrainer_by_their_instance() -> None:
    asked = [rule["expr"] for rule in rules()]
    asked += [
        target["expr"]
        for board in dashboards().values()
        for panel in panels(board)
        for target in panel["targets"]
    ]
    assert [expr for expr in asked if joined_by_instance(expr)] == []
    across = [expr for expr in asked if len(set(processes_of(expr))) > 1]
    assert len(across) >= 2, "rollbacks and probations"
    wrong = alerts()["FraudRolledBack"]["expr"].replace("service", "instance")
    assert joined_by_instance(wrong)
    assert joined_by_instance("fraud_queue_rows > fraud_archive_lag_events")


def test_what_is_summed_keeps_the_service_by_which_alerts_are_muted() -> None:
    kept = [names for rule in rules() for names in re.findall(r"\bby \(([^)]*)\)", rule["expr"])]
    assert len(kept) > 8
    assert [names for names in kept if "service" not in names.split(", ")] == []


def test_what_alerts_take_the_rise_of_is_there_before_its_first_time() -> None:
    """A counter that appears with its first event does not rise from 0."""
    scorer = ScorerMetrics(["card"], ["analyst"])
    scorer.call("fraud.v1.ScoringService", "Score")
    kept = {
        sample.name
        for registry in (scorer.registry, RetrainerMetrics().registry)
        for family in registry.collect()
        for sample in family.samples
    }
    counters = {name for metric in METRICS if metric.kind == "counter" for name in metric.series}
    met = {
        selector.name
        for rule in rules()
        for asked in re.findall(r"(?:increase|rate)\((\w+(?:\{[^}]*\})?)\[", rule["expr"])
        for selector in selectors(asked)
    }
    assert {"fraud_swaps_total", "fraud_limits_total", "fraud_rule_failures_total"} <= met
    # `LoopWatch` begins with those that the ledger counts.
    assert (met & counters) - kept == {"fraud_ledger_rollbacks_total"}


def test_fraud_status_takes_the_same_for_errors_and_for_full() -> None:
    errors = next(
        rule["expr"] for rule in rules() if rule.get("record") == "method:grpc_server_errors:rate5m"
    )
    codes = re.search(r'grpc_code=~"([^"]*)"', errors)
    assert codes is not None
    assert set(codes[1].split("|")) == set(alarming.ERRORS)
    assert alerts()["FraudEntitiesFilling"]["expr"].endswith(f" > {alarming.ENTITIES_SHARE}")


def test_thresholds_are_those_of_the_configuration() -> None:
    asked = {
        value
        for rule in rules()
        for selector in selectors(rule["expr"])
        for label, _, value in selector.matchers
        if label == "alarm"
    }
    assert asked >= {"decay", "alert_ratio", "latency_seconds"}
    assert asked <= alarm_names()
    defaults = Alarms()
    for alarm, value in THRESHOLDS.items():
        name = alarm.removesuffix("_seconds")
        given = getattr(defaults, name)
        assert value == (given / 1e6 if name != alarm else given), alarm


def test_fallbacks_are_the_defaults() -> None:
    expr = next(rule["expr"] for rule in rules() if rule.get("record") == "alarm:fraud_alarm_threshold:max")
    found = re.findall(r'\(([\d. *]+) \* group by \(service\) \(up\{[^}]*\}\), "alarm", "(\w+)"', expr)
    assert len(found) >= 7
    for spelt, alarm in found:
        factors = [float(factor) for factor in spelt.split("*")]
        product = factors[0] * (factors[1] if len(factors) > 1 else 1)
        name = alarm.removesuffix("_seconds")
        given = getattr(Alarms(), name)
        assert product == pytest.approx(given / 1e6 if name != alarm else given), alarm


def test_fraud_status_knows_alerts_by_the_same_names_and_severities() -> None:
    source = inspect.getsource(alarming)
    told = dict(re.findall(r'"(Fraud[A-Z]\w+)",\s*"(page|ticket|notice)"', source))
    assert len(told) > 10
    assert told == {name: alerts()[name]["labels"]["severity"] for name in told}


@pytest.mark.parametrize("alert", sorted(alerts()))
def test_every_alert_says_how_grave_it_is_and_what_to_do(alert: str) -> None:
    rule = alerts()[alert]
    assert rule["labels"]["severity"] in ("page", "ticket", "notice", HEARTBEAT)
    assert {"summary", "description", "runbook"} == set(rule["annotations"])
    assert rule["annotations"]["runbook"] == f"deploy/runbook.md#{alert.lower()}"
    named = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
    assert not named - {
        "model",
        "source",
        "check",
        "figure",
        "window",
        "part",
        "kind",
        "pattern",
        "grpc_method",
        "entity",
        "job",
        "what",
    }
