"""Natural batching: what arrives while a batch is in work forms the next one.

    event loop: submit(work) ──► queue ──► one scoring thread: takes all that waits
        ▲                                        │ (up to rows_max), runs it in order
        └── one call_soon_threadsafe a batch ◄───┘

There is no artificial wait: a lone request is a batch of one. Between two
batches the event loop has its turn, in which it sends the answers and takes in
what has arrived: both threads share one interpreter, and without the turn the
next batch would start with the first request of many. gRPC hands requests over
one by one, a round of the loop or two for each, so the turn lasts until a few
rounds have brought none. Score requests
that stand side by side in the queue run together; any other work (labels, a
swap, a snapshot) runs alone, in its place, so the order of the queue is the
order of the log.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from fraud.errors import FraudError, Overloaded, Unavailable
from fraud.records import Scored, Transaction
from fraud.v1.scoring_pb2 import Reason

_log = structlog.get_logger("fraud.serving.batcher")
TURN_MAX_S = 0.01
"""The event loop's turn between two batches is over by then, whatever it does."""
QUIET_ROUNDS = 4
"""Rounds of the event loop without a new request that end its turn; idle ones take microseconds."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A logged decision with its reasons, ready for the wire."""

    scored: Scored
    arrival_time_us: int
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ScoreWork:
    """Transactions of one call, to be scored in order; the future gets an answer or error a row."""

    transactions: tuple[Transaction, ...]
    with_reasons: bool
    future: "asyncio.Future[list[Answer | FraudError]]"


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """Anything else that must run on the scoring thread, in its place in the queue."""

    run: Callable[[], Any]
    future: "asyncio.Future[Any]"


class Turn:
    """The event loop's time between two batches."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._over = threading.Event()
        self._over.set()
        self._number = 0
        self._arrived = 0

    def note_arrival(self) -> None:
        """Count a request that was queued; on the event loop."""
        self._arrived += 1

    def give(self) -> None:
        """Begin a turn, before results are sent; on the scoring thread."""
        self._number += 1
        self._over.clear()

    def wait(self) -> None:
        """Wait until the turn is over; on the scoring thread."""
        self._over.wait(TURN_MAX_S)

    def use(self) -> None:
        """Let rounds pass until `QUIET_ROUNDS` of them brought nothing; on the event loop."""
        self._loop.call_soon(self._look, self._number, self._arrived, 0)

    def _look(self, number: int, arrived: int, quiet: int) -> None:
        if number != self._number:
            return  # it took too long, and the next one has begun
        quiet = quiet + 1 if arrived == self._arrived else 0
        if quiet < QUIET_ROUNDS:
            self._loop.call_soon(self._look, number, self._arrived, quiet)
        else:
            self._over.set()


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
                continue  # the caller gave up; a retry with the same id finds the stored answer
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
    """Owns the queue and the scoring thread."""

    def __init__(self, engine: Engine, *, rows_max: int, queue_rows_max: int) -> None:
        self._engine = engine
        self._rows_max = rows_max
        self._queue_rows_max = queue_rows_max
        self._queue: queue.SimpleQueue[ScoreWork | Task | None] = queue.SimpleQueue()
        self._queued_rows = 0
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turn: Turn | None = None
        self._thread = threading.Thread(target=self._work_off, name="scoring", daemon=True)

    @property
    def queued_rows(self) -> int:
        """Rows submitted and not answered yet."""
        return self._queued_rows

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the scoring thread; results go to `loop`."""
        self._loop = loop
        self._turn = Turn(loop)
        self._thread.start()

    async def score(
        self, transactions: tuple[Transaction, ...], *, with_reasons: bool
    ) -> list[Answer | FraudError]:
        """Queue transactions of one call and return an answer or error for each.

        Raises:
            Overloaded: the queue holds `server.queue_rows_max` rows already.
            Unavailable: the scorer drains, or lost its log and is restoring.
        """
        rows = len(transactions)
        if self._queued_rows + rows > self._queue_rows_max:
            raise Overloaded(
                f"{self._queued_rows} rows wait already (server.queue_rows_max = {self._queue_rows_max}); "
                "try again with back-off"
            )
        future = self._future()
        assert self._turn is not None
        self._turn.note_arrival()
        self._queued_rows += rows
        try:
            self._queue.put(ScoreWork(transactions, with_reasons, future))
            answers: list[Answer | FraudError] = await future
            return answers
        finally:
            self._queued_rows -= rows

    async def run(self, task: Callable[[], Any]) -> Any:
        """Run something on the scoring thread, after what is queued before it."""
        future = self._future()
        self._queue.put(Task(task, future))
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
        self._queue.put(None)
        await self._loop.run_in_executor(None, self._thread.join)

    def _work_off(self) -> None:
        assert self._loop is not None
        assert self._turn is not None
        delivery = Delivery(self._loop, turn=self._turn)
        stopping = False
        while not stopping:
            self._turn.wait()
            works = self._take()
            stopping = works[-1] is None
            batch: list[ScoreWork] = []
            for work in works:
                if isinstance(work, ScoreWork):
                    if not work.future.done():
                        batch.append(work)
                    continue
                self._score(batch, delivery)
                batch = []
                if work is not None:
                    _run(work, delivery)
            self._score(batch, delivery)

    def _take(self) -> list[ScoreWork | Task | None]:
        """Wait for one piece of work, then take what else is there, up to `rows_max` rows."""
        works = [self._queue.get()]
        rows = _rows(works[0])
        while rows < self._rows_max and works[-1] is not None:
            try:
                works.append(self._queue.get_nowait())
            except queue.Empty:
                break
            rows += _rows(works[-1])
        return works

    def _score(self, batch: list[ScoreWork], delivery: Delivery) -> None:
        if not batch:
            return
        try:
            self._engine.score(batch, delivery)
        except Exception as error:  # noqa: BLE001 — the thread must outlive any one batch
            if not isinstance(error, FraudError):
                _log.exception("batch failed", rows=sum(len(work.transactions) for work in batch))
            for work in batch:
                delivery.fail(work.future, error)
        delivery.send()


def _rows(work: ScoreWork | Task | None) -> int:
    return len(work.transactions) if isinstance(work, ScoreWork) else 1


def _run(task: Task, delivery: Delivery) -> None:
    try:
        delivery.answer(task.future, task.run())
    except Exception as error:  # noqa: BLE001 — goes to whoever asked
        delivery.fail(task.future, error)
    delivery.send()
