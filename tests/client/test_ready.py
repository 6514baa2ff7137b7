"""Who waits for a service waits for its connection and its answer, by one call and in no thread beside."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from fraud.client import Client
from fraud.errors import Unavailable
from tests.serving.worlds import START_S
from tests.waiting import wait_until

NO, YES = (health_pb2.HealthCheckResponse(status=status) for status in ("NOT_SERVING", "SERVING"))
Answer = health_pb2.HealthCheckResponse | grpc.StatusCode


@dataclass
class Answering(grpc.GenericRpcHandler):
    """A service whose health gives these answers one after the other, the last one ever after."""

    answers: list[Answer]
    threads: list[set[threading.Thread]] = field(default_factory=list)
    """Those of this process, at each call."""

    def service(self, _: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any]":
        return grpc.unary_unary_rpc_method_handler(
            self._answer, response_serializer=health_pb2.HealthCheckResponse.SerializeToString
        )

    def _answer(self, _: bytes, context: grpc.ServicerContext) -> health_pb2.HealthCheckResponse:
        self.threads.append(set(threading.enumerate()))
        answer = self.answers[min(len(self.threads), len(self.answers)) - 1]
        if isinstance(answer, grpc.StatusCode):
            context.abort(answer, "not now")
        return answer


@contextmanager
def listening(target: str, *answers: Answer) -> Iterator[Answering]:
    made = Answering(list(answers))
    server = grpc.server(ThreadPoolExecutor(1), handlers=[made])
    server.add_insecure_port(target)
    server.start()
    try:
        yield made
    finally:
        server.stop(None).wait()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "socket"


@pytest.fixture
def client(place: Path) -> Iterator[Client]:
    with Client(f"unix:{place}", deadline_s=1.0, retries=0) as made:
        yield made


@contextmanager
def waiting(client: Client) -> Iterator[Callable[[], bool]]:
    """Wait for it in a thread; given is whether it still does, and at the end it was ready."""
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(client.wait_ready, START_S)
        yield lambda: not found.done()
        found.result()


def test_it_is_not_ready_while_nobody_listens_or_health_says_no(client: Client, place: Path) -> None:
    with pytest.raises(Unavailable, match=r"is not serving after 0\.05 s; see 'fraud doctor'"):
        client.wait_ready(0.05)
    with listening(f"unix:{place}", NO), pytest.raises(Unavailable, match=r"is not serving after 0\.5 s"):
        client.wait_ready(0.5)


def test_it_is_ready_once_health_says_yes_and_no_later(client: Client, place: Path) -> None:
    answers = NO, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNIMPLEMENTED, NO, YES
    with listening(f"unix:{place}", *answers) as service:
        client.wait_ready(START_S)
    assert len(service.threads) == len(answers)


def test_who_has_waited_before_it_listens_is_answered_by_one_call(client: Client, place: Path) -> None:
    with waiting(client) as still:
        assert still()
        with listening(f"unix:{place}", YES) as service:
            wait_until(lambda: not still())
    assert len(service.threads) == 1


def test_waiting_takes_no_thread_beside_the_callers(client: Client, place: Path) -> None:
    with listening(f"unix:{place}", YES) as service:
        with grpc.insecure_channel(f"unix:{place}") as other:
            call: Any = other.unary_unary("/grpc.health.v1.Health/Check")
            call(b"", timeout=START_S, wait_for_ready=True)
        before = set(threading.enumerate())
        client.wait_ready(START_S)
    assert service.threads[1] <= before


def test_however_long_it_was_away_it_is_looked_for_every_second(client: Client, place: Path) -> None:
    tries = 7
    with socket.socket(socket.AF_UNIX) as door, waiting(client) as still:
        door.bind(str(place))
        door.listen()
        door.settimeout(START_S)
        times_s: list[float] = []
        while len(times_s) < tries:
            door.accept()[0].close()
            times_s.append(time.monotonic())
        door.close()
        place.unlink()
        with listening(f"unix:{place}", YES):
            wait_until(lambda: not still())
    pauses_s = [later - sooner for sooner, later in pairwise(times_s)]
    assert min(pauses_s[-2:]) < 5, "left to itself gRPC pauses for seven and for ten seconds by then"
