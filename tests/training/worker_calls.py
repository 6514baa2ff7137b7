"""What the pool's test sends to workers: functions that are importable by name."""

import os
import signal
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.waiting import wait_until


def die_once(marker: Path) -> str:
    """Kill the own process at the first call; answer at the second."""
    if marker.exists():
        return "second life"
    marker.touch()
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(text: str) -> None:
    raise ValueError(text)


def total(rows: NDArray[np.float64]) -> tuple[float, bool]:
    return float(rows.sum()), bool(rows.flags.writeable)


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, 0)


def hang(begun: Path, until: Path) -> str:
    """Say that it has begun and wait for a file, three minutes at most."""
    begun.touch()
    wait_until(until.exists)
    return "was waited for"
