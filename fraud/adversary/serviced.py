"""The running service as a defender: payments through its client, labels as batches, its own retrains.

    decide   ScoreBatch, in calls of at most 500                 approved: the answer is APPROVE
    learn    SubmitLabels, a batch a filing, the last one dated now: that moves the log clock to midnight
             → wait until the retrainer has looked at all of it, and what it promoted serves

Time is the log clock, so nothing may go on while the retrainer works: an hour of training must
not cost a simulated day. When it has looked is told by its turns (`looks`), cycles included; so all that
labels ask for starts at midnight. Probing alone is seen while payments come, too. The retrainer is started
at the end of a first day, so that its calendar runs from midnight, as a fixed schedule's does.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

import numpy as np

from fraud.adversary.contest import Answers
from fraud.adversary.gang import Filing
from fraud.adversary.honest import HonestTraffic, Payments, wire_rows
from fraud.adversary.looks import NAMES, Shown, has_looked, require_short_rests
from fraud.adversary.stage import Stage, free_port
from fraud.client import Client
from fraud.clock import DAY_US
from fraud.errors import ConfigError, FraudError, NotAllowedNow, Unavailable
from fraud.eventlog.folder import open_log
from fraud.monitoring.scrape import Endpoint, scrape
from fraud.records import Outcome
from fraud.registry.chain import LedgerEntry
from fraud.registry.cycles import EMERGENCIES
from fraud.registry.loop import LoopCounts
from fraud.registry.store import LedgerStore

MODEL = "card"
CALL_ROWS = 500
START_SECONDS = 120.0
DAY_SECONDS = 600.0
"""The longest that the retrainer may take over what a day brought."""
_DEADLINE_SECONDS = 60.0
_POLL_SECONDS = 0.03


class ServiceDefender:
    """A `Defender` on a scorer and a retrainer of their own, in a folder; a context manager.

    `config` is the text of the service's configuration, which must keep time by the log, describe
    the traffic and have a model `card`; `environment` overrides its keys. The retrainer is started
    at the end of `first_day`. `failed` holds what could not be done, in words: calls and rows
    without an answer (those payments count as approved) and labels that were refused.

    Raises:
        NotAllowedNow: the folder holds what no stage wrote.
        ConfigError: the configuration is wrong, follows the wall clock, or looks too rarely for what should
            start an emergency.
        Unavailable: a process did not start.
    """

    def __init__(
        self,
        traffic: HonestTraffic,
        out: Path,
        config: str,
        environment: Mapping[str, str] = MappingProxyType({}),
        *,
        first_day: int = 14,
        name: str = "this service",
    ) -> None:
        self.name = name
        self.failed: list[str] = []
        self._traffic = traffic
        self._start_us = traffic.start_us + (first_day + 1) * DAY_US
        self._watching = False
        self._batches = count(1)
        self._metrics_port = free_port()
        ports = {
            "FRAUD__MONITORING__SCORER_PORT": "-1",
            "FRAUD__MONITORING__RETRAINER_PORT": str(self._metrics_port),
        }
        self.stage = Stage(out, config, {**environment, **ports})
        if self.stage.settings.service.clock != "log":
            raise ConfigError('service.clock: a contest keeps simulated time; set it to "log"')
        require_short_rests(self.stage.settings)
        self._client = Client(self.stage.target, deadline_s=_DEADLINE_SECONDS, retries=0)
        self._ledger: LedgerStore | None = None
        self._loop = LoopCounts()
        self._trained = TrainedCycles()

    def __enter__(self) -> Self:
        self.stage.__enter__()
        try:
            self.stage.start("serve", "serve")
            self.stage.wait_ready(self._client, START_SECONDS)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self._ledger = LedgerStore.open(self.stage.settings.places.ledger, writable=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()
        if self._ledger is not None:
            self._ledger.close()
        self.stage.__exit__(kind, error, trace)

    @property
    def retrains(self) -> int:
        """Cycles so far that registered at least one version."""
        return self._trained.count

    @property
    def emergencies_us(self) -> Sequence[int]:
        """When emergency retrains have started so far, µs UTC, in order."""
        return tuple(self._trained.emergencies_us)

    @property
    def started(self) -> Mapping[str, int]:
        """How many cycles each trigger has started so far."""
        return self._trained.started

    @property
    def loop(self) -> LoopCounts:
        """What the ledger says of cycles, verdicts, promotions and rollbacks so far."""
        return self._loop

    def decide(self, ids: Sequence[str], payments: Payments) -> Answers:
        """Send payments in order, and return what was answered."""
        approved = np.ones(len(ids), np.bool_)
        scores = np.full(len(ids), np.nan)
        for start in range(0, len(ids), CALL_ROWS):
            stop = min(start + CALL_ROWS, len(ids))
            rows = list(wire_rows(self._traffic, ids[start:stop], payments.part(start, stop), MODEL))
            try:
                results = self._client.score_batch(rows)
            except FraudError as error:
                self.stage.check()
                self.failed.append(f"ScoreBatch: {error}")
                continue
            for at, result in enumerate(results, start):
                if result.HasField("error"):
                    self.failed.append(f"{ids[at]}: {result.error.field}: {result.error.message}")
                    continue
                approved[at] = int(result.decision.outcome) == Outcome.APPROVE
                if result.decision.HasField("score"):
                    scores[at] = result.decision.score
        return Answers(approved, scores)

    def learn(self, filings: Sequence[Filing], now_us: int) -> None:
        """Hand in the labels of a day; then wait until nothing more follows from it.

        Raises:
            Unavailable: a process ended, with the tail of its log, or the retrainer took too long.
        """
        self.stage.check()
        for filing in dated(filings, now_us):
            self._submit(filing)
        if now_us < self._start_us:
            return
        if not self._watching:
            self.stage.start("retrain", "retrain", "--watch")
            self._watching = True
        self._settle(now_us)

    def _submit(self, filing: Filing) -> None:
        batch = f"{filing.submitter}-{next(self._batches):05d}"
        try:
            reply = self._client.submit_labels(batch, 0, filing.source, filing.submitter, filing.labels)
        except FraudError as error:
            self.stage.check()
            self.failed.append(f"SubmitLabels {batch}: {error}")
            return
        self.failed += [f"label of {row.transaction_id}: {row.reason}" for row in reply.refused]

    def _settle(self, evening_us: int) -> None:
        """Wait until the retrainer has looked, has started nothing since, and its champion serves."""
        settings, end = self.stage.settings, time.monotonic() + DAY_SECONDS
        with closing(open_log(settings)) as log:
            head = log.head()
        before = self._read_ledger()
        while (since := self._shown(end)).position < head:
            self._pause(end, "copy a day")
        while True:
            while not has_looked(settings, since, self._shown(end), evening_us):
                self._pause(end, "look at a day")
            if (now := self._read_ledger()) == before:
                break
            before, since = now, self._shown(end)
        while not self._serves():
            self._pause(end, "have its champion serve")

    def _shown(self, end: float) -> Shown:
        """Return what the retrainer shows now; while it does not answer, wait for it."""
        settings = self.stage.settings
        endpoint = Endpoint.of(settings.monitoring, settings.client, self._metrics_port)
        while (found := scrape(endpoint, *NAMES)) is None:
            self._pause(end, "answer")
        return Shown.of(found, MODEL)

    def _pause(self, end: float, what: str) -> None:
        """Let a moment pass in which something may come true."""
        self.stage.check()
        if time.monotonic() > end:
            log = self.stage.log_of("retrain")
            raise Unavailable(f"the retrainer did not {what} within {DAY_SECONDS:g} s; see {log}")
        time.sleep(_POLL_SECONDS)

    def _read_ledger(self) -> int:
        """Take in what is new on the ledger; return its head."""
        if self._ledger is None:
            raise NotAllowedNow("the service is not running; use its defender in a with statement")
        for entry in self._ledger.read(self._loop.seq):
            self._loop.apply(entry)
            self._trained.apply(entry)
        return self._loop.seq

    def _serves(self) -> bool:
        reply = self._client.get_champion(MODEL)
        return reply.version == reply.intended_version


class TrainedCycles:
    """Counts cycles from the ledger: those that registered a version, and those that each trigger started.

    `emergencies_us` are the times of emergencies, µs UTC, in order.
    """

    def __init__(self) -> None:
        self.count = 0
        self.started: Counter[str] = Counter()
        self.emergencies_us: list[int] = []
        self._registered = False

    def apply(self, entry: LedgerEntry) -> None:
        """Take the next entry."""
        if entry.kind == "CycleStarted":
            self._registered = False
            trigger = entry.body.get("trigger", "")
            self.started[trigger] += 1
            if trigger in EMERGENCIES:
                self.emergencies_us.append(entry.time_us)
        elif entry.kind == "VersionRegistered" and not self._registered:
            self._registered = True
            self.count += 1


def dated(filings: Sequence[Filing], now_us: int) -> list[Filing]:
    """Return the filings with the last one dated `now_us`, the others no later than just before.

    The log clock follows label times, so it reaches the end of the day with the last labels of it,
    and no calendar can start a retrain between two batches.
    """
    return [
        replace(
            filing,
            labels=tuple(
                replace(label, label_time_us=now_us if last else min(label.label_time_us, now_us - 1))
                for label in filing.labels
            ),
        )
        for filing, last in zip(filings, [False] * (len(filings) - 1) + [True], strict=False)
    ]
