"""A full disk and a slow one: nothing is acknowledged that is not logged, and it ends by itself."""

import contextlib
import resource
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from fraud.client import Client
from fraud.errors import FraudError, LogUnwritable
from fraud.faults import HOLD_VARIABLE
from fraud.records import Scored
from tests.process.test_graceful import NOT_SERVING, SERVING, entries_in, health, is_locked
from tests.serving.worlds import START_S, Process, Stream, serving
from tests.waiting import wait_until

pytestmark = pytest.mark.process


@dataclass(frozen=True)
class Disk:
    """A place for a data folder, and how it gets full and empty again."""

    folder: Path
    fill: Callable[[Process], None]
    free: Callable[[Process], None]


@contextmanager
def limited(tmp_path: Path) -> Iterator[Disk]:
    """Files that the system lets grow no further."""

    def limit(process: Process, size: int) -> None:
        _, hard = resource.prlimit(process.child.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.child.pid, resource.RLIMIT_FSIZE, (size, hard))

    yield Disk(tmp_path, lambda it: limit(it, 4_096), lambda it: limit(it, resource.RLIM_INFINITY))


@contextmanager
def small(tmp_path: Path) -> Iterator[Disk]:
    """A file system of a few megabytes, where this user may mount one."""
    place, filler = tmp_path / "mounted", tmp_path / "mounted" / "filler"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here; the limit on file sizes stands in for it")

    def fill(_: Process) -> None:
        with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(4_096)):
                pass

    try:
        yield Disk(place, fill, lambda _: filler.unlink())
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("kind", [limited, small])
def test_a_full_disk_is_said_and_ends_by_itself(
    kind: Callable[[Path], AbstractContextManager[Disk]], tmp_path: Path
) -> None:
    acknowledged: set[str] = set()

    def send(client: Client, stream: Stream) -> None:
        for result in client.score_batch(stream.take(20)):
            acknowledged.add(result.decision.transaction_id)

    def send_until_refused(client: Client, stream: Stream) -> None:
        while True:
            send(client, stream)

    with kind(tmp_path) as disk:
        stream = Stream(seed=5)
        with serving(disk.folder) as process, Client(process.target, deadline_s=START_S, retries=0) as client:
            send(client, stream)
            disk.fill(process)
            with pytest.raises(LogUnwritable, match="check disk space"):
                send_until_refused(client, stream)
            refused = stream.take(1)[0]
            with pytest.raises(LogUnwritable):
                client.score(refused)
            wait_until(lambda: health(process.port) == NOT_SERVING)
            disk.free(process)
            wait_until(lambda: health(process.port) == SERVING)
            send(client, stream)
            assert client.score(refused).transaction_id == refused.transaction_id
            assert process.stop() == 0
        entries = entries_in(disk.folder)
        logged = [entry.event.transaction_id for entry in entries if isinstance(entry.event, Scored)]
        assert acknowledged | {refused.transaction_id} == set(logged)
        assert len(logged) == len(set(logged))
        assert [entry.position for entry in entries] == list(range(1, len(entries) + 1))
        assert run_replay(disk.folder) == 0


def run_replay(folder: Path) -> int:
    from fraud.cli.main import run

    return run(["--config", str(folder / "fraud.toml"), "--output", "json", "replay"])


def test_a_slow_disk_sheds_what_nobody_waits_for_and_acknowledges_nothing_unsaved(tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    with serving(tmp_path, **{HOLD_VARIABLE: f"log.committing:{hold}"}) as process:
        with process.client() as patient:
            patient.score_batch(Stream(1).take(5))
            hold.touch()
            answers: list[str] = []
            first = threading.Thread(
                target=lambda: answers.append(patient.score(Stream(2).next()).transaction_id)
            )
            first.start()
            wait_until(lambda: is_locked(tmp_path / "data" / "events.sqlite"))
            with Client(process.target, deadline_s=0.3, retries=0) as hurried:
                for seed in range(10, 15):
                    # Refused while the disk is held up, so nobody has waited for it.
                    with pytest.raises(FraudError, match=r"DEADLINE|is of use for"):
                        hurried.score(Stream(seed).next())
            assert hold.exists()
            assert not answers, "not acknowledged while it is not on disk"
            hold.unlink()
            first.join()
            assert answers == ["t2-1"]
            patient.score(Stream(3).next())
        assert process.stop() == 0
    logged = {entry.event.transaction_id for entry in entries_in(tmp_path) if isinstance(entry.event, Scored)}
    assert {"t2-1", "t3-1"} <= logged
    assert not {f"t{seed}-1" for seed in range(10, 15)} & logged, "too late for anybody: never scored"
