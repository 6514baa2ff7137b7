"""A data folder with two champions, the second of which learned from a bad label batch."""

import json
import shutil
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from fraud.bundle.store import BundleStore
from fraud.cli.main import run
from fraud.client import Client
from fraud.records import Label, LabelValue
from fraud.registry.ledger import RegistryState
from fraud.registry.store import LedgerStore, promote
from fraud.settings import Settings, load_settings
from tests.process.made_once import made_once
from tests.process.test_loop import FINISHED, fill, retraining, wait_for
from tests.serving.worlds import Stream, serving, settings_in, train_at_once

BAD = "bad"
SEED = 31


def shared(factory: pytest.TempPathFactory) -> Path:
    """The folder of `make`, made once in a run and written to by nobody."""
    return made_once(factory, "polluted", make)


def make(folder: Path, *, polluted: bool = True) -> None:
    """Ten days, card-1; the bad batch; two days, card-2, promoted by hand.

    Unpolluted: neither the batch nor card-2. The gate is made to let card-2 wait
    rather than to reject it: here it is the repair that is tested.
    """
    stream = Stream(SEED)
    settings_in(folder)
    train_at_once(folder)
    path = folder / "fraud.toml"
    gate = "[gate]\nalert_shift_max = 1e6\ncalibration_ratio_max = 1e6\ne_value = 1e9\n"
    path.write_text(path.read_text().replace("[gate]\n", gate))
    with serving(folder) as process, process.client() as client, retraining(folder):
        fill(client, stream, days=10)
        assert wait_for(client, client.trigger_retrain("card", "first", "test")).state == FINISHED
        assert client.get_champion("card").version == "card-1"
        if polluted:
            # Every fraud of the first days, said to be none by the most trusted source.
            half = stream.frauds[: len(stream.frauds) // 2]
            labels = [Label(wire.transaction_id, LabelValue.LEGITIMATE, stream.now_us) for wire in half]
            for part, start in enumerate(range(0, len(labels), 100)):
                client.submit_labels(BAD, part, "chargeback", "mallory", labels[start : start + 100])
        fill(client, stream, days=2)
        if polluted:
            assert wait_for(client, client.trigger_retrain("card", "second", "test")).state == FINISHED
        process.stop()
    if polluted:
        store = LedgerStore.open(settings_of(folder).places.ledger)
        promote(
            store, "card", "card-2", "card-1", actor="test", reason="to have a polluted champion", time_us=1
        )
        store.close()
        with serving(folder) as process, process.client() as client:
            assert client.get_champion("card").version == "card-2"
            process.stop()


def settings_of(folder: Path) -> Settings:
    return load_settings(folder / "fraud.toml", {})


def copy(made: Path, folder: Path) -> Path:
    """Copy a made data folder."""
    shutil.copytree(made, folder / "copy")
    return folder / "copy"


def state_of(folder: Path) -> RegistryState:
    store = LedgerStore.open(settings_of(folder).places.ledger, writable=False)
    store.verify()
    state = store.state()
    store.close()
    return state


def kinds_of(folder: Path) -> list[str]:
    """The kinds of entries of the ledger, in order."""
    store = LedgerStore.open(settings_of(folder).places.ledger, writable=False)
    kinds = [entry.kind for entry in store.read()]
    store.close()
    return kinds


def model_of(folder: Path, version: str) -> dict[str, object]:
    """Everything of a version's bundle but its manifest."""
    state = state_of(folder)
    bundle = BundleStore(settings_of(folder).places.bundles).read(state.version(version).digest)
    return {
        "booster": bundle.booster,
        "calibrator": bundle.calibrator,
        "thresholds": bundle.thresholds,
        "risk_scale": bundle.risk_scale.to_list(),
        "references": bundle.references.to_dict(),
        "ranges": bundle.ranges,
        "selftest": (bundle.selftest.matrix.tobytes(), bundle.selftest.margins.tobytes()),
    }


def replays(folder: Path) -> bool:
    """`fraud replay`: every logged feature is what a replay across all repairs computes.

    Its stdout is one JSON document, whatever is logged meanwhile.
    """
    with redirect_stdout(StringIO()) as written:
        status = run(["--config", str(folder / "fraud.toml"), "--output", "json", "replay"])
    return status == 0 and isinstance(json.loads(written.getvalue()), dict)


def in_force(client: Client, seq: int) -> bool:
    """Tell whether the feature state counts by an exclusion."""
    steps = {step.step: step.done for step in client.list_exclusions(seq)[0].steps}
    return steps["in force"]
