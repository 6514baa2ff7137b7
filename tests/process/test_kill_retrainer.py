"""SIGKILL of the retrainer at any moment of a cycle: nothing twice, nothing torn, and it goes on."""

import random
import threading
from pathlib import Path

import polars as pl
import pytest

from fraud.bundle.store import BundleStore
from fraud.client import Client
from fraud.features.archive import open_archive
from fraud.registry.store import LedgerStore
from fraud.settings import Settings, load_settings
from fraud.v1 import models_pb2
from tests.process.test_loop import FINISHED, fill, retraining, start_retrainer, wait_for
from tests.serving.worlds import Stream, serving
from tests.waiting import wait_until

pytestmark = pytest.mark.process


def kinds(settings: Settings) -> list[str]:
    store = LedgerStore.open(settings.places.ledger, writable=False)
    try:
        store.verify()
        return [entry.kind for entry in store.read()]
    finally:
        store.close()


@pytest.mark.parametrize("moment", ["CycleStarted", "VersionRegistered", "VerdictGiven"])
def test_a_killed_cycle_is_run_again_and_promotes_once(tmp_path: Path, moment: str) -> None:
    seed = 21
    stream = Stream(seed)
    with serving(tmp_path) as process, process.client() as client:
        fill(client, stream, days=10)
        settings = load_settings(tmp_path / "fraud.toml", {})
        seq = client.trigger_retrain("card", "to be killed", "test")
        first = start_retrainer(tmp_path)
        wait_until(lambda: moment in kinds(settings), moment, timeout_s=90, every_s=0.002)
        threading.Event().wait(random.Random(seed).random() * 0.01)
        first.kill()
        first.wait()
        with retraining(tmp_path):
            reply = wait_for(client, seq)
        assert reply.state == FINISHED, reply.text
        assert client.get_champion("card").version
        _check_ledger(settings, client)
        _check_archive(settings)
        assert process.stop() == 0


def _check_ledger(settings: Settings, client: Client) -> None:
    store = LedgerStore.open(settings.places.ledger, writable=False)
    state = store.state()
    promoted = [entry for entry in store.read() if entry.kind == "Promoted"]
    store.close()
    assert len(promoted) == 1
    bundles = BundleStore(settings.places.bundles)
    for version in state.versions.values():
        bundles.read(version.digest).self_test()
    digests = [version.digest for version in state.versions.values()]
    assert len(digests) == len(set(digests)), "the same bundle was registered twice"
    versions = client.list_versions("card").versions
    assert [version.status for version in versions].count("champion") == 1


def _check_archive(settings: Settings) -> None:
    archive = open_archive(settings)
    positions = archive.transactions().select("position").collect()["position"]
    assert positions.n_unique() == len(positions)
    labels = archive.labels().select(pl.struct("position", "row")).collect().to_series()
    assert labels.n_unique() == len(labels)


def test_a_retrain_request_survives_that_nobody_watches(tmp_path: Path) -> None:
    stream = Stream(seed=22)
    with serving(tmp_path) as process, process.client() as client:
        fill(client, stream, days=10)
        seq = client.trigger_retrain("card", "nobody there", "test")
        assert client.get_retrain(seq).state == models_pb2.GetRetrainResponse.WAITING
        with retraining(tmp_path):
            assert wait_for(client, seq).state == FINISHED
        process.stop()
