"""A real Prometheus watches a real service: it decays, the alert fires, the retrain clears it.

    ten days of one fraud → card-1 → eight days of another → FraudDecay → retrain → card-2 → silence
                                                   every panel of every dashboard has data in that run

Time is the payments', so the days take seconds; hold-downs are shortened to a second,
and alerts that compare with the wall clock mean nothing here.
"""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.prometheus import Prometheus, is_installed, prometheus
from fraud.adversary.stage import free_port
from fraud.client import Client
from fraud.clock import DAY_US
from fraud.errors import NotFound
from fraud.records import Label, LabelValue
from fraud.v1 import policy_pb2, scoring_pb2
from fraud.v1.transaction_pb2 import Transaction
from tests.deploy.known import dashboards, panels
from tests.process.test_loop import FINISHED, retraining, wait_for
from tests.serving.worlds import Stream, serving, settings_in, train_at_once
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not is_installed(), reason="Prometheus is not installed (Debian package prometheus)"),
]

ROWS = 400
PATIENCE_S = 180.0
POLICY = """
[models.card.policy]
review = { share = 0.06 }
decline = { share = 0.01 }
[models.card.policy.exploration]
rate = 0.2
key = "a key of enough letters"
amount_max_minor = 100000
budget_minor = 200000
"""
MONITORING = """
[gate.probation]
length = "7d"
[monitoring]
scorer_port = {scorer}
retrainer_port = {retrainer}
quality_windows = ["3d", "7d"]
quality_every = "1s"
traffic_every = "1s"
cohorts = 2
[monitoring.drift]
rows_min = 200
"""
LARGE = policy_pb2.Rule(name="large", when="amount >= 850", outcome=scoring_pb2.REVIEW, text="large")
EMPTY = {
    "Access ends in": "neither TLS nor identities",
    "Rules that failed or were refused": "no rule fails",
    "Findings by check": "only while the guard finds something",
    "Separate misses confirmed": "no emergency trigger is set",
    "Fraud value lost, at least": "no emergency trigger is set",
    "Alerts that were not sent or evaluated": "Prometheus scrapes neither itself nor an Alertmanager here",
    "Evidence on probation": "only once both sides have scored matured payments",
    "Restated since the week had matured": "only once a whole week has matured",
    "Frauds added since the week had matured": "only once a whole week has matured",
    "Recall by week of payment": "only once a whole week has matured",
}
"""Panels that may be empty in this run, each with its reason."""


class Decaying(Stream):
    """Frauds are large; after `change` they are ordinary amounts, far away from the customer."""

    change = False

    def next(self, *, model: str = "card", step_us: int = 60_000_000) -> Transaction:
        """Return the next payment."""
        before = len(self.frauds)
        wire = super().next(model=model, step_us=step_us)
        is_fraud = len(self.frauds) > before
        wire.ClearField("numerics")
        wire.entities["device"] = f"d{self.random.randrange(150)}"
        wire.numerics["distance"] = self.random.random() * 50
        if is_fraud and self.change:
            wire.amount_minor = self.random.randrange(100, 20_000)
            wire.numerics["distance"] = self.random.randrange(300, 900)
        return wire


def play(client: Client, stream: Decaying, days: int) -> None:
    """Score some days; every quarter day the frauds of the one before are labelled."""
    waiting: list[Transaction] = []
    for _ in range(days * 4):
        before = len(stream.frauds)
        for _ in range(2):
            for result in client.score_batch(stream.take(ROWS // 8, step_us=2 * DAY_US // ROWS)):
                assert result.HasField("decision"), result.error
        if waiting:
            told = [Label(wire.transaction_id, LabelValue.FRAUD, stream.now_us) for wire in waiting]
            client.submit_labels(f"part-{stream.count}", 0, "chargeback", "bank", told)
        waiting = stream.frauds[before:]


def configure(folder: Path) -> dict[str, list[str]]:
    """Write the configuration and return where each job is scraped."""
    settings_in(folder)
    train_at_once(folder)
    path = folder / "fraud.toml"
    ports = {"scorer": free_port(), "retrainer": free_port()}
    text = path.read_text(encoding="utf-8").partition("[monitoring]")[0] + MONITORING.format(**ports)
    text = text.replace("[models.card.policy]\nreview = { share = 0.03 }\n", POLICY)
    text = text.replace('calibration = "2d"\nevidence = "3d"', 'calibration = "1d"\nevidence = "2d"')
    text = text.replace("cpus = 1\n", 'cpus = 1\narchive_every = "300ms"\n')
    text = text.replace("alert_share = 0.03", "alert_share = 0.06\nrisk_rows_min = 100000")
    path.write_text(text, encoding="utf-8")
    return {f"fraud-{name}": [f"127.0.0.1:{port}"] for name, port in ports.items()}


def retrain(client: Client, why: str) -> None:
    reply = wait_for(client, client.trigger_retrain("card", why, "test"))
    assert reply.state == FINISHED, reply.text


def value(watch: Prometheus, expr: str) -> float:
    """The one value of an expression, NaN where there is none."""
    found = watch.query(expr)
    return found[0][1] if found else float("nan")


def substituted(expr: str) -> str:
    """What Grafana asks for with every model, the longer window, and scrapes once a second."""
    for name, given in (("$model", ".*"), ("$window", "7d"), ("$__rate_interval", "1m")):
        expr = expr.replace(name, given)
    return expr


def without_data(watch: Prometheus, since_s: float) -> set[str]:
    """The panels a query of which returns nothing over the run; a refused one is an error."""
    return {
        panel["title"]
        for board in dashboards().values()
        for panel in panels(board)
        for target in panel["targets"]
        if not watch.over(substituted(target["expr"]), since_s, time.time(), 1)
    }


def test_it_decays_the_alert_fires_and_the_retrain_clears_it(tmp_path: Path) -> None:
    targets = configure(tmp_path)
    stream, since_s = Decaying(seed=5), time.time()
    with (
        serving(tmp_path) as process,
        process.client() as client,
        retraining(tmp_path),
        prometheus(tmp_path / "prometheus", targets, hold="1s") as watch,
    ):
        fires: Callable[[], bool] = lambda: "FraudDecay" in watch.firing()  # noqa: E731
        play(client, stream, days=10)
        retrain(client, "first champion")
        play(client, stream, days=4)
        wait_until(lambda: value(watch, _recall("champion")) > 0.7, "quality of the first champion")
        assert not fires()

        assert client.set_rules("card", [LARGE], actor="test", reason="to see it counted").applied
        stream.change = True
        play(client, stream, days=8)
        wait_until(fires, "FraudDecay fires")
        wait_until(lambda: value(watch, _recall("champion")) < 0.5, "decay of the champion")

        with pytest.raises(NotFound):
            client.get_version("card-77")
        retrain(client, "decay")
        assert client.get_champion("card").version == "card-2"
        play(client, stream, days=4)
        wait_until(lambda: not fires(), "FraudDecay is over")
        wait_until(lambda: value(watch, _recall("champion")) > 0.7, "quality of the second champion")
        wait_until(lambda: value(watch, _recall("first")) < 0.5, "decay of the first champion")
        # One that a slow scrape has raised is over with the next.
        broken = {"FraudScorerDown", "FraudRetrainerDown", "FraudRetrainFailing", "FraudEventsDropped"}
        wait_until(lambda: broken.isdisjoint(watch.firing()), "nothing is broken")
        end = time.monotonic() + PATIENCE_S
        while (missing := without_data(watch, since_s) - set(EMPTY)) and time.monotonic() < end:
            play(client, stream, days=1)  # rates need calls on both sides of a scrape
        assert missing == set()


def _recall(subject: str) -> str:
    return f'fraud_realised_recall{{subject="{subject}", bound="point", window="3d"}}'
