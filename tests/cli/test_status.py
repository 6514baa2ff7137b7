"""`fraud status`: from the ledger alone, from both endpoints, and what a Prometheus says."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from fraud.cli.main import run
from fraud.cli.times import format_time
from fraud.clock import DAY_US, HOUR_US
from fraud.monitoring.endpoint import serve_metrics
from fraud.monitoring.scorer_metrics import ScorerMetrics
from fraud.retrainer.daemon import open_workshop
from fraud.retrainer.watching import Monitor
from fraud.settings import load_settings
from tests.retrainer.answering import EAGER, Scoring, answering


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scoring]:
    opened = answering(tmp_path_factory.mktemp("status"))
    yield opened
    opened.close()


def look(config: Path, capsys: pytest.CaptureFixture[str], *arguments: str, output: str = "json") -> Any:
    capsys.readouterr()
    assert run(["--config", str(config), "--output", output, "status", *arguments]) == 0
    told = capsys.readouterr().out
    return json.loads(told) if output == "json" else told


@contextmanager
def running(world: Scoring, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Both endpoints, as the two processes would serve them."""
    shop = open_workshop(load_settings(world.config, EAGER))
    shop.clock.observe(world.log.last_arrival_us())
    shop.copy()
    monitor = Monitor(shop)
    monitor.observe()
    monitor.turn()
    scorer = ScorerMetrics(["card", "transfer"], ["customer"])
    scorer.champion("card", "card-2")
    scorer.taint("card", 1, champion=True)
    exporters = [serve_metrics(it, "127.0.0.1", 0) for it in (scorer.registry, shop.metrics.registry)]
    for name, exporter in zip(("SCORER", "RETRAINER"), exporters, strict=True):
        monkeypatch.setenv(f"FRAUD__MONITORING__{name}_PORT", str(exporter.port))
    for name, text in EAGER.items():
        monkeypatch.setenv(name, text)
    yield
    for exporter in exporters:
        exporter.close()


def test_without_a_ledger_it_says_that_nothing_has_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "fraud.toml"
    config.write_text("[schema.entities.card]\n[models.card]\n")
    assert run(["--config", str(config), "status"]) == 1
    assert "no ledger yet" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_what_is_not_running_is_named_and_the_ledger_is_shown_all_the_same(
    world: Scoring, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("FRAUD__MONITORING__SCORER_PORT", str(port))
    document = look(world.config, capsys)
    assert f"nothing answers at 127.0.0.1:{port}" in document["processes"]["scorer"]["why_not"]
    assert "retrainer_port = -1 (off)" in document["processes"]["retrainer"]["why_not"]
    card, transfer = document["models"]
    assert (card["champion"], card["serves"], card["quality"]) == ("card-2", None, [])
    assert transfer["champion"] == ""
    assert document["loop"][0]["promotions"] == 2
    assert document["reaction"]["last"] is None
    assert document["reaction"]["emergencies"]["enabled"] is False
    assert {alarm["name"] for alarm in document["alarms"]} == {"FraudScorerDown"}, "the other is off"


def test_both_endpoints_make_one_screen(
    world: Scoring, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(world, monkeypatch):
        document = look(world.config, capsys)
        screen = look(world.config, capsys, output="table")
    assert all(process["answers"] for process in document["processes"].values())
    card = document["models"][0]
    assert card["serves"] == "card-2"
    rows = {(row["window"], row["subject"]): row for row in card["quality"]}
    assert set(rows) == {
        (window, who) for window in ("6d", "12d") for who in ("decisions", "champion", "first")
    }
    champion, first = (rows["6d", who]["recall"][0] for who in ("champion", "first"))
    assert card["gain"]["6d"][0] == pytest.approx(champion - first)
    assert card["traffic"]["findings"] == {"features": 0, "scores": 0, "alerts": 0}
    assert {(it["pattern"], it["finding"]) for it in card["traffic"]["probing"]} == {
        *(("ladder", False), ("trial", False), ("declines", False), ("small", False))
    }
    assert {feed["source"] for feed in document["feeds"]} >= {"customer"}
    (alarm,) = (it for it in document["alarms"] if it["severity"] == "page")
    assert alarm["name"] == "FraudChampionTainted"
    for word in (
        "card-2",
        "Champion",
        "Quality of card",
        "Recent traffic",
        "Label feeds",
        "Loop",
        "Why it retrains",
        "nobody",
        "Alarming now",
    ):
        assert word in screen


def test_what_a_prometheus_fires_is_shown_instead(world: Scoring, capsys: pytest.CaptureFixture[str]) -> None:
    alerts = [
        {
            "labels": {"alertname": "FraudDecay", "severity": "ticket"},
            "state": "firing",
            "annotations": {"summary": "card has lost recall"},
        }
    ]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/api/v1/alerts"
            body = json.dumps({"status": "success", "data": {"alerts": alerts}}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        (found,) = look(world.config, capsys, "--prometheus", url)["prometheus"]
        screen = look(world.config, capsys, "--prometheus", url, output="table")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert (found["name"], found["state"]) == ("FraudDecay", "firing")
    assert "card has lost recall" in screen
    assert run(["--config", str(world.config), "status", "--prometheus", url]) == 1
    assert "no Prometheus answers there" in capsys.readouterr().err
    assert run(["--config", str(world.config), "status", "--prometheus", "localhost:9090"]) == 2


def test_why_the_last_cycle_started_and_what_emergencies_may_use_yet(
    world: Scoring, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now_us = world.log.last_arrival_us()
    for age, trigger in ((8 * DAY_US, "misses"), (DAY_US, "probing"), (0, "schedule")):
        body = {"request_seq": None, "models": ["card"], "cut_position": 1, "trigger": trigger}
        world.ledger.append("CycleStarted", body, actor="t", reason=f"{trigger}!", time_us=now_us - age)
    monkeypatch.setenv("FRAUD__TRAINING__TRIGGERS__MISSES__LEAST", "15")
    reaction = look(world.config, capsys)["reaction"]
    assert (reaction["last"]["trigger"], reaction["last"]["why"]) == ("schedule", "schedule!")
    assert reaction["last"]["ended"] == "unfinished"
    emergencies = reaction["emergencies"]
    assert (emergencies["used"], emergencies["left"], emergencies["within"]) == (1, 1, "7d")
    assert emergencies["next_from"] == format_time(now_us + 6 * HOUR_US), "the hold-down of the last cycle"
    assert "schedule!" in look(world.config, capsys, output="table")
