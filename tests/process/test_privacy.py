"""Nothing that somebody sent gets into logs, metrics or the ledger, whatever fails, unless debug is on."""

import contextlib
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fraud import faults
from fraud.adversary.stage import free_port
from fraud.client import Client
from fraud.errors import FraudError
from fraud.records import Label, LabelValue
from fraud.v1 import models_pb2
from fraud.v1.transaction_pb2 import Transaction
from tests.process.test_disk import limited
from tests.serving.persons import PERSONAL
from tests.serving.worlds import START_S, Process, Stream
from tests.waiting import wait_until

pytestmark = pytest.mark.process

MARK = "QZX7"
"""In every token, field and comment of the test, and nowhere else."""
AMOUNT, DISTANCE = 73_310_071, 31.736_291
CARD_NUMBER = "4539 1488 0343 6467"
SENT = (MARK, str(AMOUNT), str(DISTANCE), "4539148803436467", CARD_NUMBER)


@dataclass
class Running:
    """A command that runs on, and all that it writes."""

    child: subprocess.Popen[str]
    written: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.child.stderr is not None
        self.written.extend(iter(self.child.stderr.readline, ""))

    @property
    def text(self) -> str:
        """What it has written until now."""
        return "".join(self.written)

    def stop(self) -> None:
        self.child.terminate()
        try:
            self.child.wait(START_S)
        except subprocess.TimeoutExpired:  # in the middle of a cycle, which it would finish first
            self.child.kill()
            self.child.wait()
        self._reader.join()


@dataclass
class Service:
    """Scorer and retrainer by the command line, as an operator runs them."""

    folder: Path
    ports: tuple[int, int, int]
    running: list[Running]

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.ports[0]}"

    @property
    def broken(self) -> Path:
        """Exists while the scorer, or the retrainer, breaks where it is told to."""
        return self.folder / "broken"

    def told(self) -> str:
        """Everything that the service tells of itself but to its callers."""
        metrics = ""
        for port in self.ports[1:]:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as reply:
                metrics += reply.read().decode()
        ledger = b"".join(path.read_bytes() for path in (self.folder / "data").glob("registry.sqlite*"))
        return "".join(it.text for it in self.running) + metrics + ledger.decode("latin-1")


@contextmanager
def service(folder: Path, level: str, output: str) -> Iterator[Service]:
    ports = free_port(), free_port(), free_port()
    text = PERSONAL.replace("[server]\nport = 0\n", f"[server]\nport = {ports[0]}\n")
    for name, port in zip(("scorer_port", "retrainer_port"), ports[1:], strict=True):
        text = text.replace(f"{name} = -1", f"{name} = {port}")
    text = text.replace("[monitoring]\n", f'[monitoring]\nlog_level = "{level}"\n')
    (folder / "fraud.toml").write_text(text, encoding="utf-8")
    made = Service(folder, ports, [])
    given = ["--config", str(folder / "fraud.toml"), "--output", output]
    try:
        for command, point in ((["serve"], "scoring.folded"), (["retrain", "--watch"], "cycle.started")):
            armed = {faults.RAISE_VARIABLE: f"{point}:{made.broken}"}
            child = subprocess.Popen(
                [sys.executable, "-m", "fraud.cli", *command, *given],
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, **armed},
            )
            made.running.append(Running(child))
        with Client(made.target) as client:
            client.wait_ready(START_S)
        other = made.running[1]
        wait_until(lambda: "watching" in other.text or other.child.poll() is not None)
        assert other.child.poll() is None, other.text
        yield made
    finally:
        for each in made.running:
            each.stop()


def payments(stream: Stream, rows: int) -> list[Transaction]:
    """Return payments with the mark in every token and word."""
    found = stream.take(rows)
    for wire in found:
        for name in list(wire.entities):
            wire.entities[name] = f"{MARK}-{wire.entities[name]}"
        wire.categoricals["email"] = f"{MARK}@mail.invalid"
        wire.categoricals["channel"] = f"{MARK}-web"
        wire.numerics["distance"] = DISTANCE
        wire.amount_minor = AMOUNT
    return found


def refused(stream: Stream) -> Iterator[Transaction]:
    """Yield payments that are refused, each for a reason of its own."""
    changes: Sequence[dict[str, Any]] = (
        {"currency": MARK},
        {"model": MARK},
        {"amount_minor": -AMOUNT},
        {"amount_minor": AMOUNT * 1_000},
        {"event_time_us": -AMOUNT},
        {"transaction_id": MARK * 50},
        {"currency": CARD_NUMBER},
    )
    for wire, change in zip(payments(stream, len(changes)), changes, strict=True):
        for name, value in change.items():
            setattr(wire, name, value)
        yield wire
    unknown, number, below, long, missing, token = payments(stream, 6)
    unknown.entities[MARK] = "card"
    number.entities["card"] = CARD_NUMBER
    below.numerics["distance"] = -DISTANCE
    long.categoricals["email"] = MARK * 500
    del missing.entities["card"]
    token.entities["card"] = MARK * 500
    yield from (unknown, number, below, long, missing, token)


def provoke(client: Client, stream: Stream) -> list[str]:
    """Make everything fail that can; return what the callers were told."""
    answers: list[str] = []

    def fails(call: Any, *arguments: Any, **given: Any) -> None:
        with pytest.raises(FraudError) as caught:
            call(*arguments, **given)
        answers.append(str(caught.value))

    wires = payments(stream, 40)
    assert all(it.HasField("decision") for it in client.score_batch(wires))
    verdicts = [Label(it.transaction_id, LabelValue.FRAUD, stream.now_us, f"{MARK} rang") for it in wires]
    client.submit_labels("first", 0, "analyst", "jane", verdicts)
    for wire in refused(stream):
        fails(client.score, wire)
        answers += [it.error.message for it in client.score_batch([wire])]
    again = Transaction()
    again.CopyFrom(wires[0])
    again.entities["card"] = f"{MARK}-other"
    fails(client.score, again)
    fails(client.submit_labels, "second", 0, MARK, "jane", verdicts)
    long = [Label(verdicts[0].transaction_id, LabelValue.FRAUD, stream.now_us, MARK * 5_000)]
    with contextlib.suppress(FraudError):
        client.submit_labels("third", 0, "analyst", "jane", long)
    signed = {"actor": "jane", "reason": "test"}
    fails(client.erase_entity, "card", f"{MARK}-nobody", **signed)
    fails(client.erase_entity, MARK, MARK, **signed)
    fails(client.set_listing, "block", "card", f"{MARK}-c1", actor="jane", reason=f"about {MARK}-c1")
    fails(client.set_listing, "", "card", f"{MARK}-nobody", **signed)
    fails(client.set_listing, "block", MARK, MARK, **signed)
    for where in ({"card": f"{MARK}-nobody"}, {MARK: MARK}):
        fails(
            client.exclude,
            models_pb2.Selection(transactions=True, from_us=1, to_us=1_900_000_000_000_000, where=where),
            **signed,
        )
    return answers


@pytest.mark.parametrize(("level", "output"), [("info", "table"), ("info", "json"), ("debug", "json")])
def test_no_value_is_told_unless_debug_is_on(tmp_path: Path, level: str, output: str) -> None:
    stream = Stream(seed=71)
    with service(tmp_path, level, output) as made, Client(made.target, deadline_s=START_S) as client:
        answers = provoke(client, stream)
        made.broken.touch()
        with pytest.raises(FraudError, match="tell the operator incident"):
            client.score(payments(stream, 1)[0])
        client.trigger_retrain("", "test", "jane")
        wait_until(lambda: "retraining failed" in made.running[1].text)
        made.broken.unlink()
        wait_until(lambda: _scores(client, stream))
        with limited(tmp_path) as disk:
            scorer = Process(made.running[0].child, made.ports[0])
            disk.fill(scorer)
            wait_until(lambda: not _scores(client, stream))
            disk.free(scorer)
        wait_until(lambda: _scores(client, stream))
        told = made.told()
    written = "".join(it.text for it in made.running)
    for event in ("batch failed", "unexpected error", "retraining failed", "LookupError"):
        assert event in written, "it was said that it happened"
    assert "in _score_fresh" in written, "and where"
    assert "CycleFailed" in told
    assert "4539148803436467" not in "".join(answers).replace(" ", ""), "nobody repeats a card number"
    leaked = [line for line in (told + written).splitlines() if any(word in line for word in SENT)]
    if level == "debug":
        assert leaked, "the marks would be seen"
    else:
        assert leaked == []


def _scores(client: Client, stream: Stream) -> bool:
    try:
        return bool(client.score(payments(stream, 1)[0]).outcome)
    except FraudError:
        return False
