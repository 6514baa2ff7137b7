"""The clock of a simulation: time passes when the schedule says so, and what the service reads may jump."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class SimulatedClock:
    """A wall clock whose hand is set; `true_us` is when it is, `skew_us` how far the service is off."""

    def __init__(self, start_us: int) -> None:
        self.true_us = start_us
        self.skew_us = 0

    def now_us(self) -> int:
        """Return what the service believes it is, µs UTC."""
        return self.true_us + self.skew_us

    def observe(self, time_us: int) -> None:
        """Do nothing: a wall clock follows nobody."""

    def wait(self, time_us: int) -> None:
        """Let time pass."""
        self.true_us += time_us

    @contextmanager
    def measures(self) -> Iterator[None]:
        """Let what the service measures of itself follow this clock for the body of a `with`.

        Durations stand in the ledger and in verdicts, so they must be the same in a second run.
        """
        counter, thread = time.perf_counter, time.thread_time_ns
        time.perf_counter = lambda: self.true_us / 1e6
        time.thread_time_ns = lambda: 0
        try:
            yield
        finally:
            time.perf_counter, time.thread_time_ns = counter, thread
