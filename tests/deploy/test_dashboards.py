"""Dashboards: as their code makes them, valid for Grafana, asking only for what exists, and readable."""

import itertools
import json
import re
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.build import BOARDS
from tests.deploy.known import DEPLOY, alerts, dashboards, faults, panels, read_yaml, series
from tests.deploy.promql import kept_by, selectors

ALL = dashboards()
PANELS = [(name, panel) for name, board in ALL.items() for panel in panels(board)]
VARIABLES = {"datasource", "model", "window"}
BUILT_IN = {"__rate_interval"}
MET = {name for rule in alerts().values() for name in [s.name for s in selectors(rule["expr"])]}


def ids(case: object) -> str:
    return (
        str(case) if isinstance(case, str) else str(case.get("title", "")) if isinstance(case, dict) else ""
    )


def test_the_files_are_what_the_code_makes() -> None:
    written = {
        path.name: path.read_text(encoding="utf-8")
        for path in (DEPLOY / "grafana" / "dashboards").glob("*.json")
    }
    assert written == {name: board.to_json() for name, board in BOARDS.items()}, "run make dashboards"


@pytest.mark.parametrize("name", sorted(ALL))
def test_grafana_reads_them_back_as_they_are(name: str) -> None:
    """Whatever the schema of the library does not know would be lost on the way."""
    register_default_plugins()
    given = ALL[name]
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(json.loads(json.dumps(given)))))
    for mark in given["annotations"]["list"]:
        for beyond in ("titleFormat", "textFormat", "tagKeys", "step", "useValueForTime"):
            del mark[beyond]
    assert read == given


def test_no_two_share_their_id() -> None:
    assert len({board["uid"] for board in ALL.values()}) == len(ALL) == 4
    for board in ALL.values():
        numbers = [panel["id"] for panel in board["panels"]]
        assert len(set(numbers)) == len(numbers)
        titles = [panel["title"] for panel in panels(board)]
        assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("name", sorted(ALL))
def test_no_two_panels_overlap(name: str) -> None:
    for one, other in itertools.combinations(ALL[name]["panels"], 2):
        a, b = one["gridPos"], other["gridPos"]
        apart = (
            a.get("x", 0) + a["w"] <= b.get("x", 0)
            or b.get("x", 0) + b["w"] <= a.get("x", 0)
            or a["y"] + a["h"] <= b["y"]
            or b["y"] + b["h"] <= a["y"]
        )
        assert apart, (one["title"], other["title"])
        assert a.get("x", 0) + a["w"] <= 24


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=ids)
def test_a_panel_asks_for_what_exists_and_names_it(name: str, panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        expr, legend = target["expr"], target["legendFormat"]
        assert list(faults(expr)) == []
        used = set(re.findall(r"\$\{?(\w+)", expr))
        assert used <= VARIABLES | BUILT_IN
        declared = {variable["name"] for variable in ALL[name]["templating"]["list"]}
        assert used - BUILT_IN <= declared
        labels = kept_by(expr)
        if labels is None:
            labels = {label for selector in selectors(expr) for label in series()[selector.name]}
        assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= labels | {"job", "instance"}
        assert target["datasource"]["uid"] == "${datasource}"


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=ids)
def test_a_panel_says_what_to_do_when_it_is_bad(name: str, panel: dict[str, Any]) -> None:
    del name
    text = panel["description"]
    assert "When it is bad:" in text
    assert set(re.findall(r"\bFraud[A-Z]\w+", text)) <= set(alerts()), "an alert that does not exist"
    if panel["type"] in ("timeseries", "stat"):
        assert panel["fieldConfig"]["defaults"]["unit"]


def test_what_alerts_look_at_can_be_looked_at() -> None:
    shown = {
        selector.name
        for _, panel in PANELS
        for target in panel["targets"]
        for selector in selectors(target["expr"])
    }
    inputs = {
        rule["record"]: {selector.name for selector in selectors(rule["expr"])}
        for rule in read_yaml(DEPLOY / "prometheus" / "rules" / "recording.yml")["groups"]
        for rule in rule["rules"]
    }
    shown |= {name for record in shown for name in inputs.get(record, ())}
    thresholds = {"alarm:fraud_alarm_threshold:max"}
    unseen = {name for name in MET - shown - thresholds if not (inputs.get(name, set()) & shown)}
    assert unseen == set()


def test_promotions_and_rollbacks_are_marks_on_every_graph() -> None:
    for board in ALL.values():
        marks = {mark["name"]: mark for mark in board["annotations"]["list"]}
        assert {"promotions", "rollbacks", "alerts"} <= set(marks)
        for mark in marks.values():
            assert list(faults(mark["expr"])) == []


def test_provisioning_finds_dashboards_and_source() -> None:
    provided = read_yaml(DEPLOY / "grafana" / "provisioning" / "dashboards" / "fraud.yml")["providers"][0]
    source = read_yaml(DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yml")["datasources"][
        0
    ]
    mounts = read_yaml(DEPLOY / "compose.yaml")["services"]["grafana"]["volumes"]
    assert f"./grafana/dashboards:{provided['options']['path']}:ro" in mounts
    assert source["type"] == "prometheus"
    assert source["url"] == "http://prometheus:9090"
