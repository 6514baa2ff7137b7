"""Clients of a service that will be killed; they note what was acknowledged.

scorers × n   payments → labels → outcomes → a listing → …   until an error, which is the kill
operator × 1  retrain, promotion of what is clean, …           until told to stop
"""

import contextlib
import threading
from pathlib import Path
from random import Random

from benchmarks.crowds import labels_of, promote_another
from fraud.client import Client
from fraud.errors import FraudError
from fraud.records import OutcomeReport, PaymentOutcome
from fraud.registry.store import LedgerStore
from fraud.registry.view import Registry
from fraud.settings import load_settings
from tests.serving.worlds import Stream

ROWS = 20
LABELS = 4
LISTED = 40
"""Tokens that no payment has, and that are put on lists."""
PAUSE_S = 0.3
SCORE_PAUSE_S = 0.02
"""A thread scores a few hundred payments a second: enough to be hit in the middle of anything."""
SCORERS = 4


class Crowd:
    """Everybody who uses the service in one round; what they were told is kept over rounds."""

    def __init__(self) -> None:
        self.payments: set[str] = set()
        self.batches: dict[str, int] = {}
        self.promotions: set[int] = set()
        self.outcomes: set[OutcomeReport] = set()
        self.listings: set[str] = set()
        """By their reason, which names one each."""
        self._threads: list[threading.Thread] = []
        self._over = threading.Event()

    def acknowledged(self) -> int:
        """Return how much was acknowledged so far."""
        known = (self.payments, self.batches, self.promotions, self.outcomes, self.listings)
        return sum(map(len, known))

    def begin(self, folder: Path, target: str, number: int, seed: int) -> None:
        """Start the threads of a round."""
        self._over.clear()
        self._threads = [
            threading.Thread(target=self._score, args=(target, seed * 1_000 + number * 10 + i, 11.0 + number))
            for i in range(SCORERS)
        ]
        self._threads.append(threading.Thread(target=self._operate, args=(folder, target, seed + number)))
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Wait until everybody has noticed that the scorer is gone."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _score(self, target: str, seed: int, days: float) -> None:
        stream = Stream(seed)
        stream.skip_days(days)
        with Client(target, deadline_s=10, retries=0) as client, contextlib.suppress(FraudError):
            while not self._over.is_set():
                wires = stream.take(ROWS)
                for result in client.score_batch(wires):
                    self.payments.add(result.decision.transaction_id)
                frauds = {wire.transaction_id for wire in stream.frauds[-ROWS:]}
                labels = labels_of(wires[:LABELS], frauds, stream.now_us)
                batch = f"crash-{seed}-{stream.count}"
                client.submit_labels(batch, 0, "chargeback", "bank", labels)
                self.batches[batch] = len(labels)
                reports = [
                    OutcomeReport(it.transaction_id, PaymentOutcome.COMPLETED, stream.now_us)
                    for it in wires[LABELS : 2 * LABELS]
                ]
                client.report_outcomes(reports)
                self.outcomes.update(reports)
                self._list(client, seed, stream.count // ROWS)
                self._over.wait(SCORE_PAUSE_S)

    def _list(self, client: Client, seed: int, number: int) -> None:
        token, reason = f"listed-{number % LISTED}", f"crash {seed} {number}"
        client.set_listing("allow", "device", token, actor="benchmark", reason=reason)
        self.listings.add(reason)

    def _operate(self, folder: Path, target: str, seed: int) -> None:
        random = Random(seed)
        store = LedgerStore.open(load_settings(folder / "fraud.toml", {}).places.ledger)
        registry = Registry(store)
        with contextlib.closing(store), Client(target, deadline_s=10, retries=0) as client:
            while not self._over.is_set():
                with contextlib.suppress(FraudError):
                    entry = promote_another(registry, random, "benchmark")
                    if entry is not None:
                        self.promotions.add(entry)
                    client.trigger_retrain("card", "crash", "benchmark")
                self._over.wait(PAUSE_S)
