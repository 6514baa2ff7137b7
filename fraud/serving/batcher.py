"""Natural batching: what arrives while a batch is in work forms the next one.

    event loop: score ──► admission ──► inbox ──► one scoring thread, round after round:
        ▲       run (a swap, a snapshot) ───┤        1. what must run alone and soon
        │       feed (labels, lists) ───────┘        2. labels, when no score waits or they are due
        │                                            3. a batch of scores, callers in fair turns
        └── one call_soon_threadsafe a round ◄───────┘

There is no artificial wait: a lone request is a batch of one. Between two
batches the event loop has its turn, in which it sends the answers and takes in
what has arrived: both threads share one interpreter, and without the turn the
next batch would start with the first request of many. gRPC hands requests over
one by one, a round of the loop or two for each, so the turn lasts until a few
rounds have brought none.

All sorting happens on the scoring thread, which also appends to the log: the
order in which it takes work is the order of the log, whatever the order of
arrival was. Calls that are open together may overtake each other; who waits for
an answer before the next call is never overtaken by himself.
"""

import asyncio
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from fraud.errors import FraudError, Overloaded, TooLate, Unavailable
from fraud.records import Scored, Transaction
from fraud.serving.admission import Admission
from fraud.serving.fairness import FairQueue, TimeShare, WaitingRoom
from fraud.serving.roles import calling, name_of
from fraud.serving.shedding import GIVEN_UP, Forecast, Pace, answer_by, settled
from fraud.serving.turn import Turn
from fraud.settings.server import Server
from fraud.v1.scoring_pb2 import Reason

_log = structlog.get_logger("fraud.serving.batcher")


@dataclass(frozen=True, slots=True)
class Answer:
    """A logged decision with its reasons, ready for the wire; `position`: where it was logged before."""

    scored: Scored
    arrival_time_us: int
    reasons: tuple[Reason, ...] = ()
    position: int | None = None


@dataclass(slots=True, eq=False)
class ScoreWork:
    """Transactions of one call, to be scored in order; the future gets an answer or error a row.

    The future is done when the work is, also where nobody waits for it any more.
    """

    transactions: tuple[Transaction, ...]
    with_reasons: bool
    future: "asyncio.Future[list[Answer | FraudError]]"
    caller: str | None = None
    answer_by_s: float = math.inf
    """Monotonic time after which nobody waits for the answer; GIVEN_UP: nobody does."""

    @property
    def rows(self) -> int:
        """Transactions, at least one."""
        return len(self.transactions)


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """Anything else that must run on the scoring thread, before what waits to be scored."""

    run: Callable[[], Any]
    future: "asyncio.Future[Any]"


@dataclass(slots=True, eq=False)
class Feed:
    """Labels, outcomes or a listing of one call, to be logged beside the scores; else as `ScoreWork`."""

    run: Callable[[], Any]
    future: "asyncio.Future[Any]"
    caller: str | None
    rows: int
    answer_by_s: float = math.inf


@dataclass(slots=True)
class Delivery:
    """Results on their way back to the event loop, handed over in one go; then it has its `turn`."""

    loop: asyncio.AbstractEventLoop
    results: list[tuple["asyncio.Future[Any]", Any, BaseException | None]] = field(default_factory=list)
    turn: Turn | None = None

    def answer(self, future: "asyncio.Future[Any]", value: Any) -> None:
        """Note a result."""
        self.results.append((future, value, None))

    def fail(self, future: "asyncio.Future[Any]", error: BaseException) -> None:
        """Note an error."""
        self.results.append((future, None, error))

    def send(self) -> None:
        """Hand all that was noted to the event loop."""
        if self.results:
            if self.turn is not None:
                self.turn.give()
            self.loop.call_soon_threadsafe(self._settle, self.results)
            self.results = []

    def _settle(self, results: list[tuple["asyncio.Future[Any]", Any, BaseException | None]]) -> None:
        for future, value, error in results:
            if future.done():
                continue  # the caller gave up
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)
        if self.turn is not None:
            self.turn.use()


class Engine(Protocol):
    """What the scoring thread drives; `serving.scorer` in production."""

    def score(self, works: list[ScoreWork], delivery: Delivery) -> None:
        """Score and log all rows of these calls as one batch."""
        ...


class Batcher:
    """Owns the queues and the scoring thread."""

    def __init__(self, engine: Engine, limits: Server) -> None:
        self._engine = engine
        self._rows_max = limits.scoring_rows_max
        self._forecast = Forecast(self._rows_max)
        self._admission = Admission(self._forecast, limits.queue_rows_max, limits.wait_max / 1e6)
        self.check = self._admission.check
        self._fed_rows = WaitingRoom(limits.label_queue_rows_max)
        self._fed_calls = WaitingRoom(limits.label_calls_max)
        self._inbox: queue.SimpleQueue[ScoreWork | Task | Feed | None] = queue.SimpleQueue()
        self._tasks: deque[Task] = deque()
        self._scores: FairQueue[ScoreWork] = FairQueue()
        self._feeds: FairQueue[Feed] = FairQueue()
        self._share = TimeShare(limits.label_share)
        self._fed_pace = Pace()
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn: Turn | None = None
        self._thread = threading.Thread(target=self._work_off, name="scoring", daemon=True)

    @property
    def queued_rows(self) -> int:
        """Rows submitted and not answered yet."""
        return self._admission.held_by_all

    @property
    def fed_rows(self) -> int:
        """Labels and outcomes submitted and not logged yet."""
        return self._fed_rows.held_by_all

    def wait_s(self) -> float:
        """Return the wait that is foreseen for a row that comes now."""
        return self._admission.wait_s(1, time.monotonic())

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the scoring thread; results go to `loop`."""
        self._loop = loop
        self._turn = Turn(loop)
        self._thread.start()

    async def score(
        self, transactions: tuple[Transaction, ...], *, with_reasons: bool
    ) -> list[Answer | FraudError]:
        """Queue transactions of one call and return an answer or error for each.

        Its place is free again when they were answered, or passed over because the caller gave up. What
        is logged by then stays logged: a retry with the same ids finds the stored answers.

        Raises:
            Overloaded: the queue has no room (`server.queue_rows_max`).
            TooLate: the answer would come, or has come, after the call's deadline; nothing was scored.
            Unavailable: the scorer drains, or lost its log and is restoring.
        """
        rows = len(transactions)
        future = self._future()
        caller = self._admission.enter(rows)
        future.add_done_callback(lambda _: self._scored(future, caller, rows))
        assert self._turn is not None
        self._turn.note_arrival()
        work = ScoreWork(transactions, with_reasons, future, caller, answer_by())
        answers: list[Answer | FraudError] = await self._settled(work)
        return answers

    def _scored(self, future: "asyncio.Future[Any]", name: str | None, rows: int) -> None:
        self._admission.leave(name, rows)
        future.exception()  # whoever gave up will not ask for it

    async def _settled(self, work: ScoreWork | Feed) -> Any:
        """Hand work to the scoring thread and wait."""
        self._inbox.put(work)
        return await settled(work, work.future)

    async def feed(self, task: Callable[[], Any], rows: int) -> Any:
        """Run something for labels, outcomes or a list on the scoring thread, when scores leave time for it.

        Its place is free again when it has run, or been passed over because its caller gave up.

        Raises:
            Overloaded: too many of them wait (`server.label_queue_rows_max`, `server.label_calls_max`).
            TooLate: it would have its turn, or had it, after the call's deadline; nothing was done.
            Unavailable: the scorer drains.
        """
        future, name = self._future(), name_of(calling())
        if self._fed_calls.free(name) < 1 or self._fed_rows.free(name) < rows:
            raise Overloaded(
                f"{self._fed_rows.held_by_all} labels and outcomes of {self._fed_calls.held_by_all} calls "
                f"wait already, {self._fed_rows.held(name)} of {self._fed_calls.held(name)} yours "
                f"(server.label_queue_rows_max = {self._fed_rows.most}, "
                f"server.label_calls_max = {self._fed_calls.most}); try again with back-off"
            )
        self._check_turn(name, answer_by() - time.monotonic())
        self._fed_calls.enter(name)
        self._fed_rows.enter(name, rows)
        future.add_done_callback(lambda _: self._fed(future, name, rows))
        return await self._settled(Feed(task, future, name, rows, answer_by()))

    def _check_turn(self, name: str | None, left_s: float) -> None:
        """Refuse a call whose turn would come too late: behind the round in work and its caller's others.

        What others bring may come before it too, and is not foreseen. A caller of whom nothing waits is
        measured against the round alone, so that it is let in, and what labels cost is learned again.

        Raises:
            TooLate: the call has less time left.
        """
        pace = self._fed_pace
        ahead_s = pace.fixed_s * self._fed_calls.held(name) + pace.row_s * self._fed_rows.held(name)
        wait_s = self._forecast.left_s(time.monotonic()) + ahead_s
        if wait_s > left_s:
            raise TooLate(
                f"its turn would come in {wait_s * 1e3:.0f} ms, and the call's deadline is in "
                f"{left_s * 1e3:.0f} ms; nothing was done, try again with back-off or a longer deadline"
            )

    def _fed(self, future: "asyncio.Future[Any]", name: str | None, rows: int) -> None:
        self._fed_calls.leave(name)
        self._fed_rows.leave(name, rows)
        future.exception()  # whoever gave up will not ask for it

    async def run(self, task: Callable[[], Any]) -> Any:
        """Run something on the scoring thread, before what waits to be scored."""
        future = self._future()
        self._inbox.put(Task(task, future))
        return await future

    def _future(self) -> "asyncio.Future[Any]":
        if self._closed or self._loop is None:
            raise Unavailable("the scorer is draining; send to another one, or again after its restart")
        return self._loop.create_future()

    async def close(self) -> None:
        """Work off what is queued, then stop the thread."""
        if self._closed or self._loop is None:
            return
        self._closed = True
        self._inbox.put(None)
        await self._loop.run_in_executor(None, self._thread.join)

    def _work_off(self) -> None:
        assert self._loop is not None
        assert self._turn is not None
        delivery = Delivery(self._loop, turn=self._turn)
        open_ = True
        while open_ or self._tasks or self._scores or self._feeds:
            self._turn.wait()
            self._forecast.end(time.monotonic())
            open_ = self._sort_in() and open_
            while self._tasks:
                self._forecast.begin(0, time.monotonic())
                task = self._tasks.popleft()
                if not task.future.done():  # else its caller gave up
                    _run(task, delivery)
            began_s = time.monotonic()
            self._feed(delivery, began_s)
            self._score(delivery, began_s)

    def _sort_in(self) -> bool:
        """Sort what has come in by kind and caller, waiting if there is nothing; False when told to close."""
        inbox = self._inbox
        idle = not (self._scores or self._feeds)
        while True:
            try:
                work = inbox.get() if idle else inbox.get_nowait()
            except queue.Empty:
                return True
            idle = False
            if isinstance(work, ScoreWork):
                self._scores.put(work.caller, work)
            elif isinstance(work, Task):
                self._tasks.append(work)
            elif isinstance(work, Feed):
                self._feeds.put(work.caller, work)
            else:
                return False

    def _score(self, delivery: Delivery, began_s: float) -> None:
        """Score the next batch of the round, without what nobody waits for any more."""
        if not self._scores:
            return
        started_s = time.monotonic()
        works = self._scores.take(self._rows_max)
        rows, batch = 0, []
        for work in works:
            self._admission.taken += len(work.transactions)
            if not _passed_over(work, started_s, delivery):
                batch.append(work)
                rows += len(work.transactions)
        if batch:
            self._forecast.begin(rows, began_s)
            try:
                self._engine.score(batch, delivery)
            except Exception as error:  # noqa: BLE001 — the thread must outlive any one batch
                if not isinstance(error, FraudError):
                    _log.exception("batch failed", rows=rows)
                for work in batch:
                    delivery.fail(work.future, error)
                self._forecast.begin(0, began_s)  # a restore says nothing about what a round costs
            self._share.earn(time.monotonic() - started_s)
        delivery.send()

    def _feed(self, delivery: Delivery, began_s: float) -> None:
        """Log labels and outcomes: of one call when no score waits, else of as many as are due."""
        if not self._feeds:
            return
        contested = bool(self._scores)
        self._forecast.begin(0, began_s)
        while self._feeds and (self._share.due or not contested):
            started_s = time.monotonic()
            (work,) = self._feeds.take(1)
            if _passed_over(work, started_s, delivery):
                delivery.send()
            elif _run(work, delivery):  # a failure, or a restore after it, says nothing about the cost
                self._fed_pace.observe(work.rows, time.monotonic() - started_s)
            if not contested:
                break
            self._share.spend(time.monotonic() - started_s)


def _passed_over(work: ScoreWork | Feed, now_s: float, delivery: Delivery) -> bool:
    """Tell whether nobody waits for the work any more, and then settle it without doing it."""
    if work.answer_by_s >= now_s:
        return False
    if work.answer_by_s == GIVEN_UP:
        delivery.answer(work.future, None)
    else:
        late = TooLate("the call's deadline passed while it waited; nothing was done, try again")
        delivery.fail(work.future, late)
    return True


def _run(task: Task | Feed, delivery: Delivery) -> bool:
    """Do it and send what comes of it; False where that is an error."""
    done = True
    try:
        delivery.answer(task.future, task.run())
    except Exception as error:  # noqa: BLE001 — goes to whoever asked
        delivery.fail(task.future, error)
        done = False
    delivery.send()
    return done
