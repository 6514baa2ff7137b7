"""Who is served next when several want to be: turns between callers, and a share between kinds of work.

    FairQueue   deficit round robin (Shreedhar and Varghese 1995): one queue a caller, visited in turn;
                each visit adds QUANTUM rows of credit, and calls are taken while credit covers them
    TimeShare   labels beside scores: work of one second of scoring earns share ÷ (1 − share) seconds
    room        how much of a bounded queue one caller may hold: at most HOLD × what is still free
                (dynamic thresholds, Choudhury and Hahne 1998), so that a flood never takes the last place
    WaitingRoom what each caller holds of such a queue

Over any span in which two callers always wait, the rows served to them differ by at
most QUANTUM and two of their largest calls. A caller who is alone gets everything, in
the order it came. Pure; each holder belongs to one thread.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar

QUANTUM: Final = 64
"""Rows of credit for each visit."""
HOLD: Final = 4
"""One flooding caller alone holds at most four fifths of a queue, the next as much of the rest."""
EARNED_MAX_S: Final = 0.05
"""Time that may be saved up for labels: a burst after a quiet spell is no longer than that."""


class Sized(Protocol):
    """Work that counts for a number of rows, at least 1."""

    @property
    def rows(self) -> int:
        """The rows."""
        ...


Work = TypeVar("Work", bound=Sized)


@dataclass(slots=True)
class _Lane(Generic[Work]):
    works: deque[Work] = field(default_factory=deque)
    credit: int = 0


class FairQueue(Generic[Work]):
    """Work of several callers, taken in fair turns."""

    def __init__(self) -> None:
        self._lanes: dict[str | None, _Lane[Work]] = {}
        self._turns: deque[str | None] = deque()

    def __bool__(self) -> bool:
        return bool(self._turns)

    def put(self, caller: str | None, work: Work) -> None:
        """Queue work of a caller, behind what it queued before."""
        lane = self._lanes.get(caller)
        if lane is None:
            lane = self._lanes[caller] = _Lane()
            self._turns.append(caller)
        lane.works.append(work)

    def take(self, rows_max: int) -> list[Work]:
        """Take work, whole calls, until it has `rows_max` rows or nothing waits."""
        taken: list[Work] = []
        rows = 0
        while rows < rows_max and self._turns:
            caller = self._turns[0]
            lane = self._lanes[caller]
            size = lane.works[0].rows
            if size > lane.credit and len(self._turns) > 1:
                lane.credit += QUANTUM
                self._turns.rotate(-1)
                continue
            taken.append(lane.works.popleft())
            rows += size
            lane.credit = max(0, lane.credit - size)
            if not lane.works:
                self._turns.popleft()
                del self._lanes[caller]
        return taken


@dataclass(slots=True)
class TimeShare:
    """Time on a thread for work that may take at most `share` of it while other work waits."""

    share: float
    earned_s: float = 0.0

    def earn(self, seconds: float) -> None:
        """Note how long other work took."""
        self.earned_s = min(EARNED_MAX_S, self.earned_s + seconds * self.share / (1.0 - self.share))

    def spend(self, seconds: float) -> None:
        """Note how long this work took while other work waited; what was not earned yet is owed."""
        self.earned_s -= seconds

    @property
    def due(self) -> bool:
        """True when it may have its turn although other work waits."""
        return self.earned_s > 0.0


@dataclass(slots=True)
class WaitingRoom:
    """A bounded queue, or a bound on calls, and what each caller holds of it.

    A caller is a name; None stands for everybody, where identities are off, who may take all.
    """

    most: int
    held_by_all: int = 0
    _held: dict[str | None, int] = field(default_factory=dict)

    @property
    def callers(self) -> int:
        """How many hold something."""
        return len(self._held)

    def held(self, caller: str | None) -> int:
        """Return what a caller holds."""
        return self._held.get(caller, 0)

    def free(self, caller: str | None) -> int:
        """Return how much a caller may add."""
        if caller is None:
            return self.most - self.held_by_all
        return room(self._held.get(caller, 0), self.held_by_all, self.most)

    def enter(self, caller: str | None, size: int = 1) -> None:
        """Count in what a caller adds."""
        self._held[caller] = self._held.get(caller, 0) + size
        self.held_by_all += size

    def leave(self, caller: str | None, size: int = 1) -> None:
        """Count out what a caller held."""
        self.held_by_all -= size
        held = self._held[caller] - size
        if held:
            self._held[caller] = held
        else:
            del self._held[caller]


def room(held: int, held_by_all: int, held_max: int) -> int:
    """Return how many rows a caller may add to a queue, from what it holds and what all hold.

    Who holds nothing may take what is free, so that no call is too large for ever.

    >>> room(held=0, held_by_all=0, held_max=100), room(10, 10, 100), room(80, 80, 100), room(0, 80, 100)
    (100, 70, 0, 20)
    """
    free = held_max - held_by_all
    return max(0, (HOLD * free - held) // (HOLD + 1) if held else free)
