"""The loop with real parts: score, label, retrain on Ray, gate, promote, hot swap."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from fraud.bundle.bundle import BOOSTER_FILE, Bundle, SelfTest
from fraud.bundle.store import BundleStore
from fraud.client import Client
from fraud.eventlog.folder import open_log
from fraud.records import Applied, Label, LabelValue
from fraud.registry.ledger import RegistryState
from fraud.registry.store import LedgerStore
from fraud.settings import load_settings
from fraud.v1 import models_pb2, scoring_pb2
from tests.serving.worlds import START_S, START_US, Process, Stream, serving, train_at_once
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
RUNNING = models_pb2.GetRetrainResponse.RUNNING
CYCLE_S = 300.0
"""Within this Ray starts and a cycle ends, however busy the machine is."""
PATIENCE_S = START_S
"""A payment has so long, at the first try; one that waits for a cycle that stands still has not enough."""
MEANWHILE = 50
"""Payments that are answered while a cycle stands still."""


def start_retrainer(
    folder: Path, script: str = WATCH, *args: str, in_session: bool = False
) -> subprocess.Popen[bytes]:
    """Start a retrainer; `in_session`: in a session of its own, as `fraud up` does."""
    command = [sys.executable, "-c", script, str(folder / "fraud.toml"), *args]
    return subprocess.Popen(command, env=os.environ, start_new_session=in_session)


@contextmanager
def retraining(folder: Path, *, in_session: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    child = start_retrainer(folder, in_session=in_session)
    try:
        yield child
    finally:
        child.terminate()
        child.wait(START_S)


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
        waiting = [Label(t.transaction_id, LabelValue.FRAUD, START_US) for t in stream.frauds[before:]]


def wait_for(client: Client, seq: int, timeout_s: float = CYCLE_S) -> models_pb2.GetRetrainResponse:
    """Wait until a retrain has ended and what it promoted serves."""
    end = time.monotonic() + timeout_s
    pause = threading.Event()
    while time.monotonic() < end:
        reply = client.get_retrain(seq)
        if reply.state == FAILED or (reply.state == FINISHED and reply.applied):
            return reply
        pause.wait(0.05)
    raise AssertionError(f"retrain {seq} did not end within {timeout_s:g} s")


class Probe:
    """Scores one payment after the other until told to stop; counts failures.

    With `deadline_s` each has so long and one try; else the client is patient.
    """

    def __init__(self, process: Process, deadline_s: float | None = None) -> None:
        self.failures: list[Exception] = []
        self.versions: set[str] = set()
        self.answers = 0
        self._stop = threading.Event()
        if deadline_s is None:
            client = process.client()
        else:
            client = Client(process.target, deadline_s=deadline_s, retries=0)
        self._thread = threading.Thread(target=self._run, args=(client,))
        self._thread.start()

    def _run(self, client: Client) -> None:
        stream = later(77)
        with client:
            while not self._stop.is_set():
                try:
                    self.versions.add(client.score(stream.next(step_us=2)).version)
                    self.answers += 1
                except Exception as error:  # noqa: BLE001 — every kind of failure counts
                    self.failures.append(error)

    def answered(self, more: int) -> None:
        """Wait until so many more are answered, and see that none fails."""
        upto = self.answers + more
        wait_until(lambda: self.answers >= upto or self.failures, f"{more} answers")
        assert not self.failures

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


@contextmanager
def probing(process: Process, deadline_s: float | None = None) -> Iterator[Probe]:
    """Score one payment after the other for the body of a `with`, whatever happens in it."""
    probe = Probe(process, deadline_s)
    try:
        yield probe
    finally:
        probe.stop()


def later(seed: int) -> Stream:
    """Payments after those of ten days, with ids of their own."""
    stream = Stream(seed)
    stream.skip_days(11)
    return stream


def filled_in(folder: Path, seed: int) -> Path:
    """Make a folder of ten days of payments and labels; no champion, and no process on it."""
    with serving(folder) as process, process.client() as client:
        fill(client, Stream(seed), days=10)
        assert process.stop() == 0
    return folder


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filled_in(tmp_path_factory.mktemp("filled"), seed=5)


@pytest.fixture(scope="module")
def crowned(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with card-1, which was promoted and served."""
    folder = shutil.copytree(filled, tmp_path_factory.mktemp("crowned") / "copy")
    train_at_once(folder)
    with serving(folder) as process, process.client() as client:
        seq = client.trigger_retrain("card", "first champion", "test")
        with retraining(folder):
            reply = wait_for(client, seq)
        assert reply.state == FINISHED, reply.text
        assert client.get_champion("card").version == "card-1"
        assert process.stop() == 0
    return folder


@pytest.fixture
def folder(crowned: Path, tmp_path: Path) -> Path:
    """A copy of the folder with card-1, for one test."""
    return shutil.copytree(crowned, tmp_path / "copy")


def modes_of(pid: int, path: Path) -> set[str]:
    """How a process has a file open: "r", "r+"; empty where it has not."""
    return {it.mode for it in psutil.Process(pid).open_files() if it.path == str(path.resolve())}


def gives_way(pid: int, niceness: int) -> bool:
    """Tell whether some process under this one works at this niceness, and on idle cores only."""
    for child in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            if child.nice() == niceness and os.sched_getscheduler(child.pid) == os.SCHED_IDLE:
                return True
    return False


@contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """Stop a process and all under it, wherever they are, for the body of a `with`."""
    stopped = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]

    def send(sign: signal.Signals) -> None:
        for child in stopped:
            with suppress(psutil.NoSuchProcess):
                child.send_signal(sign)

    send(signal.SIGSTOP)
    try:
        yield
    finally:
        send(signal.SIGCONT)


def session_of(pid: int) -> str:
    """Return what the kernel says of the group that a session's share of the cores is by; "" for nothing."""
    try:
        return Path(f"/proc/{pid}/autogroup").read_text()
    except OSError:
        return ""


def test_from_nothing_to_a_champion_without_a_failed_request(filled: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(filled, tmp_path / "copy")
    settings, stream = load_settings(folder / "fraud.toml", {}), later(4)
    niceness = settings.training.niceness
    with serving(folder) as process, process.client() as client, ExitStack() as stack:
        seq = client.trigger_retrain("card", "first champion", "test")
        retrainer = stack.enter_context(retraining(folder))
        with probing(process, PATIENCE_S) as probe:
            wait_until(
                lambda: gives_way(retrainer.pid, niceness),
                "a worker that gives way",
                timeout_s=CYCLE_S,
                every_s=0.05,
            )
            with standing_still(retrainer.pid):
                assert niceness > psutil.Process(process.child.pid).nice(), "than the scorer"
                assert modes_of(retrainer.pid, settings.places.log) == {"r"}, "it only reads the log"
                assert "r+" in modes_of(process.child.pid, settings.places.log)
                probe.answered(MEANWHILE)
                assert client.get_retrain(seq).state == RUNNING, "answered in the middle of a cycle"
            reply = wait_for(client, seq)
            before = client.score(stream.next())
            probe.answered(1)
        assert reply.state == FINISHED, reply.text
        assert not probe.failures
        assert probe.versions == {"", "card-1"}, "scored before and after the swap"
        assert [verdict.verdict for verdict in reply.verdicts] == ["PROMOTE"]
        assert before.version == "card-1"
        assert 0 <= before.score <= 1
        assert 0 <= before.risk_score <= 999

        champion = client.get_champion("card")
        assert (champion.version, champion.intended_version) == ("card-1", "card-1")
        assert client.get_champion("card", at_us=START_US).version == ""
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


def test_a_retrainer_in_a_session_of_its_own_takes_the_least_share_of_the_cores(tmp_path: Path) -> None:
    if not session_of(os.getpid()):
        pytest.skip("the kernel shares cores out by something else than sessions")
    with serving(tmp_path) as process, retraining(tmp_path, in_session=True) as retrainer:
        wait_until(lambda: session_of(retrainer.pid).endswith(" nice 19\n"), "the least share")
        assert session_of(process.child.pid) == session_of(os.getpid()), "the scorer keeps what it was given"
        assert session_of(process.child.pid) != session_of(retrainer.pid)
        assert process.stop() == 0


def test_a_champion_serves_again_after_a_restart(folder: Path) -> None:
    stream = later(6)
    ends: list[Callable[[Process], object]] = [Process.kill, Process.stop]
    for end in ends:
        with serving(folder) as process, process.client() as client:
            assert client.score(stream.next()).version == "card-1"
            assert client.get_champion("card").version == "card-1"
            end(process)
    settings = load_settings(folder / "fraud.toml", {})

    log = open_log(settings)
    applied = [entry.event for entry in log.applied()]
    log.close()
    assert [event.version for event in applied if isinstance(event, Applied)] == ["card-1"], "applied once"


def test_a_champion_whose_features_are_taken_out_is_followed_by_the_next_retrain(folder: Path) -> None:
    stream = later(9)
    config = folder / "fraud.toml"
    text = config.read_text(encoding="utf-8")
    assert text.count('windows = ["1h", "24h", "7d"]') == 1
    config.write_text(
        text.replace('windows = ["1h", "24h", "7d"]', 'windows = ["24h", "7d"]'), encoding="utf-8"
    )
    with serving(folder) as process, process.client() as client:
        assert client.score(stream.next()).version == "", "card-1 reads the window of an hour"
        seq = client.trigger_retrain("card", "without the hour", "test")
        with retraining(folder):
            reply = wait_for(client, seq)
            assert [(it.version, it.verdict) for it in reply.verdicts] == [("card-2", "PROMOTE")], reply.text
            assert client.score(stream.next()).version == "card-2"
        assert process.stop() == 0


def missing(_: BundleStore, bundle: Bundle) -> str:
    return bundle.digest


def changed_on_disk(bundles: BundleStore, bundle: Bundle) -> str:
    digest = bundles.write(bundle)
    path = bundles._place(digest) / BOOSTER_FILE
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return digest


def not_as_at_training(bundles: BundleStore, bundle: Bundle) -> str:
    """Whole, and its trees give other margins than those that stand beside them."""
    margins = bundle.selftest.margins.copy()
    margins[0] = np.nextafter(margins[0], np.float32(np.inf))
    return bundles.write(replace(bundle, selftest=SelfTest(bundle.selftest.matrix, margins)))


DAMAGES: dict[str, Callable[[BundleStore, Bundle], str]] = {
    "is not in the store": missing,
    "on disk; restore": changed_on_disk,
    "1 of .* self-test rows differ from training": not_as_at_training,
}


@pytest.mark.parametrize(("why", "damage"), DAMAGES.items(), ids=[it.__name__ for it in DAMAGES.values()])
def test_a_damaged_bundle_stays_out_and_the_scorer_serves_on(
    folder: Path, why: str, damage: Callable[[BundleStore, Bundle], str]
) -> None:
    stream = later(8)
    with serving(folder) as process, process.client() as client:
        settings = load_settings(folder / "fraud.toml", {})
        store, bundles = LedgerStore.open(settings.places.ledger), BundleStore(settings.places.bundles)
        first = RegistryState.fold(store.read()).version("card-1")
        bundle = bundles.read(first.digest)
        body = {
            "version": "card-2",
            "model": "card",
            "recipe": "full",
            "digest": damage(bundles, replace(bundle, manifest={**bundle.manifest, "seed": 8})),
            "parent": "",
            "attempt": 1,
            "challengers": 1,
            "cut_position": first.cut_position,
            "cut_time_us": first.cut_time_us,
            "manifest": first.manifest,
        }
        store.append("VersionRegistered", body, actor="test", reason="its bundle is damaged", time_us=1)
        store.append(
            "Promoted",
            {"model": "card", "version": "card-2", "expected": "card-1"},
            actor="test",
            reason="must be refused",
            time_us=1,
        )
        store.close()

        def refusals() -> list[str]:
            with closing(open_log(settings)) as log:
                applied = [it.event for it in log.applied()]
            return [it.refused for it in applied if isinstance(it, Applied) and it.refused]

        wait_until(refusals, "the promotion refused")
        assert re.search(f"^card-2: .*{why}", refusals()[0])
        champion = client.get_champion("card")
        assert (champion.intended_version, champion.version) == ("card-2", "card-1")
        decision = client.score(stream.next())
        assert decision.version == "card-1"
        assert decision.outcome != scoring_pb2.OUTCOME_UNSPECIFIED
