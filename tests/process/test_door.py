"""What nobody has looked at yet waits in a line of its kind: payments in masses turn no labels away."""

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import pytest

from fraud.v1 import labels_pb2, scoring_pb2
from tests.serving.worlds import START_S, START_US, Stream, serving

pytestmark = pytest.mark.process

PAYMENTS, UNREAD = 400, 4
TRIES = 5
"""How often a flood may come in one by one, for want of a core, and turn nothing away."""


def test_a_flood_of_payments_turns_none_of_the_labels_away(tmp_path: Path) -> None:
    with (
        serving(tmp_path, FRAUD__SERVER__PENDING_CALLS_MAX=str(UNREAD)) as process,
        grpc.insecure_channel(process.target) as channel,
    ):
        score: Any = channel.unary_unary("/fraud.v1.ScoringService/Score")
        label: Any = channel.unary_unary("/fraud.v1.LabelService/SubmitLabels")
        requests = [scoring_pb2.ScoreRequest(transaction=it) for it in Stream(1).take(PAYMENTS)]
        score(requests[0].SerializeToString(), timeout=START_S)
        told = Counter[str]()
        for first in range(0, TRIES * UNREAD, UNREAD):
            os.kill(process.child.pid, signal.SIGSTOP)
            try:
                scores = [score.future(it.SerializeToString(), timeout=START_S) for it in requests]
                batches = [_batch(number) for number in range(first, first + UNREAD)]
                labels = [label.future(it.SerializeToString(), timeout=START_S) for it in batches]
            finally:
                os.kill(process.child.pid, signal.SIGCONT)
            told = Counter(it.code().name for it in scores)
            assert [it.code().name for it in labels] == ["OK"] * UNREAD
            if told["CANCELLED"]:
                break
        assert told["CANCELLED"], f"no payment was turned away, so nothing was shown: {told}"


def _batch(number: int) -> labels_pb2.SubmitLabelsRequest:
    verdict = labels_pb2.Label(transaction_id=f"t{number}", value=labels_pb2.FRAUD, label_time_us=START_US)
    return labels_pb2.SubmitLabelsRequest(
        batch_id=f"b{number}", source="chargeback", submitter="ann", labels=[verdict]
    )
