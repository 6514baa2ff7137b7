"""The keeper prunes what is safe elsewhere, and only that."""

import os
from pathlib import Path

import pytest

from fraud.clock import DAY_US
from fraud.errors import Unavailable
from fraud.features.archive import open_archive
from fraud.serving import keeper
from fraud.settings import load_settings
from tests.serving.test_recovery import Inside, inside
from tests.serving.worlds import Stream, settings_in


def test_nothing_is_pruned_while_the_archive_is_not_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings_in(tmp_path)
    given = {"FRAUD__LOG__IDEMPOTENCY_HORIZON": "1h"}
    settings = load_settings(tmp_path / "fraud.toml", given)
    stream = Stream(seed=5)
    sync = os.fsync

    def failing(handle: int) -> None:
        if "archive" in Path(f"/proc/self/fd/{handle}").readlink().parts:
            raise OSError(5, "simulated: input/output error")
        sync(handle)

    async def body(here: Inside) -> None:
        process = here.process
        await here.score(stream, 100)
        stream.now_us += 40 * DAY_US
        await here.score(stream, 10)
        # Another process copies, as the retrainer does: what it has synced, this one cannot know.
        open_archive(settings).copy_from(process.log)
        await process.batcher.run(process.keeper.snapshot_now)
        with monkeypatch.context() as broken:
            broken.setattr(os, "fsync", failing)
            with pytest.raises(Unavailable, match="cannot be made durable"):
                process.keeper._prunable()

    inside(settings, body)

    async def after_a_restart(here: Inside) -> None:
        upto = here.process.keeper._prunable()
        assert upto == here.process.log.head() == 110
        here.process.keeper._prune(upto)
        assert here.process.log.first() > 1

    inside(settings, after_a_restart)


def test_a_backlog_is_pruned_in_parts_and_the_rest_follows_at_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "PRUNE_AT_ONCE", 40)
    given = {"FRAUD__LOG__IDEMPOTENCY_HORIZON": "1h", "FRAUD__LOG__PRUNE_EVERY": "1h"}
    settings, stream = settings_in(tmp_path, **given), Stream(seed=7)

    async def body(here: Inside) -> None:
        process = here.process
        await here.score(stream, 100)
        stream.now_us += 40 * DAY_US
        await here.score(stream, 10)
        process.archive.copy_from(process.log)
        await process.batcher.run(process.keeper.snapshot_now)
        await process.keeper.tend(process.batcher)
        assert process.log.first() == 1, "it is not due yet"
        process.keeper._pruned_at -= 3600
        for first in (41, 81, 101):
            await process.keeper.tend(process.batcher)
            assert process.log.first() == first
        stream.now_us += 40 * DAY_US
        await here.score(stream, 10)
        await process.keeper.tend(process.batcher)
        assert process.log.first() == 101, "what was old is gone; the next time is in an hour"

    inside(settings, body)


def test_a_start_from_a_snapshot_writes_the_next_one_when_that_is_old(tmp_path: Path) -> None:
    settings, stream = settings_in(tmp_path), Stream(seed=6)

    async def first(here: Inside) -> None:
        for _ in range(22):
            await here.score(stream, 50)
        here.process.keeper.snapshot_now()
        await here.score(stream, 50)

    async def after_a_restart(here: Inside) -> None:
        process = here.process
        (loaded,) = process.snapshots.paths()
        await process.keeper.tend(process.batcher)
        assert process.snapshots.paths() == [loaded]
        for _ in range(19):
            await here.score(stream, 50)
        await process.keeper.tend(process.batcher)
        newest, _ = process.snapshots.paths()
        assert int(newest.stem.rpartition("-")[2]) == process.log.head() == 2_100

    inside(settings, first)
    inside(settings, after_a_restart)
