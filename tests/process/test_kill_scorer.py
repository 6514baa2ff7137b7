"""SIGKILL of the scorer under load: what was acknowledged is there, and state is what it was."""

import threading
from pathlib import Path

import pytest

from fraud.archive.archive import Archive
from fraud.client import Client
from fraud.errors import FraudError
from fraud.eventlog.folder import open_log
from fraud.eventlog.sqlite import SqliteEventLog
from fraud.features.archive import open_archive
from fraud.features.spec import FeatureSpec
from fraud.labels.standing import ConflictRule
from fraud.records import Label, LabelsSubmitted, LabelValue, Scored
from fraud.serving.recovery import Snapshots, entries_after, restore
from fraud.settings import Settings, load_settings
from fraud.v1 import scoring_pb2
from fraud.v1.transaction_pb2 import Transaction
from tests.serving.worlds import START_S, Process, Stream, serving, start
from tests.waiting import wait_until

pytestmark = pytest.mark.process


class Load:
    """Client threads that score and label until the scorer is gone; notes what was acknowledged."""

    def __init__(self, process: Process, seed: int, threads: int = 4) -> None:
        self.decisions: dict[str, scoring_pb2.Decision] = {}
        self.sent: dict[str, Transaction] = {}
        self.batches: dict[str, int] = {}
        self.enough = threading.Event()
        self._process = process
        self._threads = [
            threading.Thread(target=self._run, args=(seed * 100 + i,), daemon=True) for i in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def wait_for(self, decisions: int, timeout_s: float = START_S) -> None:
        """Wait until so many decisions were acknowledged."""
        wait_until(lambda: len(self.decisions) >= decisions, f"{decisions} decisions", timeout_s=timeout_s)

    def _run(self, seed: int) -> None:
        stream = Stream(seed)
        with Client(self._process.target, deadline_s=START_S, retries=0) as client:
            try:
                while True:
                    self._score(client, stream)
            except FraudError:
                return

    def _score(self, client: Client, stream: Stream) -> None:
        wires = stream.take(10)
        for wire in wires:
            self.sent[wire.transaction_id] = wire
        for result in client.score_batch(wires):
            self.decisions[result.decision.transaction_id] = result.decision
        one = stream.next()
        self.sent[one.transaction_id] = one
        self.decisions[one.transaction_id] = client.score(one)
        labels = [Label(wire.transaction_id, LabelValue.FRAUD, stream.now_us) for wire in wires[:3]]
        batch = f"batch-{stream.seed}-{stream.count}"
        client.submit_labels(batch, 0, "chargeback", "bank", labels)
        self.batches[batch] = len(labels)
        if len(self.decisions) > 1_500:
            self.enough.set()


def _open(settings: Settings) -> tuple[SqliteEventLog, Archive, FeatureSpec]:
    spec = FeatureSpec.of(settings)
    log = open_log(settings)
    return log, open_archive(settings), spec


@pytest.mark.parametrize("seed", [1, 2])
def test_a_killed_scorer_loses_nothing_it_acknowledged(tmp_path: Path, seed: int) -> None:
    with serving(tmp_path) as process:
        load = Load(process, seed)
        assert load.enough.wait(START_S), f"seed {seed}: no load got through"
        process.kill()
        load.join()

    settings = load_settings(tmp_path / "fraud.toml", {})
    log, archive, _ = _open(settings)
    entries = list(entries_after(log, archive, 0, log.head()))
    logged = {entry.event.transaction_id for entry in entries if isinstance(entry.event, Scored)}
    batches = {
        entry.event.batch_id: entry.event for entry in entries if isinstance(entry.event, LabelsSubmitted)
    }
    log.close()
    assert load.decisions.keys() <= logged, f"seed {seed}"
    assert len(logged) == sum(isinstance(entry.event, Scored) for entry in entries)
    assert {name: len(batches[name].labels) for name in load.batches} == load.batches

    again = start(tmp_path)
    try:
        with again.client() as client:
            for transaction_id, decision in list(load.decisions.items())[::50]:
                assert client.get_decision(transaction_id) == decision
                assert client.score(load.sent[transaction_id]) == decision, "a retry gets the stored answer"
    finally:
        again.kill()


def test_state_after_a_kill_is_the_fold_of_the_log(tmp_path: Path) -> None:
    with serving(tmp_path) as process:
        settings = load_settings(tmp_path / "fraud.toml", {})
        snapshots = Snapshots(settings.places.state, 2)
        load = Load(process, seed=3)
        assert load.enough.wait(START_S)
        wait_until(snapshots.paths, "a snapshot while it runs")
        process.kill()
        load.join()
    log, archive, spec = _open(settings)
    rule = ConflictRule.of(settings.labels)
    from_snapshot = restore(spec, rule, log, archive, snapshots).fold
    from_nothing = restore(spec, rule, log, archive, Snapshots(tmp_path / "none", 2)).fold
    log.close()
    assert from_snapshot.equals(from_nothing)


def test_a_scorer_told_to_stop_drains_and_snapshots(tmp_path: Path) -> None:
    with serving(tmp_path) as process, process.client() as client:
        client.score_batch(Stream().take(20))
        assert process.stop() == 0
    settings = load_settings(tmp_path / "fraud.toml", {})
    snapshots = Snapshots(settings.places.state, 2)
    fold = snapshots.latest(FeatureSpec.of(settings), ConflictRule.of(settings.labels), 20)
    assert fold is not None
    assert fold.position == 20
