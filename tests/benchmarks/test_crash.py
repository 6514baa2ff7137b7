"""What the benchmark on crashes counts is there to be counted."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from benchmarks.crash import Found, look
from benchmarks.crash_crowd import Crowd
from fraud.eventlog.folder import open_log
from fraud.features.archive import open_archive
from fraud.records import EntityListed, OutcomeReport, OutcomesReported, PaymentOutcome
from fraud.serving.recovery import entries_after
from fraud.settings import Settings
from tests.golden.test_golden import RELEASES, copied


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return copied(RELEASES[0], tmp_path)[0]


@pytest.fixture
def crowd(tmp_path: Path) -> Crowd:
    """Clients that were told what stands in log and ledger."""
    made = Crowd()
    made.payments = set(copied(RELEASES[0], tmp_path)[1]["answers"])
    made.batches = {"old": 8, "late": 6}
    made.promotions = {2}
    settings = copied(RELEASES[0], tmp_path)[0]
    with closing(open_log(settings)) as log:
        for entry in entries_after(log, open_archive(settings), 0, log.head()):
            if isinstance(entry.event, OutcomesReported):
                made.outcomes.update(entry.event.reports)
            elif isinstance(entry.event, EntityListed):
                made.listings.add(entry.event.reason)
    assert made.outcomes
    assert made.listings
    return made


def wrong(found: Found) -> tuple[int, int, int]:
    return found.lost, found.doubled, found.unequal


def test_nothing_is_wrong_with_a_sound_folder(settings: Settings, crowd: Crowd) -> None:
    assert wrong(look(settings, crowd)) == (0, 0, 0)


def test_what_is_missing_is_lost(settings: Settings, crowd: Crowd) -> None:
    crowd.payments.add("never logged")
    crowd.batches |= {"old": 9, "never": 1}
    crowd.promotions.add(1)
    crowd.outcomes.add(OutcomeReport("never logged", PaymentOutcome.COMPLETED, 1))
    crowd.listings.add("never listed")
    assert wrong(look(settings, crowd)) == (6, 0, 0)


def test_what_stands_twice_is_doubled(settings: Settings, crowd: Crowd) -> None:
    with closing(sqlite3.connect(settings.places.log)) as connection:
        connection.execute("DROP INDEX entries_by_id")
        connection.execute(
            """INSERT INTO entries SELECT position + 1, arrival_time_us, kind, transaction_id, outcome, model,
            body FROM entries ORDER BY position DESC LIMIT 1"""
        )
        connection.commit()
    assert wrong(look(settings, crowd)) == (0, 1, 0)


def test_a_snapshot_that_is_not_the_fold_is_unequal(settings: Settings, crowd: Crowd) -> None:
    (path,) = settings.places.state.glob("features-*.npz")
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    header = json.loads(arrays["header"].tobytes())
    header["position"] += 10  # which are then never folded
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(path, allow_pickle=False, **arrays)
    assert wrong(look(settings, crowd)) == (0, 0, 1)
