"""A backup beside scoring and labels: what was acknowledged before it began comes back."""

import shutil
import subprocess
import sys
from collections.abc import Set as AbstractSet
from contextlib import closing
from pathlib import Path

import pytest

from fraud.eventlog.sqlite import SqliteEventLog
from fraud.features.archive import open_archive
from fraud.records import LabelsSubmitted, Scored
from fraud.serving.recovery import entries_after
from fraud.settings import load_settings
from fraud.upkeep.restoring import restore
from tests.process.test_kill_scorer import Load
from tests.serving.registered import Ledger
from tests.serving.worlds import START_S, serving

pytestmark = pytest.mark.process


def test_what_was_acknowledged_before_a_backup_began_is_in_it(tmp_path: Path) -> None:
    with serving(tmp_path) as process, process.client() as client:
        load = Load(process, seed=4)
        assert load.enough.wait(START_S), "no load got through"
        ledger = Ledger(tmp_path)
        ledger.register("card-1", upto=100)
        ledger.promote(client, "card-1")
        load.wait_for(len(load.decisions) + 200)
        decisions, batches = dict(load.decisions), dict(load.batches)
        command = [sys.executable, "-m", "fraud.cli", "--config", str(tmp_path / "fraud.toml")]
        subprocess.run([*command, "backup", str(tmp_path / "b.tar")], check=True)
        load.wait_for(len(load.decisions) + 200)
        process.kill()
        load.join()

    settings = load_settings(tmp_path / "fraud.toml", {})
    restored = restore(settings, tmp_path / "b.tar", tmp_path / "again", verify=True)
    assert restored.bundles_tested == 1
    assert restored.transactions_replayed > 0
    shutil.move(settings.data_dir, tmp_path / "lost")
    shutil.move(tmp_path / "again", settings.data_dir)
    _check(tmp_path, decisions.keys(), batches)
    with serving(tmp_path) as process, process.client() as client:
        for transaction_id, decision in list(decisions.items())[::100]:
            assert client.score(load.sent[transaction_id]) == decision
        assert client.get_champion("card").version == "card-1"


def _check(folder: Path, acknowledged: AbstractSet[str], batches: dict[str, int]) -> None:
    settings = load_settings(folder / "fraud.toml", {})
    archive = open_archive(settings)
    names = settings.schema_.entity_names
    with closing(SqliteEventLog.open(settings.places.log, writable=False, entity_names=names)) as log:
        events = [entry.event for entry in entries_after(log, archive, 0, log.head())]
    logged = {event.transaction_id for event in events if isinstance(event, Scored)}
    labels = {event.batch_id: len(event.labels) for event in events if isinstance(event, LabelsSubmitted)}
    assert acknowledged <= logged
    assert batches.items() <= labels.items()
