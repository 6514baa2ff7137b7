"""A restore says how far it is, and ends when it is told to."""

import pytest

from fraud.serving.progress import LOOK_EVERY, RestoreProgress, RestoreStopped


def test_the_share_grows_from_nothing_to_all() -> None:
    seen: list[float] = []
    progress = RestoreProgress(seen.append)
    progress.begin(500, 500 + 4 * LOOK_EVERY)
    for position in range(501, 501 + 4 * LOOK_EVERY):
        progress.passed(position)
    progress.end()
    assert seen == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]


def test_it_ends_at_the_next_entry_after_stop() -> None:
    progress = RestoreProgress()
    progress.begin(0, 10)
    progress.passed(1)
    progress.stop()
    with pytest.raises(RestoreStopped, match="told to stop"):
        progress.passed(2)
