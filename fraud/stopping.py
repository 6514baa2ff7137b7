"""Tells loops and long work to stop, from a signal handler too.

`threading.Event` cannot: its `set` takes a lock that the main thread may hold within `wait`, and a handler,
which interrupts that thread, would wait for it for ever.
"""

import signal
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Self


class Stopped(Exception):
    """What was under way has been left because this process was told to stop; no fault of anything."""


class Stopping:
    """A flag that is set once; any number of threads may wait for it."""

    def __init__(self) -> None:
        self._set = False
        # Its `put` may interrupt a `get` of the same thread (Python's documentation: it is reentrant).
        self._told: SimpleQueue[bool] = SimpleQueue()

    @classmethod
    def on_signals(cls) -> Self:
        """Return one that SIGTERM and SIGINT set from here on; for the main thread."""
        stopping = cls()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        return stopping

    def set(self) -> None:
        """Tell to stop; may be called by a signal handler, and again."""
        self._set = True
        self._told.put(True)

    def is_set(self) -> bool:
        """Tell whether it was told to stop."""
        return self._set

    def wait(self, timeout: float) -> bool:
        """Wait until told to stop, or so many seconds; return whether it was told."""
        if not self._set:
            with suppress(Empty):
                self._told.put(self._told.get(timeout=timeout))  # on to the next who waits
        return self._set

    def check(self) -> None:
        """Go on, or leave what is under way.

        Raises:
            Stopped: it was told to stop.
        """
        if self._set:
            raise Stopped("told to stop")
