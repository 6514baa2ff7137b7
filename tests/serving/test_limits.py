"""Overload is answered early and names the setting; deadlines and lost appends are honest."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from fraud.client import Client
from fraud.clock import DAY_US
from fraud.errors import FraudError, LimitExceeded, NotFound, Overloaded, Unavailable
from fraud.records import Label, LabelValue, Transaction
from fraud.serving.batcher import Answer, Batcher, Delivery, ScoreWork
from fraud.serving.decisions import DecisionServicer
from fraud.serving.feedback import Taken
from fraud.serving.recovery import Snapshots, restore
from fraud.serving.roles import Caller, call_is_by
from fraud.serving.scorer import State
from fraud.settings.server import Server
from fraud.v1.scoring_pb2 import GetDecisionRequest
from tests.serving.test_recovery import Inside, inside
from tests.serving.worlds import START_S, START_US, Process, Stream, serving, settings_in
from tests.waiting import wait_until


class Slow:
    """An engine that holds every batch until it is let go, and notes the batches."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.batches: list[list[str]] = []
        self.entered = threading.Event()

    def score(self, works: list[ScoreWork], delivery: Delivery) -> None:
        self.entered.set()
        self.go.wait()
        self.batches.append([t.transaction_id for work in works for t in work.transactions])
        for work in works:
            answers: list[Answer | FraudError] = []
            delivery.answer(work.future, answers)


def limits(rows_max: int, queue_rows_max: int, **others: float) -> Server:
    return Server(scoring_rows_max=rows_max, queue_rows_max=queue_rows_max, **others)  # type: ignore[arg-type]


def payment(name: str) -> Transaction:
    return Transaction(name, 1, "card", (), 1, "EUR", 1, (), ())


def test_what_waits_while_a_batch_is_in_work_forms_the_next_behind_what_runs_alone() -> None:
    async def go() -> list[list[str]]:
        engine = Slow()
        batcher = Batcher(engine, limits(100, 100))
        batcher.start(asyncio.get_running_loop())
        first = asyncio.create_task(batcher.score((payment("a"),), with_reasons=False))
        await asyncio.get_running_loop().run_in_executor(None, engine.entered.wait)
        rest = [asyncio.create_task(batcher.score((payment(n),), with_reasons=False)) for n in "bcd"]
        marker = asyncio.create_task(batcher.run(lambda: engine.batches.append(["task"])))
        last = asyncio.create_task(batcher.score((payment("e"),), with_reasons=False))
        await asyncio.sleep(0)
        engine.go.set()
        await asyncio.gather(first, *rest, marker, last)
        await batcher.close()
        return engine.batches

    assert asyncio.run(go()) == [["a"], ["task"], ["b", "c", "d", "e"]]


@pytest.mark.parametrize(("rows", "refused"), [(4, False), (5, True)])
def test_the_queue_is_full_at_its_limit_and_not_before(rows: int, refused: bool) -> None:
    async def go() -> BaseException | None:
        engine = Slow()
        batcher = Batcher(engine, limits(100, 4))
        batcher.start(asyncio.get_running_loop())
        calls = [
            asyncio.create_task(batcher.score((payment(str(i)),), with_reasons=False)) for i in range(rows)
        ]
        await asyncio.sleep(0)
        engine.go.set()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        await batcher.close()
        assert batcher.queued_rows == 0
        return next((outcome for outcome in outcomes if isinstance(outcome, BaseException)), None)

    error = asyncio.run(go())
    assert isinstance(error, Overloaded) == refused
    assert not refused or "server.queue_rows_max = 4" in str(error)


def test_a_call_that_was_given_up_is_not_scored() -> None:
    async def go() -> list[list[str]]:
        engine = Slow()
        batcher = Batcher(engine, limits(1, 100))
        batcher.start(asyncio.get_running_loop())
        first = asyncio.create_task(batcher.score((payment("a"),), with_reasons=False))
        await asyncio.get_running_loop().run_in_executor(None, engine.entered.wait)
        given_up = asyncio.create_task(batcher.score((payment("b"),), with_reasons=False))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        engine.go.set()
        await first
        await batcher.close()
        return engine.batches

    assert asyncio.run(go()) == [["a"]]


def test_after_closing_nothing_is_taken() -> None:
    async def go() -> None:
        engine = Slow()
        engine.go.set()
        batcher = Batcher(engine, limits(1, 1))
        batcher.start(asyncio.get_running_loop())
        await batcher.close()
        with pytest.raises(Unavailable, match="draining"):
            await batcher.score((payment("a"),), with_reasons=False)

    asyncio.run(go())


def _burst(process: Process, calls: int) -> list[FraudError]:
    """Score `calls` batches of fifty at once; return what was refused."""

    def one(number: int) -> FraudError | None:
        with Client(process.target, deadline_s=START_S, retries=0) as client:
            try:
                client.score_batch(Stream(seed=1_000 + number).take(50))
            except FraudError as error:
                return error
            return None

    with ThreadPoolExecutor(calls) as pool:
        return [error for error in pool.map(one, range(calls)) if error is not None]


def _refused(process: Process, what: str) -> list[FraudError]:
    """Return what was refused of the first burst that did not come in one by one, as on a busy machine."""
    found: list[FraudError] = []

    def some() -> bool:
        found.extend(_burst(process, 12))
        return bool(found)

    wait_until(some, what)
    return found


@pytest.mark.process
def test_overload_is_refused_by_name_over_the_wire(tmp_path: Path) -> None:
    with serving(tmp_path, FRAUD__SERVER__QUEUE_ROWS_MAX="50", FRAUD__SERVER__STREAMS_MAX="40") as process:
        refused = _refused(process, "twelve batches at once meet a queue of one")
        assert all(isinstance(error, Overloaded) for error in refused)
        assert "server.queue_rows_max = 50" in str(refused[0])
    with serving(tmp_path, FRAUD__SERVER__STREAMS_MAX="1") as process:
        refused = _refused(process, "twelve calls at once meet the only place")
        assert "server.streams_max = 1" in str(refused[0])
    with serving(tmp_path, FRAUD__SERVER__PENDING_CALLS_MAX="1") as process:
        refused = _refused(process, "twelve calls at once meet each other at the door")
        assert all(isinstance(error, Overloaded) for error in refused)
        with process.client() as client:
            client.wait_ready(START_S)


@pytest.mark.process
def test_connections_beyond_the_limit_are_closed(tmp_path: Path) -> None:
    with serving(tmp_path, FRAUD__SERVER__CONNECTIONS_MAX="2") as process, ExitStack() as stack:

        def greeted() -> bytes:
            """What the server says to a new connection: its settings, or nothing when it closes it."""
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", process.port), 60))
            try:
                return connection.recv(9)
            except ConnectionResetError:
                return b""

        assert greeted()
        assert greeted()
        assert greeted() == b""


async def label(
    here: Inside, batch: str, *names: str, part: int = 0, source: str = "chargeback", time_us: int = START_US
) -> Taken:
    labels = [Label(name, LabelValue.FRAUD, time_us) for name in names]
    call = partial(here.process.feedback.take_labels, batch, part, source, "bank", labels)
    taken: Taken = await here.process.batcher.feed(call, len(labels))
    return taken


def test_a_bounded_number_of_labels_waits_for_payments(tmp_path: Path) -> None:
    async def body(here: Inside) -> None:
        await here.score(Stream(seed=8), 5)
        assert (await label(here, "one", "x1", "x2")).waiting == 2
        assert (await label(here, "again", "x1", "x2", "t8-1")).waiting == 2
        with pytest.raises(Overloaded, match=r"4 labels wait .* of these 2 would.*labels\.waiting_max = 4"):
            await label(here, "and again", "x1", "x2", "t8-1")
        assert here.process.log.batch("and again") == []
        assert (await label(here, "four", "t8-2")).accepted == 1
        state = _restored_alike(here)
        assert len(state.fold.waiting) == 4

    inside(settings_in(tmp_path, FRAUD__LABELS__WAITING_MAX="4"), body)


def test_a_bounded_number_of_labels_of_a_source_waits_for_one_payment(tmp_path: Path) -> None:
    async def body(here: Inside) -> None:
        await here.score(Stream(seed=8), 5)
        assert (await label(here, "one", "x1", "x1", "x2")).waiting == 3
        head = here.process.log.head()
        with pytest.raises(
            LimitExceeded, match=r"'x1' is no payment so far, 2 labels of chargeback wait .* 2 more"
        ):
            await label(here, "two", "x1", "x1")
        assert here.process.log.head() == head
        assert (await label(here, "three", "x1", "t8-1", *["t8-2"] * 5)).waiting == 1
        with pytest.raises(LimitExceeded, match=r"labels\.waiting_each_max = 3"):
            await label(here, "four", "x1")
        assert (await label(here, "five", *["x1"] * 3, source="analyst")).waiting == 3
        _restored_alike(here)

    inside(settings_in(tmp_path, FRAUD__LABELS__WAITING_EACH_MAX="3"), body)


def _restored_alike(here: Inside) -> State:
    """Return the state, which the log alone folds to as well."""
    process, state = here.process, here.process.scorer.state
    assert state is not None
    nowhere = Snapshots(process.settings.data_dir / "nowhere", 1)
    again = restore(process.spec, state.fold.rule, process.log, process.archive, nowhere)
    assert again.fold.equals(state.fold)
    return state


def test_a_part_of_a_batch_reads_none_of_the_others(tmp_path: Path) -> None:
    """Steps of SQLite are counted: they are as many for the 300th part as for the 100th."""

    async def body(here: Inside) -> None:
        await here.score(Stream(seed=8), 5)
        log, steps = here.process.log, 0

        def step() -> None:
            nonlocal steps
            steps += 1

        def watch() -> None:
            log._reader().set_progress_handler(step, 1)

        await here.process.batcher.run(watch)
        taken = []
        for part in range(300):
            before = steps
            assert (await label(here, "one", "t8-1", part=part)).accepted == 1
            taken.append(steps - before)
        assert 0 < taken[299] <= taken[100]

    inside(settings_in(tmp_path), body)


def test_queries_wait_within_their_bound(tmp_path: Path) -> None:
    async def body(here: Inside) -> None:
        read = here.process.queries.decision
        results = await asyncio.gather(*(read(name) for name in "abc"), return_exceptions=True)
        assert [type(result) for result in results] == [NotFound, NotFound, Overloaded]
        assert "server.read_calls_max = 2" in str(results[2])
        with pytest.raises(NotFound):
            await read("d")

    inside(settings_in(tmp_path, FRAUD__SERVER__READ_CALLS_MAX="2"), body)


def test_a_decision_that_is_being_explained_holds_its_readers_place(tmp_path: Path) -> None:
    async def body(here: Inside) -> None:
        process = here.process
        await here.score(Stream(seed=9), 1)
        decisions = DecisionServicer(process.settings, process.desk, process.queries)
        go, held = threading.Event(), threading.Event()
        process.desk._past.worker.submit(held.set)
        process.desk._past.worker.submit(go.wait)
        await asyncio.to_thread(held.wait)
        request = GetDecisionRequest(transaction_id="t9-1")
        explained = asyncio.create_task(decisions.get_decision(request))
        while process.desk._past.worker._work_queue.empty():
            await asyncio.sleep(0)
        asked = (decisions.get_decision(request) for _ in range(2))
        results = await asyncio.gather(*asked, return_exceptions=True)
        go.set()
        assert [type(it) for it in results] == [Overloaded, Overloaded]
        assert (await explained).decision.transaction_id == "t9-1"
        assert (await decisions.get_decision(request)).decision.transaction_id == "t9-1"

    inside(settings_in(tmp_path, FRAUD__SERVER__READ_CALLS_MAX="1"), body)


def test_one_reader_never_takes_the_last_place(tmp_path: Path) -> None:
    async def asked(name: str, read: Callable[[], Awaitable[object]]) -> object:
        call_is_by(Caller(name, frozenset(), raw_scores=False))
        return await read()

    async def body(here: Inside) -> None:
        queries, go = here.process.queries, threading.Event()
        look = asyncio.create_task(queries.survey(go.wait))  # a long one holds up no short one
        await asyncio.sleep(0)
        with pytest.raises(NotFound):
            await asyncio.gather(here.process.queries.batch("none"))

        def ask(name: str) -> "asyncio.Task[object]":
            return asyncio.create_task(asked(name, lambda: queries.survey(str)))

        flood = [ask("flood") for _ in range(10)]
        await asyncio.sleep(0)
        other = ask("other")
        await asyncio.sleep(0)
        go.set()
        results = await asyncio.gather(*flood, return_exceptions=True)
        refused = [it for it in results if isinstance(it, Overloaded)]
        assert 0 < len(refused) < 10
        assert "of them yours (server.read_calls_max = 6)" in str(refused[0])
        assert await other == ""
        await look

    inside(settings_in(tmp_path, FRAUD__SERVER__READ_CALLS_MAX="6"), body)


def test_a_repeat_says_again_what_was_refused(tmp_path: Path) -> None:
    """Whoever sends a part again may never have heard the first answer."""

    async def body(here: Inside) -> None:
        await here.score(Stream(seed=23), 3)
        ahead_us = here.process.scorer.now_us() + 400 * DAY_US
        labels = [Label("t23-1", LabelValue.FRAUD, START_US), Label("", LabelValue.FRAUD, START_US)]
        labels += [
            Label("t23-2", LabelValue.UNSPECIFIED, START_US),
            Label("t23-3", LabelValue.FRAUD, ahead_us),
        ]
        feedback = here.process.feedback
        take = partial(feedback.take_labels, "some", 0, "analyst", "ann", labels)
        # The clock follows the last of them, as it does where none is a mistake.
        first: Taken = await here.process.batcher.feed(take, len(labels))
        assert (first.accepted, [it.index for it in first.refused], first.repeated) == (2, [1, 2], False)
        again: Taken = await here.process.batcher.feed(take, len(labels))
        assert (again.accepted, again.refused, again.repeated) == (0, first.refused, True)

    inside(settings_in(tmp_path), body)


def test_a_label_time_in_another_unit_carries_no_clock_out_of_the_calendar(tmp_path: Path) -> None:
    """The clock follows events, labels among them; nanoseconds read as microseconds are the year 49000."""

    async def body(here: Inside) -> None:
        await here.score(Stream(seed=21), 3)
        now_us = here.process.scorer.now_us()
        labels = [
            Label("t21-1", LabelValue.FRAUD, 1_700_000_000_000_000_000),
            Label("t21-2", LabelValue.FRAUD, START_US),
        ]
        feedback = here.process.feedback
        taken: Taken = await here.process.batcher.feed(
            lambda: feedback.take_labels("nanoseconds", 0, "analyst", "ann", labels), len(labels)
        )
        assert (taken.accepted, [it.index for it in taken.refused]) == (1, [0])
        assert "too far in the future" in taken.refused[0].reason
        assert here.process.scorer.now_us() == now_us
        await here.score(Stream(seed=22), 3)

    inside(settings_in(tmp_path), body)
