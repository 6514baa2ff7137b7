"""A service without a model stops the obvious: rules change under load, lists stand after a kill."""

import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pytest

from fraud.client import Client
from fraud.v1 import policy_pb2, scoring_pb2
from fraud.v1.transaction_pb2 import Transaction
from tests.serving.test_policies import SIGNED
from tests.serving.worlds import Process, Stream, serving, start
from tests.waiting import wait_until

pytestmark = pytest.mark.process
LEVELS = (90_000, 60_000, 30_000)


class Load:
    """Scores payments for the body of a `with`; notes failures, and each answer beside what was asked."""

    def __init__(self, process: Process, seed: int) -> None:
        self.failures: list[Exception] = []
        self.answers: list[tuple[Transaction, scoring_pb2.Decision]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(process, seed), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

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

    def wait_for(self, policy_version: str) -> None:
        """Wait for an answer by it; those before it may be by the former one."""
        wait_until(
            lambda: self.answers and self.answers[-1][1].policy_version == policy_version,
            "answers by the new rules",
        )


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
        levels: dict[str, int] = {}
        with ExitStack() as stack:
            loads = [stack.enter_context(Load(process, seed)) for seed in (91, 92)]
            for amount_minor in LEVELS:
                reply = client.set_rules("card", [above(amount_minor)], **SIGNED)
                assert reply.applied
                levels[reply.policy_version] = amount_minor
                client.set_listing("block", "card", f"stolen-{amount_minor}", **SIGNED)
                assert one(client, stream, card=f"stolen-{amount_minor}").rule == "block:card"
                for load in loads:
                    load.wait_for(reply.policy_version)
            client.set_listing("allow", "merchant", "ours", **SIGNED)
            client.set_listing("", "card", f"stolen-{LEVELS[0]}", **SIGNED)
        assert [load.failures for load in loads] == [[], []]
        answers = [answer for load in loads for answer in load.answers]
        assert {decision.policy_version for _, decision in answers} >= set(levels), "changed under load"
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
