"""Whose labels are whose: a batch is taken back by who handed it in, a source spoken for by who may."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fraud.client import Client
from fraud.errors import Conflict, InvalidInput, NotFound, PermissionDenied
from fraud.labels.batches import IMPORTER
from fraud.records import Label, LabelValue
from fraud.serving.roles import Caller, call_is_by
from fraud.serving.servicers import LabelServicer
from fraud.v1 import labels_pb2
from tests.serving.authority import Guarded
from tests.serving.test_recovery import Inside, inside
from tests.serving.worlds import START_S, START_US, Process, serving, settings_in

LABELS = [Label("t-1", LabelValue.LEGITIMATE, START_US)]
BOUND = '{ feed = ["chargeback", "customer"], jane = ["analyst"] }'


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Guarded:
    guarded = Guarded(tmp_path_factory.mktemp("owners"))
    for name in ("ann", "bob", "feed", "jane"):
        guarded.add(name, "analyst")
    guarded.add("joe", "operator")
    guarded.add("kim", "analyst", "operator")
    return guarded


@pytest.fixture(scope="module")
def process(guarded: Guarded) -> Iterator[Process]:
    environment = guarded.environment(FRAUD__SERVER__IDENTITIES__SOURCES=BOUND)
    with serving(guarded.folder, **environment) as process:
        guarded.as_(process, "joe").wait_ready(START_S)
        yield process


def retracted(client: Client, batch_id: str) -> bool:
    return all(batch.retracted for batch in client.list_batches().batches if batch.batch_id == batch_id)


def test_an_analyst_takes_back_what_it_handed_in_and_nothing_else(process: Process, guarded: Guarded) -> None:
    with guarded.as_(process, "ann") as ann, guarded.as_(process, "bob") as bob:
        ann.submit_labels("of ann", 0, "analyst", "", LABELS)
        with pytest.raises(PermissionDenied, match=r"'of ann': ann handed in part 0, .*or an operator"):
            bob.retract_batch("of ann", "", "it convicts me")
        assert not retracted(ann, "of ann")
        assert ann.retract_batch("of ann", "", "a slip").labels == 1
        assert retracted(ann, "of ann")
        with pytest.raises(PermissionDenied, match="'of ann'"):
            bob.retract_batch("of ann", "", "once more")
        with pytest.raises(NotFound):
            bob.retract_batch("of nobody", "", "a slip")


@pytest.mark.parametrize("name", ["joe", "kim"])
def test_an_operator_takes_back_any_batch(process: Process, guarded: Guarded, name: str) -> None:
    with guarded.as_(process, "ann") as ann, guarded.as_(process, name) as operator:
        ann.submit_labels(f"for {name}", 0, "analyst", "", LABELS)
        operator.retract_batch(f"for {name}", "", "the wrong month")
        assert retracted(operator, f"for {name}")


def test_nobody_adds_a_part_to_somebody_elses_batch(process: Process, guarded: Guarded) -> None:
    with guarded.as_(process, "ann") as ann, guarded.as_(process, "bob") as bob:
        ann.submit_labels("begun", 1, "analyst", "", LABELS)
        for part in (0, 1, 2):
            with pytest.raises(Conflict, match=r"'begun' was begun by ann, .*; send your labels under a new"):
                bob.submit_labels("begun", part, "analyst", "", LABELS)
        ann.submit_labels("begun", 0, "analyst", "", LABELS)
        assert ann.submit_labels("begun", 1, "analyst", "", LABELS).repeated
        assert [batch.part for batch in ann.list_batches().batches if batch.batch_id == "begun"] == [1, 0]
        assert ann.retract_batch("begun", "", "a slip").labels == 2


def test_a_batch_of_somebody_else_that_comes_in_between_is_theirs(tmp_path: Path) -> None:
    async def body(here: Inside) -> None:
        process, feedback, go = here.process, here.process.feedback, threading.Event()
        limits = process.settings.server
        servicer = LabelServicer(limits, process.registry, process.batcher, feedback, process.queries)

        def first_part() -> None:
            assert go.wait(START_S)
            feedback.take_labels("of bob", 0, "analyst", "bob", LABELS)

        async def take_back() -> None:
            call_is_by(Caller("ann", frozenset({"analyst"}), raw_scores=True))
            request = labels_pb2.RetractBatchRequest(batch_id="of bob", submitter="ann", reason="a slip")
            await servicer.retract_batch(request)

        coming = asyncio.create_task(process.batcher.run(first_part))
        asked = asyncio.create_task(take_back())
        await asyncio.sleep(0)
        go.set()
        with pytest.raises(PermissionDenied, match="bob handed in part 0"):
            await asked
        await coming
        assert not process.log.is_retracted("of bob")

    inside(settings_in(tmp_path), body)


def test_who_is_bound_to_sources_hands_in_labels_of_no_other(process: Process, guarded: Guarded) -> None:
    with guarded.as_(process, "jane") as jane, guarded.as_(process, "feed") as feed:
        with pytest.raises(PermissionDenied) as caught:
            jane.submit_labels("bought", 0, "chargeback", "", LABELS)
        assert str(caught.value) == (
            "source: jane may hand in labels of analyst only, not of chargeback; send them as another "
            "identity, or add chargeback to server.identities.sources.jane"
        )
        with pytest.raises(PermissionDenied, match="feed may hand in labels of chargeback, customer only"):
            feed.submit_labels("bought", 0, "analyst", "", LABELS)
        assert "bought" not in {batch.batch_id for batch in jane.list_batches().batches}
        jane.submit_labels("of jane", 0, "analyst", "", LABELS)
        feed.submit_labels("of feed", 0, "chargeback", "", LABELS)
        feed.submit_labels("of customers", 0, "customer", "", LABELS)
        with pytest.raises(InvalidInput, match="source: 'rumour' is not configured"):
            jane.submit_labels("bought", 0, "rumour", "", LABELS)


def test_who_is_bound_to_none_hands_in_labels_of_any_source(process: Process, guarded: Guarded) -> None:
    with guarded.as_(process, "ann") as ann:
        for source in ("chargeback", "analyst", "customer"):
            ann.submit_labels(f"of ann, {source}", 0, source, "", LABELS)


def test_nobody_hands_in_labels_as_the_history_that_was_imported(tmp_path: Path) -> None:
    async def body(here: Inside) -> None:
        feedback = here.process.feedback
        with pytest.raises(InvalidInput, match=r"submitter: 'import' stands for a history .*; name who"):
            await here.process.batcher.run(lambda: feedback.take_labels("b", 0, "analyst", IMPORTER, LABELS))
        assert here.process.log.batch("b") == []
        await here.process.batcher.run(lambda: feedback.take_labels("b", 0, "analyst", "importer", LABELS))

    inside(settings_in(tmp_path), body)
