"""Waiting for what another process or thread does: on a condition, never for a time."""

import threading
import time
from collections.abc import Callable


def wait_until(
    holds: Callable[[], object], what: str = "", *, timeout_s: float = 180.0, every_s: float = 0.01
) -> None:
    """Wait until something holds; fail, and say what did not, when it does not in time."""
    end, pause = time.monotonic() + timeout_s, threading.Event()
    while not holds():
        assert time.monotonic() < end, f"{what or 'it'} did not come true within {timeout_s:g} s"
        pause.wait(every_s)
