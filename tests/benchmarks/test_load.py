"""The load generator against a real gRPC server that takes down what it was sent."""

import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
import numpy as np
import pytest

from benchmarks.http2 import (
    BODY_BYTES_MAX,
    CANCELLED,
    INTERNAL,
    UNAVAILABLE,
    UNKNOWN,
    Answer,
    Connection,
    frame,
)
from benchmarks.load import ID_MARK, TIME_MARK_US, Generator, Load, Messages, Plan, refuses, varint
from benchmarks.peers import mlserver
from fraud.v1 import scoring_pb2 as pb
from tests.waiting import wait_until

PATH = "/fraud.v1.ScoringService/Score"
Score = Callable[[pb.ScoreRequest, grpc.ServicerContext], pb.ScoreResponse]


@dataclass
class Recorder:
    address: str = ""
    seen: list[pb.ScoreRequest] = field(default_factory=list)

    def score(self, request: pb.ScoreRequest, context: grpc.ServicerContext) -> pb.ScoreResponse:
        self.seen.append(request)
        if request.transaction.model == "unknown":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no such model")
        return pb.ScoreResponse(decision=pb.Decision(transaction_id=request.transaction.transaction_id))


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    with _serving(recorder.score, workers=4) as recorder.address:
        yield recorder


@contextmanager
def _serving(score: Score, workers: int, streams_max: int = 100) -> Iterator[str]:
    """Run a server that answers `Score`; yield where."""
    options = [("grpc.max_concurrent_streams", streams_max)]
    server = grpc.server(ThreadPoolExecutor(workers), options=options)
    handler = grpc.unary_unary_rpc_method_handler(
        score, pb.ScoreRequest.FromString, pb.ScoreResponse.SerializeToString
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("fraud.v1.ScoringService", {"Score": handler}),)
    )
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield address
    finally:
        server.stop(None).wait()


def _template(model: str = "card", amount_minor: int = 100) -> bytes:
    request = pb.ScoreRequest()
    request.transaction.transaction_id = ID_MARK
    request.transaction.event_time_us = TIME_MARK_US
    request.transaction.model = model
    request.transaction.amount_minor = amount_minor
    return request.SerializeToString()


def _run(plan: Plan, *templates: bytes) -> Load:
    return Generator(plan, templates).run()


def test_a_closed_loop_sends_each_call_its_own_id_and_time(recorder: Recorder) -> None:
    loads: list[Load] = []

    def goes_round() -> bool:
        recorder.seen.clear()
        plan = Plan(recorder.address, PATH, in_flight=8, seconds=1.0, warm_up=0.3)
        loads.append(_run(plan, _template(), _template("", 7)))
        return loads[-1].answered_in_all > 2 * 8

    # A machine that has other things to do may answer no more within a second than what was sent at once.
    wait_until(goes_round, "a second that the machine leaves to it")
    load = loads[-1]
    ids = [request.transaction.transaction_id for request in recorder.seen]
    assert len(ids) == len(set(ids)) == load.answered_in_all
    assert load.failed == 0
    assert 0 < load.answered < load.answered_in_all
    assert {request.transaction.amount_minor for request in recorder.seen} == {100, 7}
    assert all(1.7e15 < request.transaction.event_time_us < 4e15 for request in recorder.seen)
    answer = pb.ScoreResponse.FromString(bytes.fromhex(load.sample[0]))
    assert answer.decision.transaction_id in ids


def test_an_open_loop_keeps_its_rate_whatever_comes_back(recorder: Recorder) -> None:
    loads: list[Load] = []

    def keeps_up() -> bool:
        loads.append(_run(Plan(recorder.address, PATH, rate=300, seconds=1.0, warm_up=0.0), _template()))
        return loads[-1].begun > 150

    # A machine that has other things to do may take the last part of a second away; it never adds calls.
    wait_until(keeps_up, "a second that the machine leaves to it")
    for load in loads:
        assert load.begun == load.answered_in_all < 390
        assert len(load.latencies_us) == load.answered


def test_refused_calls_count_as_failed_and_not_as_answered(recorder: Recorder) -> None:
    load = _run(
        Plan(recorder.address, PATH, in_flight=2, seconds=1.0, warm_up=0.0), _template(model="unknown")
    )
    assert load.failed == load.answered_in_all > 0
    assert load.answered == 0


def test_a_deadline_goes_with_every_call_and_refusals_are_told_apart() -> None:
    left: list[float] = []

    def score(_request: pb.ScoreRequest, context: grpc.ServicerContext) -> pb.ScoreResponse:
        left.append(context.time_remaining())
        if len(left) % 2:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too much")
        return pb.ScoreResponse()

    with _serving(score, workers=1) as address:
        plan = Plan(address, PATH, seconds=1.0, warm_up=0.0, token="fraud_1_secret", deadline=7.5)
        load = _run(plan, _template())
    assert all(0 < seconds <= 7.5 for seconds in left)
    assert load.failed > 1
    assert load.refused == len(load.refusals_us) >= load.failed - 1
    assert load.answered > 0
    assert load.begun >= load.answered + load.refused
    assert 0 < load.per_second_within(7.5) <= load.per_second
    assert load.per_second_within(0.0) == 0.0


def test_what_a_caller_held_back_is_no_part_of_the_time_to_a_refusal() -> None:
    def score(_request: pb.ScoreRequest, context: grpc.ServicerContext) -> pb.ScoreResponse:
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too much")
        return pb.ScoreResponse()

    with _serving(score, workers=1, streams_max=1) as address:
        # Until the server has said how many calls may be open, all are sent as they are due.
        plan = Plan(address, PATH, rate=20_000, seconds=1.0, warm_up=0.3, deadline=5.0)
        load = _run(plan, _template())
    assert load.refused == len(load.refusals_us) == len(load.refusals_due_us) > 0
    waited = [due - sent for sent, due in zip(load.refusals_us, load.refusals_due_us, strict=True)]
    assert min(waited) >= 0
    assert load.refusal_percentile_ms(50) < load.refusal_due_percentile_ms(50) / 2, "one at a time is sent"


def test_calls_of_a_server_that_hangs_end_at_their_deadline() -> None:
    let_go = threading.Event()

    def score(_request: pb.ScoreRequest, _context: grpc.ServicerContext) -> pb.ScoreResponse:
        let_go.wait(20)
        return pb.ScoreResponse()

    with _serving(score, workers=1) as address:
        load = _run(Plan(address, PATH, rate=100, seconds=0.3, warm_up=0.0, deadline=0.05), _template())
        let_go.set()
    assert load.failed == load.begun > 0
    assert load.answered == load.refused == 0


def test_a_call_that_is_given_up_is_cancelled_at_the_server() -> None:
    connection = Connection(PATH, "localhost:1")
    connection.give_up(stream := connection.call(b"x"))
    assert connection.outgoing.endswith(frame(3, 0, stream, struct.pack(">I", 8)))


def test_the_server_says_how_many_calls_it_takes_at_once() -> None:
    connection = Connection(PATH, "localhost:1")
    assert connection.streams_max > 1_000_000
    connection.receive(frame(4, 0, 0, struct.pack(">HIHI", 4, 70_000, 3, 2)))
    assert connection.streams_max == 2


def test_bodies_wait_while_the_send_window_is_used_up() -> None:
    connection = Connection(PATH, "localhost:1")
    body = b"x" * BODY_BYTES_MAX
    for _ in range(5):
        connection.call(body)
    held = len(connection.outgoing)
    raised = frame(8, 0, 0, struct.pack(">I", 1 << 20))
    assert connection.receive(raised[:4]) == []
    assert len(connection.outgoing) == held
    connection.receive(raised[4:])
    assert len(connection.outgoing) > held + 2 * BODY_BYTES_MAX - 100
    with pytest.raises(ValueError, match="at most"):
        connection.call(body + b"x")


def test_what_was_held_of_a_call_is_not_sent_once_it_is_given_up() -> None:
    connection = Connection(PATH, "localhost:1")
    streams = [connection.call(b"%d" % number * BODY_BYTES_MAX) for number in range(5)]
    connection.give_up(streams[-2])
    connection.receive(frame(8, 0, 0, struct.pack(">I", 1 << 20)))
    sent = bytes(connection.outgoing)
    assert b"4" * BODY_BYTES_MAX in sent
    assert b"3" * BODY_BYTES_MAX not in sent


@pytest.mark.parametrize(("code", "status"), [(7, UNAVAILABLE), (8, CANCELLED), (2, INTERNAL)])
def test_a_reset_is_told_as_a_client_library_tells_it(code: int, status: int) -> None:
    connection = Connection(PATH, "localhost:1")
    (answer,) = connection.receive(frame(3, 0, connection.call(b"x"), struct.pack(">I", code)))
    assert (answer.status, answer.ok) == (status, False)


@pytest.mark.parametrize(
    ("trailers", "status"),
    [
        (b"grpc-status\x0214", UNAVAILABLE),
        (b"grpc-status\x010", 0),
        (b"", UNKNOWN),
        (b"grpc-status\x01?", UNKNOWN),
    ],
)
def test_the_status_is_read_from_the_trailers(trailers: bytes, status: int) -> None:
    connection = Connection(PATH, "localhost:1")
    (answer,) = connection.receive(frame(1, 0x5, connection.call(b"x"), trailers))
    assert answer.status == status


def test_calls_that_the_transport_cancels_are_refusals_until_the_deadline_only() -> None:
    plan = Plan("127.0.0.1:1", PATH, rate=1.0, deadline=0.2)
    answers = [Answer(1, CANCELLED, b""), Answer(1, UNAVAILABLE, b""), Answer(1, 3, b"")]
    assert [refuses(plan, answer, 0.1) for answer in answers] == [True, True, False]
    assert [refuses(plan, answer, 0.3) for answer in answers] == [False, True, False]


def test_a_template_without_marks_is_sent_as_it_is() -> None:
    assert Messages([b"plain"]).next(1) == b"plain"


def test_a_varint_is_what_protobuf_writes() -> None:
    for value in (0, 127, 128, TIME_MARK_US, 1_750_000_000_000_000):
        message = pb.ScoreRequest()
        message.transaction.event_time_us = value
        written = message.transaction.SerializeToString()
        assert written in (b"", b"\x10" + varint(value))


def test_an_inference_request_holds_the_row_and_a_mark_for_its_id() -> None:
    row = np.arange(3, dtype=np.float32)
    body = mlserver.templates(row[None, :])[0]
    fields = dict(mlserver._fields(body))
    assert fields[1] == b"card"
    assert fields[3] == ID_MARK.encode()
    tensor = dict(mlserver._fields(fields[5]))
    assert dict(mlserver._fields(tensor[5]))[6] == row.tobytes()


def test_a_prediction_is_read_from_raw_bytes_and_from_packed_floats() -> None:
    value = struct.pack("<f", 0.25)
    raw = mlserver._field(6, value)
    packed = mlserver._field(5, mlserver._field(5, mlserver._field(6, value)))
    assert mlserver.prediction(raw) == mlserver.prediction(packed) == 0.25


def test_a_token_goes_with_every_call() -> None:
    seen: list[dict[str, str]] = []

    def score(request: pb.ScoreRequest, context: grpc.ServicerContext) -> pb.ScoreResponse:
        seen.append({key: str(value) for key, value in context.invocation_metadata()})
        return pb.ScoreResponse(decision=pb.Decision(transaction_id=request.transaction.transaction_id))

    server = grpc.server(ThreadPoolExecutor(2))
    handler = grpc.unary_unary_rpc_method_handler(
        score, pb.ScoreRequest.FromString, pb.ScoreResponse.SerializeToString
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("fraud.v1.ScoringService", {"Score": handler}),)
    )
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    load = _run(Plan(address, PATH, seconds=1.0, warm_up=0.0, token="fraud_1_secret"), _template())
    server.stop(None).wait()
    assert load.failed == 0
    assert load.answered_in_all > 1
    assert {each["authorization"] for each in seen} == {"Bearer fraud_1_secret"}
    assert {each["te"] for each in seen if "te" in each} <= {"trailers"}
