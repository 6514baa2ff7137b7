"""Copying in real processes: killed at random moments, and two at once."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from fraud.archive import Archive
from fraud.eventlog import SqliteEventLog
from tests.archive.history import FEATURES, HEADING, SCHEMA, history
from tests.eventlog.events import same_entries

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.process
KILLS = 5


def start_copier(log_path: Path, folder: Path, upto: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.archive.copier", str(log_path), str(folder), str(upto)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def held_once(folder: Path, log: SqliteEventLog) -> None:
    archive = Archive(folder, SCHEMA, FEATURES)
    assert archive.position() == log.head()
    assert same_entries(list(archive.entries()), log.read(0, 10_000))


def test_every_position_is_archived_once_although_copies_are_killed_at_random_moments(tmp_path: Path) -> None:
    seed = 20_260_101
    random_ = random.Random(seed)
    log_path, folder = tmp_path / "log.db", tmp_path / "archive"
    log = SqliteEventLog.open(log_path, writable=True, entity_names=SCHEMA.entity_names, durability="process")
    log.hold_to_heading(HEADING)
    log.append(history(40, seed), 1, [])
    kills = 0
    for _ in range(KILLS):
        copier = start_copier(log_path, folder, upto=10**9)
        assert copier.stdout is not None
        assert copier.stdout.readline() == "started\n"
        # Grow the log under the copier a random number of times, then kill it wherever it is.
        for _ in range(random_.randrange(1, 8)):
            log.append(history(random_.randrange(1, 50), seed, log.head()), 1, [])
            for _ in range(random_.randrange(2)):
                copier.stdout.readline()
        kills += copier.poll() is None
        copier.kill()
        copier.wait()
        copier.stdout.close()
    assert kills == KILLS, f"seed {seed}"
    Archive(folder, SCHEMA, FEATURES).copy_from(log)
    held_once(folder, log)
    log.close()


def test_two_copies_at_once_archive_every_position_once(tmp_path: Path) -> None:
    log_path, folder = tmp_path / "log.db", tmp_path / "archive"
    log = SqliteEventLog.open(log_path, writable=True, entity_names=SCHEMA.entity_names, durability="process")
    log.hold_to_heading(HEADING)
    log.append(history(400, seed=8), 1, [])
    copiers = [start_copier(log_path, folder, upto=400) for _ in range(2)]
    for copier in copiers:
        out, _ = copier.communicate(timeout=180)
        assert copier.returncode == 0
        assert out.endswith("copied 400\n")
    held_once(folder, log)
    log.close()
