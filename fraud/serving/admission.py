"""Decides at the door which scoring calls may wait; on the event loop.

    call ─► check: would it be answered in time? ─► decoded ─► enter: is there room? ─► queue ─► leave

Two bounds, both told by name: rows (`server.queue_rows_max`, of which one caller never
takes all, see `fairness.room`) and time (the caller's deadline, at most `server.wait_max`).
"""

import time

from fraud.errors import Overloaded, TooLate
from fraud.serving.fairness import QUANTUM, room
from fraud.serving.roles import calling
from fraud.serving.shedding import Forecast, answer_by, set_answer_by


class Admission:
    """What waits or is in work, by caller; "" is everybody where identities are off."""

    def __init__(self, forecast: Forecast, queue_rows_max: int, wait_max_s: float) -> None:
        self._forecast = forecast
        self._queue_rows_max = queue_rows_max
        self._wait_max_s = wait_max_s
        self._held: dict[str, int] = {}
        self.held_by_all = 0
        """Rows that entered and have not left: waiting, in work, or waiting for reasons."""
        self._entered = 0
        self.taken = 0
        """Rows that the scoring thread has taken off the queue, counted by it alone."""

    def check(self, left_s: float | None) -> None:
        """Refuse a call before anything is done for it; note until when its answer is of use.

        `left_s` is what the caller still waits, None for ever.

        Raises:
            TooLate: even a single row would be answered later than that, or than `server.wait_max`.
        """
        now_s = time.monotonic()
        waits_s = self._wait_max_s if left_s is None else min(left_s, self._wait_max_s)
        if left_s is not None:
            set_answer_by(now_s + left_s)
        self._in_time(1, now_s, waits_s)

    def enter(self, rows: int) -> str:
        """Count rows in and return whose they are.

        Raises:
            Overloaded: there is no room for them.
            TooLate: so many rows would be answered too late.
        """
        caller = calling()
        name = "" if caller is None else caller.name
        held, held_by_all = self._held.get(name, 0), self.held_by_all
        limit = self._queue_rows_max
        free = limit - held_by_all if caller is None else room(held, held_by_all, limit)
        if rows > free:
            raise Overloaded(
                f"{held_by_all} rows wait already, {held} of them yours "
                f"(server.queue_rows_max = {limit}); try again with back-off"
            )
        if rows > 1:  # a single one was looked at by `check`
            now_s = time.monotonic()
            until_s = answer_by()
            self._in_time(rows, now_s, min(until_s - now_s, self._wait_max_s))
        self._held[name] = held + rows
        self.held_by_all = held_by_all + rows
        self._entered += rows
        return name

    def leave(self, name: str, rows: int) -> None:
        """Count rows out that were answered, refused or given up."""
        self.held_by_all -= rows
        held = self._held[name] - rows
        if held:
            self._held[name] = held
        else:
            del self._held[name]

    def wait_s(self, rows: int, now_s: float) -> float:
        """Return when so many rows that came now would be answered; 0 while nothing waits or is in work."""
        waiting = self._entered - self.taken
        if not waiting and self._forecast.idle:
            return 0.0
        ahead = waiting + rows
        callers = len(self._held)
        if callers > 1:
            caller = calling()
            mine = rows + (0 if caller is None else self._held.get(caller.name, 0))
            ahead = min(ahead, callers * (mine + QUANTUM))
        return self._forecast.wait_s(ahead, now_s)

    def _in_time(self, rows: int, now_s: float, waits_s: float) -> None:
        wait_s = self.wait_s(rows, now_s)
        if wait_s > waits_s:
            raise TooLate(
                f"the answer would take {wait_s * 1e3:.0f} ms and is of use for {waits_s * 1e3:.0f} ms "
                f"(the call's deadline, or server.wait_max = {self._wait_max_s:g} s); try again with back-off"
            )
