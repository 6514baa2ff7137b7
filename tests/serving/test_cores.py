import os
import threading

import pytest

from fraud.serving.cores import keep_to, use_all

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system knows no affinity")


def in_thread(cores: int, key: str) -> tuple[set[int], set[int]]:
    """The CPUs of a thread that keeps to some, and again after it may use all."""
    found: list[set[int]] = []

    def run() -> None:
        keep_to(cores, key)
        found.append(os.sched_getaffinity(0))
        use_all()
        found.append(os.sched_getaffinity(0))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0], found[1]


def test_a_thread_keeps_to_as_many_cpus_as_asked_for_and_there_are() -> None:
    allowed = os.sched_getaffinity(0)
    assert in_thread(0, "data")[0] == allowed
    assert in_thread(len(allowed) + 1, "data")[0] == allowed
    kept, all_again = in_thread(1, "data")
    assert len(kept) == 1
    assert kept <= allowed <= all_again
    assert os.sched_getaffinity(0) == allowed, "other threads are left alone"


def test_the_folder_says_which_and_folders_spread_out() -> None:
    chosen = {name: frozenset(in_thread(1, name)[0]) for name in map(str, range(20))}
    assert all(frozenset(in_thread(1, name)[0]) == cpus for name, cpus in chosen.items())
    if len(os.sched_getaffinity(0)) > 1:
        assert len(set(chosen.values())) > 1
