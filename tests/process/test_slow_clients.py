"""Clients that send too much, too slowly or nothing: they are cut off, and the others get their answers."""

import contextlib
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest

from benchmarks.http2 import PREFACE, frame, headers_of
from fraud.client import Client
from fraud.errors import InvalidInput, Overloaded, Unavailable
from fraud.v1 import scoring_pb2
from tests.serving.unread import Unread
from tests.serving.worlds import START_S, Process, Stream, serving
from tests.waiting import wait_until

pytestmark = pytest.mark.process

SCORE = "/fraud.v1.ScoringService/Score"
LIST = "/fraud.v1.ScoringService/ListDecisions"
_HEADERS, _SETTINGS, _END_HEADERS = 1, 4, 4
_RST, _GOAWAY = 3, 7


class Slow:
    """A connection that opens calls and does not finish their requests."""

    def __init__(self, port: int, calls: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=START_S)
        self.calls = calls
        self._socket.sendall(PREFACE + frame(_SETTINGS, 0, 0, struct.pack(">HI", 1, 0)))
        headers, indexed = headers_of(SCORE, f"127.0.0.1:{port}")
        for number in range(calls):
            self._socket.sendall(frame(_HEADERS, _END_HEADERS, 2 * number + 1, headers))
            headers = indexed

    def drip(self) -> None:
        """Send one byte more of each request."""
        for number in range(self.calls):
            self._socket.sendall(frame(0, 0, 2 * number + 1, b"\0"))

    def frames_until(self, kind: int) -> bool:
        """Read until a frame of this kind has come, or the end; tell which."""
        held = b""
        while True:
            data = self._socket.recv(65_536)
            if not data:
                return False
            held += data
            while len(held) >= 9 and len(held) >= 9 + (length := int.from_bytes(held[:3], "big")):
                if held[3] == kind:
                    return True
                held = held[9 + length :]

    def is_cut_off(self) -> bool:
        """Read until the server has closed the connection."""
        with contextlib.suppress(ConnectionError):
            return not self.frames_until(-1)
        return True

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


@contextlib.contextmanager
def slow_clients(port: int, connections: int, calls: int) -> Iterator[list[Slow]]:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(contextlib.closing(Slow(port, calls))) for _ in range(connections)]
        yield held


def answers(process: Process, seed: int) -> None:
    """Assert that an ordinary client is answered, one that comes anew."""
    with process.client() as client:
        assert client.score(Stream(seed=seed).next()).outcome == scoring_pb2.APPROVE


def resident(process: Process) -> int:
    return int(psutil.Process(process.child.pid).memory_info().rss)


def test_requests_that_never_end_take_nobody_elses_place(tmp_path: Path) -> None:
    with serving(tmp_path, FRAUD__SERVER__STREAMS_MAX="8") as process:
        answers(process, 1)
        before = resident(process)
        with slow_clients(process.port, connections=10, calls=100) as held:
            for slow in held:
                slow.drip()
            answers(process, 2)
            for slow in held:
                slow.drip()
            answers(process, 3)
            assert resident(process) - before < 200 * 2**20, "a thousand unfinished requests are not free"


def test_replies_that_nobody_reads_are_open_calls_and_hold_up_no_end_of_the_service(tmp_path: Path) -> None:
    asked = scoring_pb2.ListDecisionsRequest(page_size=1_000).SerializeToString()
    with serving(tmp_path, FRAUD__SERVER__STREAMS_MAX="8", FRAUD__SERVER__DRAIN="300ms") as process:
        with process.client() as client:
            client.score_batch(Stream(seed=1).take(50))
        for is_told_to_stop in (False, True):
            with contextlib.closing(Unread(process.port, LIST, 20, body=asked)):
                wait_until(lambda: "8 calls are open" in _refusal(process))
                if is_told_to_stop:
                    assert process.stop() == 0
                    break
            wait_until(lambda: not _refusal(process))


def _refusal(process: Process) -> str:
    """Why an ordinary call is refused, "" when it is answered."""
    with Client(process.target, deadline_s=START_S, retries=0) as client:
        try:
            client.get_champion("card")
        except Overloaded as error:
            return str(error)
    return ""


def test_a_connection_may_not_open_more_calls_than_it_may(tmp_path: Path) -> None:
    with serving(tmp_path, FRAUD__SERVER__CONNECTION_STREAMS_MAX="5") as process:
        with slow_clients(process.port, connections=1, calls=5) as (allowed,):
            answers(process, 1)
            allowed.drip()
        with slow_clients(process.port, connections=1, calls=40) as (greedy,):
            assert greedy.frames_until(_RST) or greedy.is_cut_off()
        answers(process, 2)


def test_a_connection_that_says_nothing_is_closed_and_makes_room(tmp_path: Path) -> None:
    with serving(tmp_path, FRAUD__SERVER__CONNECTIONS_MAX="4", FRAUD__SERVER__HANDSHAKE="500ms") as process:
        with contextlib.ExitStack() as stack:
            for _ in range(12):
                silent = socket.create_connection(("127.0.0.1", process.port), timeout=START_S)
                stack.enter_context(contextlib.closing(silent))
                stack.enter_context(contextlib.suppress(ConnectionError))  # an end without ceremony
                stack.callback(silent.recv, 65_536)
            wait_until(lambda: _is_answered(process))
        # Whose own handshake takes too long, on a busy machine, is closed as well.
        wait_until(lambda: _is_answered(process))


def test_connections_beyond_their_number_are_refused_until_others_end(tmp_path: Path) -> None:
    with serving(tmp_path, FRAUD__SERVER__CONNECTIONS_MAX="3") as process:
        with slow_clients(process.port, connections=3, calls=1):
            wait_until(lambda: not _is_answered(process))
        wait_until(lambda: _is_answered(process))


def _is_answered(process: Process) -> bool:
    with Client(process.target, deadline_s=1.0, retries=0) as client, contextlib.suppress(Unavailable):
        client.get_champion("card")
        return True
    return False


def test_a_request_that_is_sent_byte_by_byte_is_cut_off(tmp_path: Path) -> None:
    with serving(
        tmp_path, FRAUD__SERVER__TLS__CONNECTION_AGE="200ms", FRAUD__SERVER__SLOW_CALL="200ms"
    ) as process:
        with slow_clients(process.port, connections=1, calls=3) as (slow,):
            with contextlib.suppress(ConnectionError):  # cut off already
                slow.drip()
            assert slow.is_cut_off()
        # On a busy machine, a connection of such an age may end before its call does.
        wait_until(lambda: _is_answered(process))


def test_what_unfolds_beyond_the_limit_is_refused_without_being_held(tmp_path: Path) -> None:
    with serving(tmp_path) as process, grpc.insecure_channel(process.target) as channel:
        answers(process, 1)
        send: Any = channel.unary_unary(SCORE)
        before = resident(process)
        with pytest.raises(grpc.RpcError) as caught:
            send(bytes(64 * 2**20), timeout=START_S, compression=grpc.Compression.Gzip)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert resident(process) - before < 32 * 2**20
        answers(process, 2)


def test_metadata_beyond_its_limit_is_refused(tmp_path: Path) -> None:
    with serving(tmp_path) as process, grpc.insecure_channel(process.target) as channel:
        send: Any = channel.unary_unary(SCORE)
        for length, code in ((8_000, "INVALID_ARGUMENT"), (40_000, "RESOURCE_EXHAUSTED")):
            with pytest.raises(grpc.RpcError) as caught:
                send(b"", timeout=START_S, metadata=(("x-request-id", "a" * length),))
            assert caught.value.code().name == code
        with process.client() as client, pytest.raises(InvalidInput, match=r"server\.message_bytes_max"):
            client.score(scoring_pb2.ScoreRequest().transaction.__class__(transaction_id="x" * 70_000))
        answers(process, 2)
