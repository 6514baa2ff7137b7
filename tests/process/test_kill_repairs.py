"""SIGKILL at every step of rollback and exclusion: the next start finishes what was recorded, once."""

import contextlib
from pathlib import Path

import pytest

from fraud.clock import DAY_US
from fraud.errors import FraudError
from fraud.faults import POINTS, VARIABLE
from fraud.v1 import models_pb2
from tests.process import polluted
from tests.process.polluted import BAD, copy, in_force, kinds_of, replays, state_of
from tests.serving.worlds import START_S, START_US, Stream, serving
from tests.waiting import wait_until

pytestmark = pytest.mark.process
Selection = models_pb2.Selection
LABELS = Selection(batch_id=BAD)
DURING_US = START_US + 11 * DAY_US
TRANSACTIONS = Selection(transactions=True, from_us=DURING_US, to_us=DURING_US + DAY_US)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return polluted.shared(tmp_path_factory)


def of(prefix: str) -> list[str]:
    return [point for point in POINTS if point.startswith(prefix)]


@pytest.mark.parametrize("point", of("rollback."))
def test_a_rollback_that_was_recorded_is_finished(made: Path, tmp_path: Path, point: str) -> None:
    folder = copy(made, tmp_path)
    with serving(folder, **{VARIABLE: point}) as process, process.client() as client:
        with contextlib.suppress(FraudError):
            client.rollback(
                "card", version="card-1", mute_labels_since_us=START_US, actor="ann", reason="test"
            )
        process.child.wait(START_S)
    with serving(folder) as process, process.client() as client:
        assert client.get_champion("card").version == "card-1"
        seq = client.list_exclusions()[0].exclusion_seq
        wait_until(lambda: in_force(client, seq), "the muted labels")
        client.score_batch(Stream(seed=5).take(20))
        process.stop()
    assert kinds_of(folder).count("RolledBack") == 1
    assert replays(folder)


@pytest.mark.parametrize(
    ("point", "selection"),
    [
        *((point, LABELS) for point in of("exclusion.") if point != "exclusion.rebuilt"),
        ("exclusion.rebuilt", TRANSACTIONS),
        ("exclusion.applied", TRANSACTIONS),
    ],
)
def test_an_exclusion_that_was_recorded_is_finished(
    made: Path, tmp_path: Path, point: str, selection: models_pb2.Selection
) -> None:
    folder = copy(made, tmp_path)
    with serving(folder, **{VARIABLE: point}) as process, process.client() as client:
        with contextlib.suppress(FraudError):
            client.exclude(selection, actor="ann", reason="test")
        process.child.wait(START_S)
    with serving(folder) as process, process.client() as client:
        status = client.list_exclusions()[0]
        wait_until(lambda: in_force(client, status.exclusion_seq), "the exclusion in force")
        wait_until(lambda: kinds_of(folder).count("RetrainRequested") == 3, "the retrain asked for")
        assert client.get_champion("card").version == "card-1"
        assert client.get_version("card-2").version.tainted_by == [status.exclusion_seq]
        client.score_batch(Stream(seed=5).take(20))
        process.stop()
    kinds = kinds_of(folder)
    assert (kinds.count("DataExcluded"), kinds.count("RolledBack")) == (1, 1)
    assert [request.exclusion for request in state_of(folder).requests()] == [0, 0, status.exclusion_seq]
    assert replays(folder)


def test_a_crash_before_anything_was_recorded_leaves_nothing(made: Path, tmp_path: Path) -> None:
    folder = copy(made, tmp_path)
    before = kinds_of(folder)
    with serving(folder) as process, process.client() as client:
        client.exclude(LABELS, dry_run=True, actor="ann", reason="look")
        process.kill()
    with serving(folder) as process, process.client() as client:
        assert client.get_champion("card").version == "card-2"
        process.stop()
    assert kinds_of(folder) == before
