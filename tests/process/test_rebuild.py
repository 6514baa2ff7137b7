"""A real service while state is rebuilt without excluded transactions: it serves, follows and ends."""

import contextlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from fraud.faults import HOLD_VARIABLE
from fraud.records import Scored
from fraud.v1.models_pb2 import Selection
from tests.process.polluted import in_force, replays
from tests.process.test_graceful import entries_in
from tests.serving.registered import Ledger, polluted
from tests.serving.worlds import START_S, Stream, serving, start
from tests.waiting import wait_until

pytestmark = pytest.mark.process
SIGNED: dict[str, Any] = {"actor": "ann", "reason": "a load test"}
AFTER_CARD_1 = 123
"""The first payment that card-1 did not learn from, and card-2 did; see `registered.Polluted`."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("polluted")
    with polluted(folder):
        pass
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy"


def span(folder: Path) -> Selection:
    """Return twenty payments or so that tainted card-2."""
    events = [entries_in(folder)[at - 1].event for at in (AFTER_CARD_1, AFTER_CARD_1 + 20)]
    first_us, last_us = [event.event_time_us for event in events if isinstance(event, Scored)]
    return Selection(transactions=True, from_us=first_us, to_us=last_us)


def children(pid: int) -> list[int]:
    """Return the processes that rebuild state for a scorer."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # it has ended meanwhile
            found += [int(child) for child in (task / "children").read_text().split()]
    return [it for it in found if b"spawn_main" in _command_line(it)]


def _command_line(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def test_while_state_is_rebuilt_everything_else_takes_effect(folder: Path) -> None:
    hold, stream = folder / "hold", Stream(seed=81)
    stream.skip_days(1)
    hold.touch()
    with serving(folder, **{HOLD_VARIABLE: f"rebuild.begun:{hold}"}) as process, process.client() as client:
        done = client.exclude(span(folder), no_retrain=True, **SIGNED)
        assert client.get_champion("card").version == "card-1", "on return no tainted champion serves"
        wait_until(lambda: children(process.child.pid) != [], "a rebuild")
        labels = client.exclude(Selection(batch_id="bad"), no_retrain=True, **SIGNED)
        assert in_force(client, labels.exclusion_seq)
        ledger = Ledger(folder)
        ledger.register("card-4", upto=100)
        ledger.promote(client, "card-4")
        back = client.rollback("card", version="card-1", **SIGNED)
        assert back.applied
        client.score_batch(stream.take(30))
        assert not in_force(client, done.exclusion_seq)
        hold.unlink()
        wait_until(lambda: in_force(client, done.exclusion_seq), "the exclusion in force")
        client.score_batch(stream.take(30))
        assert process.stop() == 0
        ledger.store.close()
    assert replays(folder)


def test_a_scorer_with_a_rebuild_before_it_starts_at_once_and_ends_at_once(folder: Path) -> None:
    hold, stream = folder / "hold", Stream(seed=82)
    stream.skip_days(1)
    hold.touch()
    held = {HOLD_VARIABLE: f"rebuild.begun:{hold}"}
    with serving(folder, **held) as process, process.client() as client:
        seq = client.exclude(span(folder), no_retrain=True, **SIGNED).exclusion_seq
        process.kill()
    with serving(folder, **held) as process, process.client() as client:
        client.wait_ready(START_S)
        assert client.score(stream.next()).version == "card-1"
        wait_until(lambda: children(process.child.pid) != [], "a rebuild")
        (child,) = children(process.child.pid)
        assert process.stop() == 0
        assert hold.exists(), "the rebuild still stands where it stood, so nobody has waited for it"
        assert not Path(f"/proc/{child}").exists()
    head = len(entries_in(folder))
    assert (folder / "data" / "state" / f"features-{head:020d}.npz").exists(), "a snapshot at the end"
    again = start(folder)
    try:
        with again.client() as client:
            wait_until(lambda: in_force(client, seq), "the exclusion in force")
        assert again.stop() == 0
    finally:
        again.kill()
    assert replays(folder)
