"""Load from a process of its own: closed loop (a number in flight) or open loop (a rate).

    templates + plan → python -m benchmarks.load → calls over one connection → latencies → JSON

Closed loop: as many calls as asked are in flight; an answer starts the next call.
Open loop: calls start at random moments (exponential gaps, seeded) whether or not
earlier ones were answered, and latency counts from the moment a call was due, so a
server that stalls cannot hide the calls it kept waiting.

A caller behaves as a client library does: it sends how long it still waits, holds calls back while
the server takes no more streams or bytes, and gives a call up when its deadline has passed.

Every call carries its own transaction id: a template is a serialised message with
`ID_MARK` where the id goes and, if it has one, `TIME_MARK_US` as its event time.
Both are stamped into the bytes, so the messages cost the generator next to nothing.
"""

import argparse
import itertools
import json
import math
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.http2 import CANCELLED, RESOURCE_EXHAUSTED, UNAVAILABLE, Answer, Connection
from benchmarks.report import REPOSITORY

ID_MARK = "#" * 16
TIME_MARK_US = 0x00FE_DCBA_9876_5432
LATENCIES_MAX = 4_000_000
PATIENCE_S = 30.0
OUTGOING_MAX = 1 << 16
"""Bytes that the system has not taken, beyond which calls are held back."""
SAMPLE = 64
"""Answers kept, so that the caller can see what was answered."""


@dataclass(frozen=True)
class Plan:
    """What to send where. With `rate` (calls a second) the loop is open, else closed; `token`: who calls.

    `deadline`: how long a caller waits from when the call was due, in seconds; 0: for ever.
    """

    address: str
    path: str
    in_flight: int = 1
    rate: float = 0.0
    seconds: float = 5.0
    warm_up: float = 1.0
    seed: int = 1
    core: int | None = None
    token: str = ""
    deadline: float = 0.0


@dataclass
class Load:
    """What came of it: calls answered after the warm-up, and all of them.

    `failed` is every call that did not end with OK, the refused ones among them;
    `begun` and `refused` count after the warm-up, as `answered` does. A refusal ends with RESOURCE_EXHAUSTED
    or UNAVAILABLE, or with CANCELLED before the deadline: after it, the server was late and let go.
    What was given up failed. `refusals_us` count from when the call was handed to the connection, for
    until then the server knew nothing of it; `refusals_due_us` from when it was due, as answers do.
    """

    answered: int = 0
    failed: int = 0
    begun: int = 0
    refused: int = 0
    seconds: float = 0.0
    answered_in_all: int = 0
    latencies_us: list[int] = field(default_factory=list)
    refusals_us: list[int] = field(default_factory=list)
    refusals_due_us: list[int] = field(default_factory=list)
    sample: list[str] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return self.answered / self.seconds if self.seconds else 0.0

    def percentile_ms(self, q: float) -> float:
        """Return a percentile of latency in milliseconds; NaN without answers."""
        return _percentile_ms(self.latencies_us, q)

    def refusal_percentile_ms(self, q: float) -> float:
        """Return a percentile of the time from sending to a refusal in milliseconds; NaN without refusals."""
        return _percentile_ms(self.refusals_us, q)

    def refusal_due_percentile_ms(self, q: float) -> float:
        """Return the same from when the calls were due: what their callers waited."""
        return _percentile_ms(self.refusals_due_us, q)

    def per_second_within(self, deadline_s: float) -> float:
        """Answers a second that came within a deadline."""
        if not self.latencies_us:
            return 0.0
        share = float(np.mean(np.array(self.latencies_us) <= deadline_s * 1e6))
        return share * self.per_second


def _percentile_ms(values_us: list[int], q: float) -> float:
    return float(np.percentile(values_us, q)) / 1_000 if values_us else float("nan")


def drive(plan: Plan, templates: Sequence[bytes]) -> Load:
    """Run a plan in a process of its own and wait for its result.

    Raises:
        RuntimeError: the generator failed; the message is what it printed.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "templates"
        file.write_bytes(b"".join(len(body).to_bytes(4, "big") + body for body in templates))
        command = [sys.executable, "-m", "benchmarks.load", "--templates", str(file)]
        done = subprocess.run(
            [*command, "--plan", json.dumps(asdict(plan))], cwd=REPOSITORY, capture_output=True, text=True
        )
    if done.returncode:
        raise RuntimeError(f"the load generator failed:\n{done.stderr}")
    return Load(**json.loads(done.stdout))


def varint(value: int) -> bytes:
    """Return a non-negative integer as protobuf writes it.

    >>> varint(300).hex()
    'ac02'
    """
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Messages:
    """Makes one message after the other from the templates, each with a new id."""

    def __init__(self, templates: Sequence[bytes]) -> None:
        mark, time_mark = ID_MARK.encode(), varint(TIME_MARK_US)
        self._parts = []
        for body in templates:
            head, _, rest = body.partition(mark)
            middle, timed, tail = rest.partition(time_mark)
            self._parts.append((head, mark in body, middle, bool(timed), tail))
        self._prefix = os.urandom(4).hex()
        self._count = 0

    def next(self, now_us: int) -> bytes:
        """Return the next message, stamped with a new id and `now_us`."""
        head, named, middle, timed, tail = self._parts[self._count % len(self._parts)]
        name = b"%s%08x" % (self._prefix.encode(), self._count) if named else b""
        self._count += 1
        return head + name + middle + (varint(now_us) if timed else b"") + tail


class UnderWay(NamedTuple):
    """A call that was sent: when it was due, and when it went, in seconds."""

    due: float
    sent: float


class Generator:
    """One connection, its calls in flight and what came back."""

    def __init__(self, plan: Plan, templates: Sequence[bytes]) -> None:
        self.plan = plan
        self.load = Load()
        self._messages = Messages(templates)
        authorization = f"Bearer {plan.token}" if plan.token else ""
        self._connection = Connection(plan.path, plan.address, authorization)
        self._under_way: dict[int, UnderWay] = {}
        self._held: deque[float] = deque()
        """When calls were due that are not sent yet."""
        host, _, port = plan.address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=PATIENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self._begin = time.perf_counter()
        self._measured_from = self._begin + plan.warm_up
        self._end = self._measured_from + plan.seconds

    def run(self) -> Load:
        """Drive the plan to its end, then wait for the calls still in flight."""
        gaps = np.random.default_rng(self.plan.seed)
        next_due = self._begin
        if not self.plan.rate:
            for _ in range(self.plan.in_flight):
                self._begin_at(self._begin)
        while (now := time.perf_counter()) < self._end or self._under_way or self._held:
            if now > self._end + PATIENCE_S:
                left = len(self._under_way) + len(self._held)
                raise RuntimeError(f"{left} calls were not answered within {PATIENCE_S:.0f} s")
            wait = 0.05
            if self.plan.rate and now < self._end:
                while next_due <= now:
                    self._begin_at(next_due)
                    next_due += gaps.exponential(1 / self.plan.rate)
                wait = min(wait, max(next_due - now, 0.0))
            self._give_up(now)
            self._release(now)
            self._flush()
            unsent = [self._socket] if self._connection.outgoing else []
            readable, _, _ = select.select([self._socket], unsent, [], wait)
            if readable:
                self._take(self._socket.recv(1 << 18))
        self.load.seconds = self.plan.seconds
        return self.load

    def _begin_at(self, due: float) -> None:
        self._held.append(due)
        self.load.begun += self._measured_from <= due < self._end

    def _give_up(self, now: float) -> None:
        """Let go of calls whose deadline has passed: of those under way the server is told."""
        if not self.plan.deadline:
            return
        since = now - self.plan.deadline
        while self._held and self._held[0] < since:
            self._held.popleft()
            self.load.failed += 1
        late = list(itertools.takewhile(lambda it: it[1].due < since, self._under_way.items()))
        for stream, _ in late:
            del self._under_way[stream]
            self._connection.give_up(stream)
            self.load.failed += 1

    def _release(self, now: float) -> None:
        connection = self._connection
        while (
            self._held
            and len(self._under_way) < connection.streams_max
            and len(connection.outgoing) < OUTGOING_MAX
        ):
            self._call(self._held.popleft(), now)

    def _call(self, due: float, now: float) -> None:
        deadline = self.plan.deadline
        timeout_ms = max(1, math.ceil((deadline - (now - due)) * 1_000)) if deadline else 0
        body = self._messages.next(time.time_ns() // 1_000)
        self._under_way[self._connection.call(body, timeout_ms)] = UnderWay(due, now)

    def _flush(self) -> None:
        outgoing = self._connection.outgoing
        with suppress(BlockingIOError):
            while outgoing:
                del outgoing[: self._socket.send(outgoing)]

    def _take(self, data: bytes) -> None:
        load, again = self.load, not self.plan.rate
        answers = self._connection.receive(data)
        now = time.perf_counter()
        for answer in answers:
            call = self._under_way.pop(answer.stream, None)
            if call is None:
                continue  # given up, or a reset after the answer
            waited_us = int((now - call.due) * 1e6)
            load.answered_in_all += 1
            if not answer.ok:
                load.failed += 1
                if refuses(self.plan, answer, now - call.due) and self._measured_from <= now < self._end:
                    load.refused += 1
                    load.refusals_us.append(int((now - call.sent) * 1e6))
                    load.refusals_due_us.append(waited_us)
            elif self._measured_from <= now < self._end:
                load.answered += 1
                if len(load.latencies_us) < LATENCIES_MAX:
                    load.latencies_us.append(waited_us)
            if len(load.sample) < SAMPLE:
                load.sample.append(answer.body.hex())
            if again and now < self._end:
                self._begin_at(now)


def refuses(plan: Plan, answer: Answer, after_s: float) -> bool:
    """Tell whether a call that ended after so long was refused."""
    cancelled = answer.status == CANCELLED and after_s < plan.deadline
    return cancelled or answer.status in (RESOURCE_EXHAUSTED, UNAVAILABLE)


def _read_templates(path: Path) -> list[bytes]:
    raw, bodies, at = path.read_bytes(), [], 0
    while at < len(raw):
        length = int.from_bytes(raw[at : at + 4], "big")
        bodies.append(raw[at + 4 : at + 4 + length])
        at += 4 + length
    return bodies


def main() -> None:
    """Run one plan and print its result as JSON."""
    arguments = argparse.ArgumentParser(description="One run of load; started by benchmarks.load.drive.")
    arguments.add_argument("--templates", type=Path, required=True)
    arguments.add_argument("--plan", type=json.loads, required=True)
    given = arguments.parse_args()
    plan = Plan(**given.plan)
    if plan.core is not None:
        os.sched_setaffinity(0, {plan.core})
    print(json.dumps(asdict(Generator(plan, _read_templates(given.templates)).run())))


if __name__ == "__main__":
    main()
