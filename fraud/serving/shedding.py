"""Which calls are refused at once because their answer would come too late.

    round    the scoring thread's work on one batch, and the event loop's turn after it
    Pace     what a round costs: fixed_s + row_s · rows, learned from each round
    Forecast rounds ahead of a new row × their cost + what is left of the round in work

The cost is a line, not a rate: most of a small batch is the commit to the disk,
so rows a second would be told too low by an idle service and too high by a slow
disk. The line is followed by normalised least mean squares (Widrow and Hoff 1960;
Haykin, Adaptive Filter Theory, ch. 6), its mean error beside it as for the
retransmission timer of TCP (Jacobson 1988; RFC 6298), so an unsteady pace is
planned for with more room.

A round that takes longer than foreseen may take as long again: so a stall is
noticed while it lasts, not when it is over. And the forecast cannot talk itself
into refusing for ever: while nothing waits the next call is taken whatever the
forecast says, and what it takes is learned from.
"""

import asyncio
import math
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Protocol

STEP: Final = 0.25
"""Part of an error that is learned from one round."""
ROWS_UNIT: Final = 64.0
"""Rows by which a round of one row and one of many are learned from about alike."""
SPREADS: Final = 2.0
"""Mean errors that are planned for on top of what is foreseen."""
GIVEN_UP: Final = -math.inf
"""Until when somebody waits who has given up."""


@dataclass(slots=True)
class Pace:
    """What a round costs, in seconds. It starts at nothing: who knows nothing refuses nobody.

    >>> pace = Pace()
    >>> for rows, seconds in [(10, 0.003), (200, 0.022)] * 200:
    ...     pace.observe(rows, seconds)
    >>> round(pace.round_s(100), 3)
    0.012
    """

    fixed_s: float = 0.0
    row_s: float = 0.0
    spread_s: float = 0.0

    def round_s(self, rows: int) -> float:
        """Return what a round of so many rows is foreseen to take."""
        return self.fixed_s + self.row_s * rows

    def observe(self, rows: int, seconds: float) -> None:
        """Learn from a round of a row or more. Neither part stays above what it took: it disproves that."""
        size = rows / ROWS_UNIT
        error = seconds - self.round_s(rows)
        step = STEP * error / (1.0 + size * size)
        self.fixed_s = min(max(0.0, self.fixed_s + step), seconds)
        self.row_s = min(max(0.0, self.row_s + step * size / ROWS_UNIT), seconds / rows)
        self.spread_s += STEP * (abs(error) - self.spread_s)


class Forecast:
    """Tells how long a new row waits for its answer. Times are seconds of one clock, given by the caller.

    The scoring thread begins and ends rounds, the event loop asks; what they share is replaced as a whole.
    """

    def __init__(self, rows_max: int) -> None:
        """`rows_max`: rows of one round."""
        self._rows_max = rows_max
        self.pace = Pace()
        self._round: tuple[int, float] | None = None

    @property
    def idle(self) -> bool:
        """True while nothing is in work."""
        return self._round is None

    def begin(self, rows: int, now_s: float) -> None:
        """Note that a round begins; 0 rows for work that is not scoring and takes as long as it takes."""
        self._round = (rows, now_s)

    def end(self, now_s: float) -> None:
        """Note that the round is over, the event loop's turn included, and learn from it."""
        if self._round is not None:
            rows, since_s = self._round
            self._round = None
            if rows:
                self.pace.observe(rows, now_s - since_s)

    def left_s(self, now_s: float) -> float:
        """Return how much longer the round in work takes: at least as long as it is late already."""
        round_ = self._round
        if round_ is None:
            return 0.0
        rows, since_s = round_
        return abs((self.pace.round_s(rows) if rows else 0.0) - (now_s - since_s))

    def wait_s(self, rows: int, now_s: float) -> float:
        """Return in what time the last of so many rows is answered; those ahead are among them."""
        rounds = math.ceil(rows / self._rows_max)
        pace = self.pace
        return self.left_s(now_s) + rounds * pace.fixed_s + rows * pace.row_s + SPREADS * pace.spread_s


_answer_by: ContextVar[float] = ContextVar("answer_by", default=math.inf)


def answer_by() -> float:
    """Return the monotonic time, in seconds, after which nobody waits for the call that this runs for."""
    return _answer_by.get()


def set_answer_by(monotonic_s: float) -> None:
    """Note until when the caller waits; each call runs in a context of its own."""
    _answer_by.set(monotonic_s)


class Awaited(Protocol):
    """Work of another thread. `answer_by_s`: monotonic, after which nobody waits; GIVEN_UP: nobody does."""

    answer_by_s: float


async def settled(work: Awaited, future: "asyncio.Future[Any]") -> Any:
    """Wait for what comes of work; who gives up lets it know, and the thread that takes it settles it."""
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        work.answer_by_s = GIVEN_UP
        raise
