"""The payment system of the demo: sends payments and verdicts, and keeps the answers.

    day ──batches──▶ ScoreBatch      the bulk of a day
        ──singly───▶ Score           while a retrain is under way, so a swap meets live calls
    label feed ────▶ SubmitLabels    every two simulated hours, what has become known

Labels go in at fixed moments of the stream, however payments are sent, so that
the log, and with it every verdict, is the same in each run of a seed. Nothing
is retried: a request that fails is counted, and the demo fails with it.
"""

import time
from dataclasses import dataclass, field
from itertools import count

import numpy as np
from numpy.typing import NDArray

from fraud.adversary.world import START_US, Day, LabelFeed, wire_rows
from fraud.client import Client
from fraud.clock import HOUR_US
from fraud.errors import FraudError
from fraud.records import Label
from fraud.v1.scoring_pb2 import Decision

MODEL = "card"
BATCH_ROWS = 500
_SUBMITTER = "demo"
_LABELS_EVERY_US = 2 * HOUR_US


@dataclass(slots=True)
class DayAnswers:
    """A day under way: how far it was sent and what was answered (`scores` NaN: no score)."""

    day: Day
    scores: NDArray[np.float64] = field(init=False)
    versions: list[str] = field(default_factory=list)
    sent: int = 0

    def __post_init__(self) -> None:
        self.scores = np.full(len(self.day), np.nan)

    @property
    def left(self) -> int:
        """Payments not sent yet."""
        return len(self.day) - self.sent

    def take(self, at: int, decision: Decision) -> None:
        """Keep one answer."""
        if decision.HasField("score"):
            self.scores[at] = decision.score
        if decision.version and decision.version not in self.versions:
            self.versions.append(decision.version)


class Traffic:
    """Sends through one client and counts; owns the label feed."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._feed = LabelFeed()
        self._batches = count(1)
        self._labels_next_us = START_US + _LABELS_EVERY_US
        self.transactions = 0
        self.without_champion = 0
        self.requests = 0
        self.labels = 0
        self.failed: list[str] = []

    def begin(self, day: Day) -> DayAnswers:
        """Start a day: its verdicts are under way from now on."""
        self._feed.expect(day)
        return DayAnswers(day)

    def finish(self, answers: DayAnswers) -> None:
        """Send what is left of a day in batches, and the verdicts when their moment comes."""
        times = answers.day.rows.event_time_us
        while answers.left:
            self._submit_labels_before(int(times[answers.sent]))
            stop = min(answers.sent + BATCH_ROWS, int(np.searchsorted(times, self._labels_next_us)))
            at = range(answers.sent, stop)
            self._send_batch(answers, at)
            answers.sent = at.stop

    def _send_batch(self, answers: DayAnswers, at: range) -> None:
        self.requests += 1
        try:
            results = self._client.score_batch(wire_rows(answers.day, at, MODEL))
        except FraudError as error:
            self.failed.append(f"ScoreBatch: {error}")
            return
        for i, result in zip(at, results, strict=True):
            if result.HasField("error"):
                self.failed.append(f"ScoreBatch row {i}: {result.error.field}: {result.error.message}")
            else:
                self._take(answers, i, result.decision)

    def send_one(self, answers: DayAnswers) -> float:
        """Send the next payment of a day by itself; return how long the answer took, ms."""
        at = answers.sent
        self._submit_labels_before(int(answers.day.rows.event_time_us[at]))
        answers.sent += 1
        (row,) = wire_rows(answers.day, [at], MODEL)
        self.requests += 1
        started = time.perf_counter()
        try:
            self._take(answers, at, self._client.score(row))
        except FraudError as error:
            self.failed.append(f"Score: {error}")
        return (time.perf_counter() - started) * 1e3

    def _take(self, answers: DayAnswers, at: int, decision: Decision) -> None:
        self.transactions += 1
        self.without_champion += "NO_CHAMPION" in decision.limits
        answers.take(at, decision)

    def _submit_labels_before(self, event_time_us: int) -> None:
        """Hand in verdicts at every moment for it that has come before the next payment."""
        while self._labels_next_us <= event_time_us:
            for source, labels in self._feed.due(self._labels_next_us).items():
                self._submit(f"{source}-{next(self._batches):05d}", source, labels)
            self._labels_next_us += _LABELS_EVERY_US

    def _submit(self, batch_id: str, source: str, labels: list[Label]) -> None:
        self.requests += 1
        try:
            reply = self._client.submit_labels(batch_id, 0, source, _SUBMITTER, labels)
        except FraudError as error:
            self.failed.append(f"SubmitLabels: {error}")
            return
        self.labels += reply.accepted + reply.waiting
        self.failed += [f"label {row.transaction_id}: {row.reason}" for row in reply.refused]
