"""A soak in small: mixed load with retrains, promotions and new tokens. `benchmarks.soak` is the long one."""

from pathlib import Path

import pytest

from benchmarks import soak_crowd
from benchmarks.soak import HANDLES_MORE, QUICK_MINUTES, SLICES, soak
from benchmarks.soak_crowd import OPERATOR_S, PAUSES_S
from tests.serving.worlds import START_S

THREADS_MAX = 128


@pytest.mark.process
def test_mixed_load_with_retrains_and_swaps_fails_nothing_and_leaves_no_handle_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak_crowd, "DEADLINE_S", START_S)
    slices, crowd = soak(tmp_path, QUICK_MINUTES, seed=1)
    assert not crowd.failures
    assert len(slices) == SLICES
    assert set(crowd.calls) == set(PAUSES_S) | set(OPERATOR_S)
    settled = slices[SLICES // 4 :]
    for process in ("scorer", "retrainer"):
        # A cycle of the retrainer holds files while it runs: those left open show in the fewest of a slice.
        held = max if process == "scorer" else min
        handles = [held(each.handles[process]) for each in settled]
        assert handles[-1] - handles[0] <= HANDLES_MORE, process
    # Pools of Arrow and Delta grow and shrink again: threads that stay show in the fewest of a slice.
    threads = [min(each.threads["scorer"]) for each in settled]
    assert threads[-1] - threads[0] <= HANDLES_MORE
    assert max(max(each.threads["scorer"]) for each in settled) <= THREADS_MAX < crowd.calls["score"]
    assert sum(len(each.latencies_ms) for each in slices) == crowd.calls["score"]
