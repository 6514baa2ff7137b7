"""A scorer starts and ends gracefully: not ready while it restores, nobody without an answer at the end."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import urllib.request
from contextlib import closing
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2

from fraud.adversary.stage import free_port
from fraud.client import Client
from fraud.errors import FraudError, Unavailable
from fraud.eventlog.sqlite import SqliteEventLog
from fraud.faults import HOLD_VARIABLE
from fraud.records import Entry, Label, LabelsSubmitted, LabelValue, Scored
from fraud.serving.recovery import Snapshots
from fraud.settings import load_settings
from tests.serving.worlds import CONFIG, SERVE, START_S, Process, Stream, serving, start
from tests.waiting import wait_until

pytestmark = pytest.mark.process
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def entries_in(folder: Path) -> list[Entry]:
    settings = load_settings(folder / "fraud.toml", {})
    names = settings.schema_.entity_names
    with closing(SqliteEventLog.open(settings.places.log, writable=False, entity_names=names)) as log:
        return log.read(0, 10**9)


def is_locked(path: Path) -> bool:
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return True
    return False


def health(port: int) -> int:
    """Return what health says, -1 where nobody answers."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            return int(check(health_pb2.HealthCheckRequest(), timeout=START_S).status)
        except grpc.RpcError:
            return -1


class Crowd:
    """Clients that send until they are refused; notes what was sent, what came back and what did not."""

    def __init__(self, process: Process, threads: int = 8) -> None:
        self.acknowledged: set[str] = set()
        self.batches: set[str] = set()
        self.refusals: list[Exception] = []
        self._threads = [threading.Thread(target=self._run, args=(process, 500 + i)) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    def join(self, timeout_s: float = START_S) -> None:
        for thread in self._threads:
            thread.join(timeout_s)
            assert not thread.is_alive(), "a request got neither an answer nor a refusal"

    def _run(self, process: Process, seed: int) -> None:
        stream = Stream(seed)
        with Client(process.target, deadline_s=START_S, retries=0) as client:
            try:
                while True:
                    wires = stream.take(8)
                    for result in client.score_batch(wires):
                        self.acknowledged.add(result.decision.transaction_id)
                    labels = [Label(wires[0].transaction_id, LabelValue.FRAUD, stream.now_us)]
                    batch = f"batch-{seed}-{stream.count}"
                    client.submit_labels(batch, 0, "chargeback", "bank", labels)
                    self.batches.add(batch)
            except Exception as error:  # noqa: BLE001 — every kind of end is judged
                self.refusals.append(error)


def test_sigterm_under_load_answers_or_refuses_everyone(tmp_path: Path) -> None:
    with serving(tmp_path) as process:
        crowd = Crowd(process)
        wait_until(lambda: len(crowd.acknowledged) > 1_000 and len(crowd.batches) > 50)
        assert process.stop() == 0
        crowd.join()
    assert len(crowd.refusals) == 8
    assert {type(error) for error in crowd.refusals} == {Unavailable}
    # Refused by name, or by a connection that the server had closed; nobody was cut off while waiting.
    assert not [error for error in crowd.refusals if re.search("CANCELLED|DEADLINE", str(error))]

    entries = entries_in(tmp_path)
    logged = {entry.event.transaction_id for entry in entries if isinstance(entry.event, Scored)}
    batches = {entry.event.batch_id for entry in entries if isinstance(entry.event, LabelsSubmitted)}
    assert crowd.acknowledged <= logged
    assert crowd.batches <= batches
    settings = load_settings(tmp_path / "fraud.toml", {})
    assert Snapshots(settings.places.state, 2).oldest_position() <= entries[-1].position
    newest = Snapshots(settings.places.state, 2).paths()[0]
    assert int(newest.stem.rpartition("-")[2]) == entries[-1].position, "the next start has nothing to fold"


def test_the_drain_ends_by_itself_when_the_disk_hangs(tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    (tmp_path / "fraud.toml").write_text(CONFIG.replace("[server]\n", '[server]\ndrain = "300ms"\n'))
    with serving(tmp_path, **{HOLD_VARIABLE: f"log.committing:{hold}"}) as process:
        with process.client() as client:
            client.score_batch(Stream(1).take(5))
            hold.touch()
            failed: list[FraudError] = []

            def send() -> None:
                try:
                    client.score(Stream(2).next())
                except FraudError as error:
                    failed.append(error)

            waiting = threading.Thread(target=send)
            waiting.start()
            # Committing: the writer's lock is held, so nobody else gets it.
            wait_until(lambda: is_locked(tmp_path / "data" / "events.sqlite"))
            process.child.send_signal(signal.SIGTERM)
            waiting.join(START_S)
            assert len(failed) == 1, "told after server.drain, not when the disk comes back"
            assert "DEADLINE" not in str(failed[0])
        hold.unlink()
        assert process.child.wait(START_S) == 0


class Starting:
    """A scorer that is held up while it restores a log without a snapshot."""

    def __init__(self, folder: Path, hold: Path) -> None:
        self.port, self.metrics_port = free_port(), free_port()
        text = (folder / "fraud.toml").read_text()
        text = text.replace("port = 0", f"port = {self.port}", 1)
        text = text.replace("scorer_port = -1", f"scorer_port = {self.metrics_port}")
        (folder / "fraud.toml").write_text(text)
        self.child = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(folder / "fraud.toml")],
            env={**os.environ, HOLD_VARIABLE: f"restore.folding:{hold}"},
            stdout=subprocess.PIPE,
            text=True,
        )

    def progress(self) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics") as reply:
            found = re.search(r"^fraud_restore_progress_ratio (\S+)$", reply.read().decode(), re.MULTILINE)
        assert found is not None
        return float(found[1])


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A folder whose log has no snapshot."""
    with serving(tmp_path) as process, process.client() as client:
        client.score_batch(Stream(3).take(50))
        process.kill()
    return tmp_path


def test_a_scorer_that_restores_is_up_but_not_ready_and_says_how_far_it_is(filled: Path) -> None:
    hold = filled / "hold"
    hold.touch()
    starting = Starting(filled, hold)
    try:
        wait_until(lambda: health(starting.port) == NOT_SERVING)
        assert starting.progress() == 0
        with Client(f"127.0.0.1:{starting.port}", deadline_s=START_S, retries=0) as client:
            with pytest.raises(Unavailable, match="restoring its state"):
                client.score(Stream(4).next())
            hold.unlink()
            wait_until(lambda: health(starting.port) == SERVING)
            assert starting.progress() == 1
            client.score(Stream(4).next())
    finally:
        hold.unlink(missing_ok=True)
        starting.child.terminate()
        assert starting.child.wait(START_S) == 0


def test_sigterm_ends_a_restore(filled: Path) -> None:
    hold = filled / "hold"
    hold.touch()
    starting = Starting(filled, hold)
    try:
        wait_until(lambda: health(starting.port) == NOT_SERVING)
        starting.child.terminate()
        # Seen by the process before the hold is over: the event loop still answers, and no snapshot follows.
        wait_until(lambda: health(starting.port) == NOT_SERVING)
    finally:
        hold.unlink()
    assert starting.child.wait(START_S) == 0
    assert starting.child.stdout is not None
    assert "drained" not in starting.child.stdout.read()
    assert len(entries_in(filled)) == 50
    again = start(filled)
    again.kill()
