"""Versions in the ledger of a service that nobody trained: small real bundles, manifests as told."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fraud.bundle.store import BundleStore
from fraud.client import Client
from fraud.labels.exclusions import Exclusion
from fraud.records import Label, LabelValue
from fraud.registry.store import LedgerStore, promote
from fraud.settings import Settings, load_settings
from fraud.settings.model import Policy
from tests.bundle.made import POLICY, made_bundle, made_folds
from tests.serving.worlds import Process, Stream, serving
from tests.waiting import wait_until


class Ledger:
    """Writes what a retrainer would write, into the ledger of a service that runs."""

    def __init__(self, folder: Path) -> None:
        self.settings: Settings = load_settings(folder / "fraud.toml", {})
        self.store = LedgerStore.open(self.settings.places.ledger)
        self._bundles = BundleStore(self.settings.places.bundles)

    def register(
        self,
        version: str,
        *,
        upto: int,
        batches: Sequence[dict[str, Any]] = (),
        parent: str = "",
        exclusions: Sequence[Exclusion] = (),
        label_fed: Sequence[str] = (),
        policy: Policy = POLICY,
        folds: int = 0,
    ) -> None:
        """Register a version that learned from positions 1 to `upto` and the labels of `batches`."""
        model, _, number = version.rpartition("-")
        bundle = made_bundle(model, seed=int(number), policy=policy)
        bundle = made_folds(bundle, folds) if folds else bundle
        digest = self._bundles.write(bundle)
        manifest = dict(bundle.manifest) | {
            "positions": {"traffic": [1, upto], "train": [1, upto], "calibration": [1, upto]},
            "label_batches": list(batches),
            "label_fed_features": list(label_fed),
            "exclusions": [exclusion.to_dict() for exclusion in exclusions],
        }
        body = {
            "version": version,
            "model": model,
            "recipe": "full",
            "digest": digest,
            "parent": parent,
            "attempt": int(number),
            "challengers": 1,
            "cut_position": upto,
            "cut_time_us": 1,
            "manifest": manifest,
        }
        self.append("VersionRegistered", body)

    def append(self, kind: str, body: dict[str, Any]) -> int:
        """Append an entry by the retrainer; return its number."""
        return self.store.append(kind, body, actor="retrainer", reason="a test", time_us=1).seq

    def promote(self, client: Client, version: str, probation_us: int = 0) -> None:
        """Make a version the champion and wait until it serves."""
        model = version.rpartition("-")[0]
        promote(
            self.store,
            model,
            version,
            self.store.state().champion(model),
            actor="retrainer",
            reason=f"{version} is better",
            time_us=1,
            probation_us=probation_us,
        )
        wait_until(lambda: client.get_champion(model).version == version)


def batch_row(batch_id: str, source: str, submitter: str, position: int, **counts: int) -> dict[str, Any]:
    """Return the manifest's row of a batch that came in one part."""
    return {
        "batch_id": batch_id,
        "source": source,
        "submitter": submitter,
        "position": position,
        "parts": 1,
        "arrival_us": [1, 2**62],
        "digest": "0" * 64,
        "labels": 0,
        "frauds": 0,
    } | counts


@dataclass
class Polluted:
    """A service whose champion learned from a bad batch.

    positions   1…120 payments · 121 batch "good" · 122 card-1 serves · 123…162 payments
                163 batch "bad" · 164 card-2 serves · 165…184 payments

    card-1 learned from "good", card-2 from both, and card-3, a challenger, continues card-2.
    """

    process: Process
    client: Client
    ledger: Ledger
    good: list[Label]
    bad: list[Label]


@contextmanager
def polluted(folder: Path, **environment: str) -> Iterator[Polluted]:
    """Run such a service for the body of a `with`."""
    stream = Stream(seed=9)
    with serving(folder, **environment) as process, process.client() as client:
        ledger = Ledger(folder)
        first = _score(client, stream, 120)
        good = [Label(name, LabelValue.FRAUD, stream.now_us) for name in first[:6]]
        client.submit_labels("good", 0, "chargeback", "bank", good)
        good_row = batch_row("good", "chargeback", "bank", 121, labels=6, frauds=6)
        ledger.register("card-1", upto=121, batches=[good_row])
        ledger.promote(client, "card-1")
        second = _score(client, stream, 40)
        bad = [Label(name, LabelValue.LEGITIMATE, stream.now_us) for name in second[:4]]
        client.submit_labels("bad", 0, "analyst", "mallory", bad)
        bad_row = batch_row("bad", "analyst", "mallory", 163, labels=4)
        ledger.register("card-2", upto=163, batches=[good_row, bad_row])
        ledger.promote(client, "card-2")
        _score(client, stream, 20)
        ledger.register("card-3", upto=184, batches=[good_row], parent="card-2")
        try:
            yield Polluted(process, client, ledger, good, bad)
        finally:
            ledger.store.close()


def _score(client: Client, stream: Stream, rows: int) -> list[str]:
    results = [
        result
        for start in range(0, rows, 40)
        for result in client.score_batch(stream.take(min(40, rows - start)))
    ]
    return [result.decision.transaction_id for result in results]
