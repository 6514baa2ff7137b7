"""Decides at the door which scoring calls may wait; on the event loop.

    call ─► check: would it be answered in time? ─► decoded ─► enter: is there room? ─► queue ─► leave

Two bounds, both told by name: rows (`server.queue_rows_max`, of which one caller never
takes all, see `fairness.room`) and time (the caller's deadline, at most `server.wait_max`,
which stands for the deadline of a call that has none).
"""

import time

from fraud.errors import Overloaded, TooLate
from fraud.serving.fairness import QUANTUM, WaitingRoom
from fraud.serving.roles import calling, name_of
from fraud.serving.shedding import Forecast, answer_by, set_answer_by


class Admission:
    """What waits or is in work, by caller."""

    def __init__(self, forecast: Forecast, queue_rows_max: int, wait_max_s: float) -> None:
        self._forecast = forecast
        self._wait_max_s = wait_max_s
        self._rows = WaitingRoom(queue_rows_max)
        self._entered = 0
        self.taken = 0
        """Rows that the scoring thread has taken off the queue, counted by it alone."""

    @property
    def held_by_all(self) -> int:
        """Rows that entered and have not left: waiting, in work, or waiting for reasons."""
        return self._rows.held_by_all

    def check(self, left_s: float | None) -> None:
        """Refuse a call before anything is done for it; note until when its answer is of use.

        `left_s` is what the caller still waits, None for ever.

        Raises:
            TooLate: even a single row would be answered later than that, or than `server.wait_max`.
        """
        now_s = time.monotonic()
        set_answer_by(now_s + (self._wait_max_s if left_s is None else left_s))
        self._in_time(1, now_s, self._wait_max_s if left_s is None else min(left_s, self._wait_max_s))

    def enter(self, rows: int) -> str | None:
        """Count rows in and return whose they are.

        Raises:
            Overloaded: there is no room for them.
            TooLate: so many rows would be answered too late.
        """
        name = name_of(calling())
        if rows > self._rows.free(name):
            raise Overloaded(
                f"{self.held_by_all} rows wait already, {self._rows.held(name)} of them yours "
                f"(server.queue_rows_max = {self._rows.most}); try again with back-off"
            )
        if rows > 1:  # a single one was looked at by `check`
            now_s = time.monotonic()
            until_s = answer_by()
            self._in_time(rows, now_s, min(until_s - now_s, self._wait_max_s))
        self._rows.enter(name, rows)
        self._entered += rows
        return name

    def leave(self, name: str | None, rows: int) -> None:
        """Count rows out that were answered, refused or, where their caller gave up, passed over."""
        self._rows.leave(name, rows)

    def wait_s(self, rows: int, now_s: float) -> float:
        """Return when so many rows that came now would be answered; 0 while nothing waits or is in work."""
        waiting = self._entered - self.taken
        if not waiting and self._forecast.idle:
            return 0.0
        ahead = waiting + rows
        callers = self._rows.callers
        if callers > 1:
            mine = rows + self._rows.held(name_of(calling()))
            ahead = min(ahead, callers * (mine + QUANTUM))
        return self._forecast.wait_s(ahead, now_s)

    def _in_time(self, rows: int, now_s: float, waits_s: float) -> None:
        wait_s = self.wait_s(rows, now_s)
        if wait_s > waits_s:
            raise TooLate(
                f"the answer would take {wait_s * 1e3:.0f} ms and is of use for {waits_s * 1e3:.0f} ms "
                f"(the call's deadline, or server.wait_max = {self._wait_max_s:g} s); try again with back-off"
            )
