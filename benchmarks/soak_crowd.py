"""Everybody who uses a service for hours, each in a thread: what they did, how long it took, what failed.

payment systems   a payment · a batch · what became of payments
feeds             a batch of labels                                     one stream of payments, in order
people            a decision again · a page of decisions · a list of batches
operator          another champion, a retrain now and then, a new token that puts the file of identities anew
"""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

from benchmarks.crowds import labels_of, promote_another
from fraud.client import Client, Credentials
from fraud.clock import DAY_US
from fraud.errors import FraudError
from fraud.records import OutcomeReport, PaymentOutcome
from fraud.registry.store import LedgerStore
from fraud.registry.view import Registry
from fraud.serving.identity_desk import IdentityDesk
from fraud.settings import load_settings
from fraud.v1.transaction_pb2 import Transaction
from tests.serving.worlds import Stream

DAY_ROWS = 400
"""Payments of a simulated day: days pass in seconds, so that windows fill and the log is pruned."""
STEP_US = 2 * DAY_US // DAY_ROWS
BATCH = 20
DEADLINE_S = 10.0
SCORE, SWAP, RETRAIN, TOKEN = "score", "swap", "retrain", "token"
PAUSES_S = {SCORE: 0.01, "batch": 0.2, "labels": 0.25, "outcomes": 0.25, "again": 0.1, "list": 0.5}
OPERATOR_S = {SWAP: 5.0, RETRAIN: 30.0, TOKEN: 10.0}
RECENT = 400

Call = Callable[[Client], object]


class Crowd:
    """One crowd, from `begin` to `end`. `calls` and `failures` count by kind."""

    def __init__(self, folder: Path, target: str, token: str, stream: Stream, seed: int, pace: float) -> None:
        """`pace` multiplies how often the operator acts."""
        self._folder, self._target = folder, target
        self._credentials = Credentials(token)
        self._stream, self._streaming = stream, threading.Lock()
        self._recent: list[Transaction] = []
        self._random = Random(seed)
        self._pace = pace
        self.calls: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self._latencies_ms: list[float] = []
        self._numbers = iter(range(10**9))
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def begin(self) -> None:
        """Start everybody."""
        calls: dict[str, Call] = {
            SCORE: lambda client: self._noted(client.score, self._payments(1)[0]),
            "batch": lambda client: client.score_batch(self._payments(BATCH)),
            "labels": self._label,
            "outcomes": self._report,
            "again": lambda client: client.get_decision(self._one().transaction_id),
            "list": lambda client: client.list_decisions(page_size=50),
        }
        for name, call in calls.items():
            self._threads.append(threading.Thread(target=self._repeat, args=(name, call, PAUSES_S[name])))
        self._threads.append(threading.Thread(target=self._operate))
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Let everybody finish the call under way."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def take(self) -> list[float]:
        """Return how long single payments took since the last time, in milliseconds."""
        taken, self._latencies_ms = self._latencies_ms, []
        return taken

    def _repeat(self, name: str, call: Call, pause_s: float) -> None:
        with Client(self._target, deadline_s=DEADLINE_S, retries=0, credentials=self._credentials) as client:
            while not self._over.wait(pause_s):
                self._count(name, lambda: call(client))

    def _count(self, name: str, call: Callable[[], object]) -> None:
        try:
            call()
        except FraudError as error:
            self.failures[f"{name}: {error}"] += 1
        self.calls[name] += 1

    def _noted(self, score: Callable[[Transaction], object], wire: Transaction) -> None:
        began = time.perf_counter()
        score(wire)
        self._latencies_ms.append((time.perf_counter() - began) * 1e3)
        self._recent = [*self._recent[-RECENT:], wire]

    def _payments(self, rows: int) -> list[Transaction]:
        with self._streaming:
            return self._stream.take(rows, step_us=STEP_US)

    def _one(self) -> Transaction:
        while not self._recent and not self._over.is_set():
            self._over.wait(0.01)
        return self._random.choice(self._recent)

    def _label(self, client: Client) -> None:
        frauds, now_us = {it.transaction_id for it in self._stream.frauds[-RECENT:]}, self._stream.now_us
        wires = self._recent[-BATCH:] + self._stream.frauds[-2:]
        labels = labels_of(wires, frauds, now_us)
        if labels:
            client.submit_labels(f"soak-{next(self._numbers)}", 0, "chargeback", "", labels)

    def _report(self, client: Client) -> None:
        reports = [
            OutcomeReport(wire.transaction_id, PaymentOutcome.COMPLETED, wire.event_time_us)
            for wire in self._recent[-BATCH:]
        ]
        if reports:
            client.report_outcomes(reports)

    def _operate(self) -> None:
        store = LedgerStore.open(load_settings(self._folder / "fraud.toml", {}).places.ledger)
        # Followed, not read anew: a fold over all of it would hold up the calls that are timed.
        registry = Registry(store)
        desk = IdentityDesk(self._folder / "identities.json", made_by="soak")
        due = dict.fromkeys(OPERATOR_S, 0.0)
        with (
            contextlib.closing(store),
            Client(self._target, deadline_s=DEADLINE_S, retries=0, credentials=self._credentials) as client,
        ):
            acts: dict[str, Callable[[], None]] = {
                SWAP: lambda: self._swap(registry),
                RETRAIN: lambda: self._count(RETRAIN, lambda: _retrain(client)),
                TOKEN: lambda: self._count(TOKEN, lambda: self._renew(desk)),
            }
            while not self._over.wait(0.2):
                now_s = time.monotonic()
                for name in [name for name, at_s in due.items() if at_s <= now_s]:
                    due[name] = now_s + OPERATOR_S[name] / self._pace
                    acts[name]()

    def _swap(self, registry: Registry) -> None:
        """Promote another clean version; the scorer follows by itself."""
        with contextlib.suppress(FraudError):  # the gate was faster, and promoted another one
            self.calls[SWAP] += promote_another(registry, self._random, "soak") is not None

    def _renew(self, desk: IdentityDesk) -> None:
        made, _ = desk.add(f"guest-{next(self._numbers)}", ("auditor",), now_us=1, expires_us=0)
        desk.revoke(made.id, now_us=2)


def _retrain(client: Client) -> None:
    client.trigger_retrain("card", "soak", "")
