"""A real process appends and is killed at a random moment; what it acknowledged is on disk."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from fraud.eventlog import SqliteEventLog
from fraud.records import LabelsSubmitted, Scored
from tests.eventlog.events import labels, same, scored

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.process


def acknowledged_until_killed(path: Path, round_: int, lines: int) -> list[tuple[int, int, int]]:
    """Start an appender, kill it after some lines, return what it acknowledged: (batch, position, n)."""
    command = [sys.executable, "-m", "tests.eventlog.appender", str(path), str(round_)]
    appender = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert appender.stdout is not None
    seen = [appender.stdout.readline() for _ in range(lines)]
    appender.kill()
    # What it had written before the kill is still in the pipe; a torn last line was never acknowledged.
    rest = appender.stdout.read()
    appender.wait()
    appender.stdout.close()
    whole = "".join(seen) + rest
    complete = whole[: whole.rindex("\n")].split("\n")
    return [(int(b), int(p), int(n)) for b, p, n in (line.split() for line in complete)]


def test_every_acknowledged_event_is_there_after_a_kill_and_nothing_is_torn(tmp_path: Path) -> None:
    seed = 20_260_102
    random_ = random.Random(seed)
    path = tmp_path / "log.db"
    head = 0
    for round_ in range(5):
        taken = acknowledged_until_killed(path, round_, random_.randrange(1, 120))
        log = SqliteEventLog.open(path, writable=True, entity_names=["card", "merchant"])
        entries = {entry.position: entry.event for entry in log.read(head, 100_000)}
        assert list(entries) == list(range(head + 1, log.head() + 1)), f"seed {seed}"
        for batch, position, n in taken:
            for i in range(n):
                assert same(entries[position + i], scored(f"{round_}-{batch}-{i}"))
            assert same(entries[position + n], labels(f"{round_}-{batch}"))
            assert log.batch_digest(f"{round_}-{batch}", 0) is not None
        # At most one append had not been acknowledged yet; it is there as a whole or not at all.
        last_batch, last_position, last_n = taken[-1]
        extra = [entries[position] for position in entries if position > last_position + last_n]
        if extra:
            assert sum(isinstance(event, Scored) for event in extra) == 1 + (last_batch + 1) % 7
            assert isinstance(extra[-1], LabelsSubmitted)
        tokens = [new.surrogate for new in log.tokens() if new.entity_index == round_]
        assert tokens == list(range(last_batch + 1 + bool(extra)))
        head = log.head()
        log.close()
