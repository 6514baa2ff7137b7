"""SIGTERM within a cycle: the retrainer leaves it at the next step, and runs it again at its next start."""

from pathlib import Path

import pytest

from fraud.retrainer.daemon import DEATHS_MAX
from fraud.v1 import models_pb2
from tests.process.made_once import made_once
from tests.process.polluted import copy, settings_of
from tests.process.test_kill_retrainer import SIGNALLED, entries
from tests.process.test_loop import CYCLE_S, FINISHED, WATCH, filled_in, retraining, start_retrainer, wait_for
from tests.serving.worlds import serving, train_at_once

pytestmark = pytest.mark.process

IS_TOLD = SIGNALLED.format(name="SIGTERM")
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
