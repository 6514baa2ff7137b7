"""SIGKILL of the retrainer within a cycle: nothing twice, nothing torn, and the cycle is run again."""

import signal
from pathlib import Path

import polars as pl
import pytest

from fraud.bundle.store import BundleStore
from fraud.client import Client
from fraud.features.archive import open_archive
from fraud.registry.chain import LedgerEntry
from fraud.registry.store import LedgerStore
from fraud.settings import Settings
from fraud.v1 import models_pb2
from tests.process.made_once import made_once
from tests.process.polluted import copy, settings_of
from tests.process.test_loop import CYCLE_S, FINISHED, WATCH, filled_in, retraining, start_retrainer, wait_for
from tests.serving.worlds import serving, train_at_once

pytestmark = pytest.mark.process

SIGNALLED = """
import os, signal, sys
from fraud.registry.store import LedgerStore
append = LedgerStore.append
def append_and_signal(store, kind, *args, **named):
    entry = append(store, kind, *args, **named)
    if kind == sys.argv[2]:
        os.kill(os.getpid(), signal.{name})
    return entry
LedgerStore.append = append_and_signal
"""
"""Sends the retrainer a signal once an entry of some kind is durable, before it does anything else."""
DIES = SIGNALLED.format(name="SIGKILL")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "filled", lambda folder: filled_in(folder, seed=5))


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    folder = copy(made, tmp_path)
    train_at_once(folder)
    return folder


def entries(settings: Settings) -> list[LedgerEntry]:
    store = LedgerStore.open(settings.places.ledger, writable=False)
    try:
        store.verify()
        return store.read()
    finally:
        store.close()


@pytest.mark.parametrize("moment", ["CycleStarted", "VersionRegistered", "Promoted"])
def test_a_killed_cycle_is_run_again_and_promotes_once(folder: Path, moment: str) -> None:
    settings = settings_of(folder)
    with serving(folder) as process, process.client() as client:
        seq = client.trigger_retrain("card", "to be killed", "test")
        killed = start_retrainer(folder, DIES + WATCH, moment)
        try:
            assert killed.wait(CYCLE_S) == -signal.SIGKILL
        finally:
            killed.kill()
        assert entries(settings)[-1].kind == moment, "the cycle was not finished"
        with retraining(folder):
            reply = wait_for(client, seq)
        assert reply.state == FINISHED, reply.text
        assert client.get_champion("card").version
        of_cycles = [it for it in entries(settings) if it.body.get("request_seq") == seq]
        told = [it.kind for it in of_cycles if it.kind.startswith("Cycle")]
        assert told == ["CycleStarted", "CycleStarted", "CycleFinished"]
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


def test_a_retrain_request_survives_that_nobody_watches(folder: Path) -> None:
    with serving(folder) as process, process.client() as client:
        seq = client.trigger_retrain("card", "nobody there", "test")
        assert client.get_retrain(seq).state == models_pb2.GetRetrainResponse.WAITING
        with retraining(folder):
            assert wait_for(client, seq).state == FINISHED
        assert process.stop() == 0
