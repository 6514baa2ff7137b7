"""The loop with real parts: score, label, retrain on Ray, gate, promote, hot swap."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fraud.client import Client
from fraud.eventlog.folder import open_log
from fraud.records import Applied, Label, LabelValue
from fraud.registry.ledger import RegistryState
from fraud.registry.store import LedgerStore
from fraud.settings import load_settings
from fraud.v1 import models_pb2, scoring_pb2
from tests.serving.worlds import Process, Stream, serving
from tests.waiting import wait_until

pytestmark = pytest.mark.process

WATCH = """
import sys
from pathlib import Path
from fraud.retrainer.daemon import watch
from fraud.settings import load_settings
watch(load_settings(Path(sys.argv[1]), {}))
"""
FINISHED = models_pb2.GetRetrainResponse.FINISHED
FAILED = models_pb2.GetRetrainResponse.FAILED


def start_retrainer(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WATCH, str(folder / "fraud.toml")], env=os.environ)


@contextmanager
def retraining(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    child = start_retrainer(folder)
    try:
        yield child
    finally:
        child.terminate()
        child.wait(60)


def fill(client: Client, stream: Stream, days: int, rows_a_day: int = 400) -> None:
    """Score some days of payments; each day's frauds are labelled at the end of the next."""
    waiting: list[Label] = []
    for _ in range(days):
        before = len(stream.frauds)
        wires = stream.take(rows_a_day, step_us=2 * 86_400_000_000 // rows_a_day)
        for i in range(0, rows_a_day, 50):
            for result in client.score_batch(wires[i : i + 50]):
                assert result.HasField("decision"), result.error
        if waiting:
            now = [Label(label.transaction_id, label.value, stream.now_us) for label in waiting]
            client.submit_labels(f"day-{stream.count}", 0, "chargeback", "bank", now)
        waiting = [Label(t.transaction_id, LabelValue.FRAUD, 1) for t in stream.frauds[before:]]


def wait_for(client: Client, seq: int, timeout_s: float = 120) -> models_pb2.GetRetrainResponse:
    """Wait until a retrain has ended and what it promoted serves."""
    end = time.monotonic() + timeout_s
    pause = threading.Event()
    while time.monotonic() < end:
        reply = client.get_retrain(seq)
        if reply.state == FAILED or (reply.state == FINISHED and reply.applied):
            return reply
        pause.wait(0.05)
    raise AssertionError(f"retrain {seq} did not end within {timeout_s} s")


class Probe:
    """Scores one payment after the other until told to stop; counts failures."""

    def __init__(self, process: Process) -> None:
        self.failures: list[Exception] = []
        self.versions: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(process,))
        self._thread.start()

    def _run(self, process: Process) -> None:
        stream = Stream(seed=77)
        stream.skip_days(11)
        with process.client() as client:
            while not self._stop.is_set():
                try:
                    self.versions.add(client.score(stream.next(step_us=2)).version)
                except Exception as error:  # noqa: BLE001 — every kind of failure counts
                    self.failures.append(error)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def test_from_nothing_to_a_champion_without_a_failed_request(tmp_path: Path) -> None:
    stream = Stream(seed=5)
    with serving(tmp_path) as process, process.client() as client, retraining(tmp_path):
        fill(client, stream, days=10)
        probe = Probe(process)
        seq = client.trigger_retrain("card", "first champion", "test")
        reply = wait_for(client, seq)
        before = client.score(stream.next())
        probe.stop()
        assert reply.state == FINISHED, reply.text
        assert not probe.failures
        assert probe.versions == {"", "card-1"}, "scored before and after the swap"
        assert [verdict.verdict for verdict in reply.verdicts] == ["PROMOTE"]
        assert before.version == "card-1"
        assert 0 <= before.score <= 1
        assert 0 <= before.risk_score <= 999

        champion = client.get_champion("card")
        assert (champion.version, champion.intended_version) == ("card-1", "card-1")
        assert client.get_champion("card", at_us=stream.frauds[0].event_time_us).version == ""
        assert client.list_versions("card").versions[0].status == "champion"
        version = client.get_version("card-1")
        assert '"PROMOTE"' in version.verdicts_json[0]
        assert '"cut"' in version.manifest_json

        fraud = stream.next()
        while not stream.frauds or stream.frauds[-1] is not fraud:
            fraud = stream.next()
        explained = client.score(fraud, with_reasons=True)
        assert explained.reasons
        assert explained.reasons[0].contribution > 0
        assert client.get_decision(fraud.transaction_id).reasons == explained.reasons

        second = wait_for(client, client.trigger_retrain("card", "again", "test"))
        assert second.state == FINISHED, second.text
        assert {verdict.verdict for verdict in second.verdicts} <= {"PROMOTE", "REJECT", "INCONCLUSIVE"}
        assert process.stop() == 0


def test_a_champion_serves_again_after_a_restart(tmp_path: Path) -> None:
    stream = Stream(seed=6)
    with serving(tmp_path) as process, process.client() as client, retraining(tmp_path):
        fill(client, stream, days=10)
        wait_for(client, client.trigger_retrain("card", "first champion", "test"))
        process.kill()
    with serving(tmp_path) as process, process.client() as client:
        assert client.score(stream.next()).version == "card-1"
        assert client.get_champion("card").version == "card-1"
        process.stop()
    settings = load_settings(tmp_path / "fraud.toml", {})

    log = open_log(settings)
    applied = [entry.event for entry in log.applied()]
    log.close()
    assert [event.version for event in applied if isinstance(event, Applied)] == ["card-1"], "applied once"


def test_a_champion_whose_features_are_taken_out_is_followed_by_the_next_retrain(tmp_path: Path) -> None:
    stream = Stream(seed=9)
    with serving(tmp_path) as process, process.client() as client:
        with retraining(tmp_path):
            fill(client, stream, days=10)
            wait_for(client, client.trigger_retrain("card", "first champion", "test"))
        assert process.stop() == 0
    config = tmp_path / "fraud.toml"
    text = config.read_text(encoding="utf-8")
    assert text.count('windows = ["1h", "24h", "7d"]') == 1
    config.write_text(
        text.replace('windows = ["1h", "24h", "7d"]', 'windows = ["24h", "7d"]'), encoding="utf-8"
    )
    with serving(tmp_path) as process, process.client() as client:
        assert client.score(stream.next()).version == "", "card-1 reads the window of an hour"
        with retraining(tmp_path):
            reply = wait_for(client, client.trigger_retrain("card", "without the hour", "test"))
            assert [(it.version, it.verdict) for it in reply.verdicts] == [("card-2", "PROMOTE")], reply.text
            assert client.score(stream.next()).version == "card-2"
        assert process.stop() == 0


def test_a_damaged_bundle_stays_out_and_the_scorer_serves_on(tmp_path: Path) -> None:
    stream = Stream(seed=8)
    with serving(tmp_path) as process, process.client() as client, retraining(tmp_path) as retrainer:
        fill(client, stream, days=10)
        wait_for(client, client.trigger_retrain("card", "first champion", "test"))
        retrainer.terminate()
        retrainer.wait(60)
        settings = load_settings(tmp_path / "fraud.toml", {})
        store = LedgerStore.open(settings.places.ledger)
        first = RegistryState.fold(store.read()).version("card-1")
        body = {
            "version": "card-2",
            "model": "card",
            "recipe": "full",
            "digest": "0" * 64,
            "parent": "",
            "attempt": 1,
            "challengers": 1,
            "cut_position": first.cut_position,
            "cut_time_us": first.cut_time_us,
            "manifest": first.manifest,
        }
        store.append("VersionRegistered", body, actor="test", reason="a bundle that is not there", time_us=1)
        store.append(
            "Promoted",
            {"model": "card", "version": "card-2", "expected": "card-1"},
            actor="test",
            reason="must be refused",
            time_us=1,
        )
        store.close()
        wait_until(lambda: client.get_champion("card").intended_version == "card-2", "the promotion seen")
        champion = client.get_champion("card")
        assert (champion.intended_version, champion.version) == ("card-2", "card-1")
        decision = client.score(stream.next())
        assert decision.version == "card-1"
        assert decision.outcome != scoring_pb2.OUTCOME_UNSPECIFIED
