"""SIGTERM within a cycle: the retrainer leaves it at the next step, and runs it again at its next start."""

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from fraud.retrainer.daemon import DEATHS_MAX
from fraud.v1 import models_pb2
from tests.process.made_once import made_once
from tests.process.polluted import copy, settings_of
from tests.process.test_kill_retrainer import SIGNALLED, entries
from tests.process.test_loop import CYCLE_S, FINISHED, WATCH, filled_in, retraining, start_retrainer, wait_for
from tests.serving.worlds import serving, train_at_once
from tests.waiting import wait_until

pytestmark = pytest.mark.process

IS_TOLD = SIGNALLED.format(name="SIGTERM")
IS_TOLD_WHILE_RAY_CONNECTS = """
import os, signal
from ray._private import worker
connect = worker.connect
def connect_and_signal(*args, **named):
    connect(*args, **named)
    os.kill(os.getpid(), signal.SIGTERM)
worker.connect = connect_and_signal
"""
MOMENTS = ("GuardReported", "VersionRegistered", *["CycleStarted"] * (DEATHS_MAX - 1))


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    made = made_once(tmp_path_factory, "filled", lambda folder: filled_in(folder, seed=5))
    folder = copy(made, tmp_path)
    train_at_once(folder)
    return folder


def test_a_cycle_that_is_stopped_however_often_is_no_death_and_is_run_again(folder: Path) -> None:
    settings = settings_of(folder)
    with serving(folder) as process, process.client() as client:
        seq = client.trigger_retrain("card", "to be stopped", "test")
        for moment in MOMENTS:
            stopped = start_retrainer(folder, IS_TOLD + WATCH, moment)
            try:
                assert stopped.wait(CYCLE_S) == 0
            finally:
                stopped.kill()
            last, end = entries(settings)[-2:]
            assert (last.kind, end.kind, end.body["stopped"]) == (moment, "CycleFailed", True)
            assert client.get_retrain(seq).state == models_pb2.GetRetrainResponse.WAITING
        with retraining(folder):
            reply = wait_for(client, seq)
        assert reply.state == FINISHED, reply.text
        assert client.get_champion("card").version
        told = [it.kind for it in entries(settings) if it.body.get("request_seq") == seq]
        ends = [kind for kind in told if kind in ("CycleFailed", "CycleFinished")]
        assert ends == ["CycleFailed"] * len(MOMENTS) + ["CycleFinished"]
        assert process.stop() == 0


def test_a_stop_while_ray_connects_is_no_crash(folder: Path) -> None:
    with serving(folder) as process, process.client() as client:
        seq = client.trigger_retrain("card", "to be stopped", "test")
        told = subprocess.run(
            [sys.executable, "-c", IS_TOLD_WHILE_RAY_CONNECTS + WATCH, str(folder / "fraud.toml")],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=CYCLE_S,
            check=False,
        )
        assert told.returncode == 0, told.stdout
        assert "***" not in told.stdout
        assert client.get_retrain(seq).state == models_pb2.GetRetrainResponse.WAITING
        assert process.stop() == 0


def test_a_stop_waits_for_nothing_of_ray_and_leaves_nothing_of_it(folder: Path) -> None:
    with serving(folder) as process, process.client() as client:
        seq = client.trigger_retrain("card", "to have Ray run", "test")
        stopped = start_retrainer(folder)
        below: list[psutil.Process] = []
        try:
            assert wait_for(client, seq).state == FINISHED
            below = psutil.Process(stopped.pid).children(recursive=True)
            assert {"raylet", "gcs_server"} <= {each.name() for each in below}
            for each in below:
                each.suspend()  # as on a machine so busy that none of them gets a core
            stopped.send_signal(signal.SIGTERM)
            assert stopped.wait(CYCLE_S) == 0
            wait_until(lambda: not any(map(runs, below)), "the end of all that Ray was")
        finally:
            stopped.kill()
            for each in below:
                with suppress(psutil.NoSuchProcess):
                    each.kill()
        assert process.stop() == 0


def runs(process: psutil.Process) -> bool:
    """Tell whether a process has not ended; whoever is its parent now may not have noticed yet."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
