"""A service without a model stops the obvious: rules change under load, lists stand after a kill."""

import threading
from pathlib import Path

import pytest

from fraud.client import Client
from fraud.v1 import policy_pb2, scoring_pb2
from fraud.v1.transaction_pb2 import Transaction
from tests.serving.test_policies import SIGNED
from tests.serving.worlds import Process, Stream, serving, start

pytestmark = pytest.mark.process
LEVELS = (90_000, 60_000, 30_000)


class Load:
    """Scores payments until told to stop; notes failures, and each answer beside what was asked."""

    def __init__(self, process: Process, seed: int) -> None:
        self.failures: list[Exception] = []
        self.answers: list[tuple[Transaction, scoring_pb2.Decision]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(process, seed))
        self._thread.start()

    def _run(self, process: Process, seed: int) -> None:
        stream = Stream(seed)
        with process.client() as client:
            while not self._stop.is_set():
                wires = stream.take(5, step_us=2)
                try:
                    results = client.score_batch(wires)
                    self.answers += [(w, it.decision) for w, it in zip(wires, results, strict=True)]
                except Exception as error:  # noqa: BLE001 — every kind of failure counts
                    self.failures.append(error)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def above(amount_minor: int) -> policy_pb2.Rule:
    return policy_pb2.Rule(
        name=f"above_{amount_minor}",
        when=f"amount >= {amount_minor // 100}",
        outcome=scoring_pb2.DECLINE,
        text="large",
    )


def one(client: Client, stream: Stream, **entities: str) -> scoring_pb2.Decision:
    wire = stream.next(step_us=2)
    wire.amount_minor = 100
    for name, token in entities.items():
        wire.entities[name] = token
    return client.score(wire)


def test_rules_and_lists_hold_under_load_and_after_a_kill(tmp_path: Path) -> None:
    stream = Stream(seed=3)
    with serving(tmp_path) as process, process.client() as client:
        loads = [Load(process, seed) for seed in (91, 92)]
        levels = {}
        for amount_minor in LEVELS:
            reply = client.set_rules("card", [above(amount_minor)], **SIGNED)
            assert reply.applied
            levels[reply.policy_version] = amount_minor
            client.set_listing("block", "card", f"stolen-{amount_minor}", **SIGNED)
            assert one(client, stream, card=f"stolen-{amount_minor}").rule == "block:card"
        client.set_listing("allow", "merchant", "ours", **SIGNED)
        client.set_listing("", "card", f"stolen-{LEVELS[0]}", **SIGNED)
        for load in loads:
            load.stop()
        assert [load.failures for load in loads] == [[], []]
        answers = [answer for load in loads for answer in load.answers]
        spoken = {decision.policy_version for _, decision in answers}
        assert len(spoken & set(levels)) >= 2, "the rules changed under load"
        for wire, decision in answers:
            level = levels.get(decision.policy_version)
            stopped = level is not None and wire.amount_minor >= level
            assert decision.rule == (f"above_{level}" if stopped else "")
            assert decision.outcome == (scoring_pb2.DECLINE if stopped else scoring_pb2.APPROVE)
        process.kill()
    again = start(tmp_path)
    try:
        with again.client() as client:
            assert one(client, stream, card=f"stolen-{LEVELS[1]}").rule == "block:card"
            assert one(client, stream, card=f"stolen-{LEVELS[0]}").rule == ""
            assert one(client, stream, merchant="ours").rule == "allow:merchant"
            large = stream.next(step_us=2)
            large.amount_minor = LEVELS[-1]
            assert client.score(large).rule == f"above_{LEVELS[-1]}"
            shown = client.get_rules("card")
            assert (shown.in_force, [rule.name for rule in shown.rules]) == (True, [f"above_{LEVELS[-1]}"])
            assert len(client.list_listings().listings) == 3
    finally:
        again.kill()
