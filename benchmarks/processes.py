"""Servers under test as processes: started on a core, waited for, measured, stopped."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
from grpc_health.v1 import health_pb2

from benchmarks.report import REPOSITORY

START_PATIENCE_S = 120.0
STOP_PATIENCE_S = 20.0
_POLL_S = 0.05


@dataclass(frozen=True)
class Server:
    """A running server: its address and its process."""

    name: str
    address: str
    process: psutil.Process

    def cpu_seconds(self) -> float:
        """Return user and system seconds used so far, child processes included."""
        total = 0.0
        for process in [self.process, *self.process.children(recursive=True)]:
            times = process.cpu_times()
            total += times.user + times.system
        return total

    def memory_bytes(self) -> int:
        """Return the resident memory of the process."""
        return int(self.process.memory_info().rss)


@contextmanager
def running(
    name: str,
    command: Sequence[str],
    port: int,
    *,
    log: Path,
    ready: Callable[[str], bool],
    core: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Run a server until the block ends; `ready(address)` is asked until it says yes.

    The server and what it starts run on `core` where one is given. What they
    print goes to `log`.

    Raises:
        RuntimeError: it ended or was not ready in time; the message shows its last lines.
    """
    address = f"127.0.0.1:{port}"
    pin = (lambda: os.sched_setaffinity(0, {core})) if core is not None else None
    with log.open("wb") as out:
        process = subprocess.Popen(
            list(command),
            cwd=REPOSITORY,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
            preexec_fn=pin,
        )
    try:
        deadline = time.monotonic() + START_PATIENCE_S
        while not ready(address):
            if process.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
                raise RuntimeError(f"{name} did not become ready ({' '.join(command)}):\n{tail}")
            time.sleep(_POLL_S)
        yield Server(name, address, psutil.Process(process.pid))
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the process and what it started to end; insist when it does not."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            break
        try:
            process.wait(STOP_PATIENCE_S)
        except subprocess.TimeoutExpired:
            continue


def is_connectable(address: str) -> bool:
    """Say whether somebody listens there."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def is_healthy(address: str) -> bool:
    """Say whether `grpc.health.v1` answers SERVING."""
    request = health_pb2.HealthCheckRequest()
    with grpc.insecure_channel(address) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = check(request, timeout=2)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
