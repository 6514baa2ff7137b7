"""A label batch sent again to a service that runs counts once, also when its entry has left the log."""

from pathlib import Path

import pytest

from fraud.client import Client
from fraud.errors import Conflict
from fraud.records import Label, LabelValue
from tests.fuzz.service import Service, in_thread
from tests.serving.worlds import START_S, Stream


def submit(service: Service, labels: list[Label]) -> tuple[int, int, bool]:
    with Client(service.target, deadline_s=START_S) as client:
        reply = client.submit_labels("day-1", 0, "chargeback", "bank", labels)
    return reply.accepted, reply.waiting, reply.repeated


def test_a_batch_sent_again_counts_once_before_and_after_pruning_and_a_restart(tmp_path: Path) -> None:
    stream = Stream(seed=12)
    with in_thread(tmp_path) as service:
        process, wires = service.process, stream.take(20)
        with Client(service.target, deadline_s=START_S) as client:
            client.score_batch(wires)
        labels = [Label(it.transaction_id, LabelValue.FRAUD, stream.now_us) for it in wires[:5]]
        assert submit(service, labels) == (5, 0, False)
        then = service.fingerprint()
        assert submit(service, labels) == (0, 0, True)
        process.archive.copy_from(process.log)
        assert process.log.prune(process.log.head(), 2**61) == 21
        assert submit(service, labels) == (0, 0, True)
        with pytest.raises(Conflict, match="taken before with other labels"):
            submit(service, labels[1:])
        assert service.fingerprint() == then
        assert [part.labels for part in process.log.batch("day-1")] == [5]
    with in_thread(tmp_path) as service:
        assert submit(service, labels) == (0, 0, True)
        assert service.process.log.head() == 21
