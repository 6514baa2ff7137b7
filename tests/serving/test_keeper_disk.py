"""A snapshot that the disk does not take: the scorer goes on, and the next one is not far."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from fraud.serving import keeper
from tests.serving.test_recovery import Inside, inside
from tests.serving.worlds import Stream, settings_in


def in_the_way(folder: Path) -> Path:
    """Put a file where the folder of snapshots should be."""
    folder.rmdir() if folder.exists() else folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("in the way")
    return folder


def test_the_last_snapshot_may_fail_without_an_error(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)

    async def body(here: Inside) -> None:
        await here.score(Stream(seed=73), 20)
        in_the_way(settings.places.state)
        with capture_logs() as told:
            here.process.keeper.snapshot_now()
        (entry,) = told
        assert entry["event"] == "snapshot not written; will try again"
        assert "check disk space and permissions" in str(entry["why"])

    inside(settings, body)


@pytest.mark.parametrize("retry_s", [0.0, 60.0])
def test_one_that_failed_is_due_again_after_a_while_and_not_at_each_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, retry_s: float
) -> None:
    monkeypatch.setattr(keeper, "RETRY_S", retry_s)
    settings = settings_in(tmp_path)

    async def body(here: Inside) -> None:
        process, stream = here.process, Stream(seed=74)
        for _ in range(20):
            await here.score(stream, 50)
        obstacle = in_the_way(settings.places.state)
        with capture_logs() as told:
            await process.keeper.tend(process.batcher)
        assert [it["event"] for it in told] == ["snapshot not written; will try again"]
        obstacle.unlink()
        await process.keeper.tend(process.batcher)
        assert process.snapshots.oldest_position() == (0 if retry_s else 1_000)
        with capture_logs() as told:
            await process.keeper.tend(process.batcher)
        assert told == []

    inside(settings, body)
