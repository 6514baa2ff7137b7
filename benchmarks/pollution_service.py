"""The service on one data folder, under load, and the ways to repair it.

    scorer process ◄─ ScoreBatch ─ a day at a set pace, while a remedy runs; then the rest
                   ◄─ LabelService ─ the feed of the day
    retrainer process, watching: retrains that a remedy asks for

A version that the gate lets wait is promoted by hand on the ledger, and the text says so.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.pollution_feed import BATCH, SUBMITTER, Feed
from benchmarks.processes import Server, is_healthy, running
from benchmarks.stream import calls_of, messages_of, of_day, submit
from fraud.adversary.stage import free_port
from fraud.client import Client
from fraud.clock import DAY_US
from fraud.errors import FraudError
from fraud.records import LabelValue
from fraud.registry.store import LedgerStore, promote
from fraud.settings import Settings, load_settings
from fraud.v1 import models_pb2
from fraud.v1.transaction_pb2 import Transaction

MODEL, ACTOR = "card", "benchmark"
PATIENCE_S = 600.0
DEADLINE_S = 10.0
"""A payment that has no answer by then has failed."""
PACED_ROWS, PACED_S = 2, 0.05
_POLL_S = 0.02


@dataclass(frozen=True)
class Place:
    """A data folder and the environment its service runs in."""

    folder: Path
    environment: Mapping[str, str]

    @property
    def settings(self) -> Settings:
        """The settings, environment included."""
        return load_settings(self.folder / "fraud.toml", self.environment)

    def ledger(self) -> LedgerStore:
        """Open the registry ledger beside the service."""
        return LedgerStore.open(self.settings.places.ledger)


@dataclass
class Answers:
    """What came back: scores by id, and how many payments were not answered."""

    scores: dict[str, float] = field(default_factory=dict)
    failed: int = 0
    version: str = ""

    def score(self, client: Client, messages: Sequence[Transaction]) -> None:
        """Score one call of payments; a call that fails is a failure of each, never repeated."""
        try:
            results = client.score_batch(messages)
        except FraudError:
            self.failed += len(messages)
            return
        for message, result in zip(messages, results, strict=True):
            if result.HasField("decision"):
                self.scores[message.transaction_id] = result.decision.score
                self.version = result.decision.version
            else:
                self.failed += 1


class Load:
    """Payments at a set pace from a thread of its own, until told that the pause is over.

    `slowest_s` is the longest that one of its calls took, NaN when there was none.
    """

    def __init__(self, client: Client, messages: Sequence[Transaction], answers: Answers) -> None:
        self._client = client
        self._messages = messages
        self._answers = answers
        self._at = 0
        self.slowest_s = float("nan")
        self._seen: list[tuple[float, str]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while self._at < len(self._messages) and not self._ended.wait(PACED_S):
            began = time.perf_counter()
            self._answers.score(self._client, self._messages[self._at : self._at + PACED_ROWS])
            ended = time.perf_counter()
            self._at += PACED_ROWS
            self.slowest_s = float(np.fmax(self.slowest_s, ended - began))
            self._seen.append((ended, self._answers.version))

    def served(self, version: str, since: float) -> float:
        """Wait for the first reply by a version; return the seconds from `since` to it, NaN if never."""
        end = time.perf_counter() + PATIENCE_S
        while time.perf_counter() < end:
            running = self._thread.is_alive()
            for at, by in self._seen[:]:
                if at >= since and by == version:
                    return at - since
            if not running:
                break
            time.sleep(_POLL_S)
        return float("nan")

    def rest(self) -> Sequence[Transaction]:
        """End the paced part and return what was not sent."""
        self._ended.set()
        self._thread.join()
        return self._messages[self._at :]


@dataclass
class Desk:
    """An operator at a running service, and the payments; these are never sent again when a call fails."""

    place: Place
    client: Client
    payer: Client
    feed: Feed
    answers: Answers = field(default_factory=Answers)

    def begin_day(self, day: int) -> Sequence[Transaction]:
        """Hand in the labels of a day; return its payments."""
        start_us = self.feed.start_us + day * DAY_US
        submit(
            self.client,
            f"{BATCH}-{day}",
            "processor",
            SUBMITTER,
            self.feed.cleared(day),
            LabelValue.LEGITIMATE,
            start_us,
        )
        frauds = self.feed.chargebacks(day)
        submit(self.client, f"frauds-{day}", "chargeback", "import", frauds, LabelValue.FRAUD, start_us)
        return messages_of(of_day(self.feed.payments, start_us))

    def stream(self, days: range) -> None:
        """Run days at full speed."""
        for day in days:
            for call in calls_of(self.begin_day(day)):
                self.answers.score(self.payer, call)

    def champion(self) -> str:
        """Return the version that serves."""
        return self.client.get_champion(MODEL).version

    def retrain(self) -> models_pb2.GetRetrainResponse:
        """Ask for a retrain and wait until what it promoted serves."""
        seq = self.client.trigger_retrain(MODEL, "pollution benchmark", ACTOR)
        return self.ended(lambda: self.client.get_retrain(seq))

    def ended(self, look: Callable[[], models_pb2.GetRetrainResponse]) -> models_pb2.GetRetrainResponse:
        """Wait until a retrain has ended.

        Raises:
            RuntimeError: it failed, or took too long.
        """
        end = time.perf_counter() + PATIENCE_S
        while time.perf_counter() < end:
            reply = look()
            if reply.state == models_pb2.GetRetrainResponse.FAILED:
                raise RuntimeError(f"the retrain failed: {reply.text}")
            if reply.state == models_pb2.GetRetrainResponse.FINISHED and reply.applied:
                return reply
            time.sleep(_POLL_S)
        raise RuntimeError(f"no retrain ended within {PATIENCE_S:g} s; see retrainer.log")

    def eventually(self, holds: Callable[[], bool], what: str) -> None:
        """Wait on a condition.

        Raises:
            RuntimeError: it did not come true.
        """
        end = time.perf_counter() + PATIENCE_S
        while not holds():
            if time.perf_counter() > end:
                raise RuntimeError(f"{what}: not within {PATIENCE_S:g} s")
            time.sleep(_POLL_S)

    def crown_newest(self) -> str:
        """Have the newest version serve, by hand if the gate has not promoted it; say what the gate said.

        Raises:
            NotAllowedNow: the gate has rejected it.
        """
        newest = self.client.list_versions(MODEL, page_size=1).versions[0]
        said = f"{newest.version} {newest.verdict}"
        if newest.status != "champion":
            store = self.place.ledger()
            try:
                expected = store.state().champion(MODEL)
                promote(
                    store,
                    MODEL,
                    newest.version,
                    expected,
                    actor=ACTOR,
                    reason="to see what it does",
                    time_us=store.state().time_us,
                )
            finally:
                store.close()
            said += ", promoted by hand"
        self.eventually(lambda: self.champion() == newest.version, f"{newest.version} serves")
        return said


@contextmanager
def service(place: Place, feed: Feed, *, retrainer: bool) -> Iterator[Desk]:
    """Run the scorer on a folder, and the retrainer beside it where one is wanted."""
    port = free_port()
    environment = {**place.environment, "FRAUD__SERVER__PORT": str(port)}
    command = [sys.executable, "-m", "fraud.cli", "--config", str(place.folder / "fraud.toml")]

    def start(name: str, *arguments: str) -> AbstractContextManager[Server]:
        log = place.folder / f"{name}.log"
        return running(name, [*command, *arguments], port, log=log, ready=is_healthy, environment=environment)

    address = f"127.0.0.1:{port}"
    with (
        start("scorer", "serve"),
        Client(address, deadline_s=60) as client,
        Client(address, deadline_s=DEADLINE_S, retries=0) as payer,
        start("retrainer", "retrain", "--watch") if retrainer else nullcontext(),
    ):
        yield Desk(place, client, payer, feed)
