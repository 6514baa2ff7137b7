"""The event loop's time between two batches: it sends answers and takes in what has arrived."""

import asyncio
import threading
from typing import Final

TURN_MAX_S: Final = 0.01
"""The event loop's turn between two batches is over by then, whatever it does."""
QUIET_ROUNDS: Final = 4
"""Rounds of the event loop without a new request that end its turn; idle ones take microseconds."""


class Turn:
    """The event loop's time between two batches."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._over = threading.Event()
        self._over.set()
        self._number = 0
        self._arrived = 0

    def note_arrival(self) -> None:
        """Count a request that was queued; on the event loop."""
        self._arrived += 1

    def give(self) -> None:
        """Begin a turn, before results are sent; on the scoring thread."""
        self._number += 1
        self._over.clear()

    def wait(self) -> None:
        """Wait until the turn is over; on the scoring thread."""
        self._over.wait(TURN_MAX_S)

    def use(self) -> None:
        """Let rounds pass until `QUIET_ROUNDS` of them brought nothing; on the event loop."""
        self._loop.call_soon(self._look, self._number, self._arrived, 0)

    def _look(self, number: int, arrived: int, quiet: int) -> None:
        if number != self._number:
            return  # it took too long, and the next one has begun
        quiet = quiet + 1 if arrived == self._arrived else 0
        if quiet < QUIET_ROUNDS:
            self._loop.call_soon(self._look, number, self._arrived, quiet)
        else:
            self._over.set()
