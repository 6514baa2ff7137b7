"""Which CPUs the scoring process keeps to.

Its two busy threads, the event loop and the scoring thread, share one
interpreter: they take turns wherever they run, and each turn on another CPU
costs a wake-up and a cold cache. On one CPU a call takes a fifth less of it, the
slowest answers come several times sooner, and a retrain has the others to itself.
"""

import contextlib
import os
import zlib


def keep_to(cores: int, key: str) -> None:
    """Keep this thread, and those it starts from here on, to so many of the CPUs it may use; 0: all.

    Which ones depends on `key` alone, so that several scorers on one machine
    spread out. Does nothing where the system knows no affinity (outside Linux).
    """
    if cores == 0 or not hasattr(os, "sched_setaffinity"):
        return
    allowed = sorted(os.sched_getaffinity(0))
    first = zlib.crc32(key.encode()) % len(allowed)
    os.sched_setaffinity(0, {allowed[(first + i) % len(allowed)] for i in range(min(cores, len(allowed)))})


def use_all() -> None:
    """Let this thread use every CPU that the system grants; for work beside the scorer."""
    if hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, range(os.cpu_count() or 1))
