import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from fraud.adversary.demo import run
from fraud.adversary.figures import Plan
from fraud.adversary.incident import OPERATOR, PROCESSOR
from fraud.eventlog.folder import open_log
from fraud.records import LabelsSubmitted
from fraud.registry.store import LedgerStore
from fraud.settings import load_settings

PLAN = Plan(
    seed=11,
    days=20,
    first_day=15,
    bought_day=16,
    audit_day=17,
    file_day=17,
    transactions=600,
    cards=500,
    merchants=80,
    stolen=5.0,
)


@pytest.mark.process
def test_a_short_demo_plays_gang_bought_analyst_bad_file_and_operator(tmp_path: Path) -> None:
    told = io.StringIO()
    out = tmp_path / "demo"
    result = run(out, output_json=False, console=Console(file=told, width=140), plan=PLAN)

    assert result.problems == ()
    assert result.failed == ()
    assert result.logged == result.payments == sum(day.honest + day.frauds for day in result.service.days)
    assert result.alike > 400
    first = next(day.day for day in result.days if day.champion)
    assert first >= PLAN.first_day
    assert [day.lost_minor for day in result.service.days[: first + 1]] == [
        day.lost_minor for day in result.never.days[: first + 1]
    ]
    audit = result.repairs[0]
    assert (audit.day, audit.labels > 0) == (PLAN.audit_day, True)
    assert "froze" in told.getvalue()
    assert any(repair.day == PLAN.file_day + 1 and PROCESSOR in repair.why for repair in result.repairs)
    _the_ledger_agrees(out, result.count("promotion"), len(result.repairs))

    figures = json.loads((out / "figures.json").read_text(encoding="utf-8"))
    assert figures["service"]["days"][-1]["lost_minor"] == result.service.days[-1].lost_minor
    assert (out / "report.html").read_text(encoding="utf-8").count("<svg") == 3
    assert result.days[-1].date in told.getvalue()


def _the_ledger_agrees(out: Path, promotions: int, repairs: int) -> None:
    settings = load_settings(out / "fraud.toml", {})
    ledger = LedgerStore.open(settings.places.ledger, writable=False)
    log = open_log(settings)
    try:
        entries = list(ledger.read(0))
        submitters = {
            entry.event.submitter
            for entry in log.read(0, 100_000)
            if isinstance(entry.event, LabelsSubmitted)
        }
    finally:
        ledger.close()
        log.close()
    assert sum(entry.kind == "Promoted" for entry in entries) == promotions
    excluded = [entry for entry in entries if entry.kind == "DataExcluded"]
    assert [entry.actor for entry in excluded] == [OPERATOR] * repairs
    assert {PROCESSOR, "analyst-17", "chargeback", "analyst"} <= submitters
