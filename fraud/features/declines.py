"""What the service has declined, on its way into the state of its own features.

    rows arrive ─ settle: declines that arrived before ─▶ state ─▶ rows read and folded ─▶ decided
                                                              declined ones wait here ◀─┘

A batch is folded before anything of it is decided, so no row can see a decline of its
own batch. The line is drawn by arrival: a payment sees the declines of payments that
arrived before it, and not of those that arrived with it. A batch has one arrival, and the
log holds it with each decision, so replay draws the same line and need not know batches.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fraud.features.state import FeatureState, Rows


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """What the log says of n rows: `arrival_us` int64[n], never falling, and `declined` bool[n]."""

    arrival_us: NDArray[np.int64]
    declined: NDArray[np.bool_]

    def part(self, start: int, stop: int) -> "Decided":
        """Return rows `start` to `stop` as views."""
        return Decided(self.arrival_us[start:stop], self.declined[start:stop])

    def runs(self, *, waiting: bool) -> Iterator[tuple[int, int]]:
        """Yield start and stop of runs whose rows see the same declines.

        A run ends where a row arrives later than declined ones; with `waiting`,
        also where the first row arrives that is later than the very first.
        """
        arrives = np.flatnonzero(np.diff(self.arrival_us)) + 1
        if not len(self.declined):
            return
        declined = np.logical_or.reduceat(self.declined, np.concatenate([[0], arrives]))
        is_end = declined[:-1]
        is_end[:1] |= waiting
        yield from pairwise([0, *arrives[is_end].tolist(), len(self.declined)])


@dataclass(slots=True)
class Declines:
    """Declined transactions that no row has seen yet; all of one arrival. Mutable, one owner."""

    arrival_us: int = 0
    surrogates: list[tuple[int, ...]] = field(default_factory=list)
    event_time_us: list[int] = field(default_factory=list)

    def take(self, declined: Rows, arrival_us: int) -> None:
        """Keep declined rows; those of an earlier arrival are settled already."""
        self.arrival_us = arrival_us
        self.surrogates.extend(tuple(row) for row in declined.surrogates.tolist())
        self.event_time_us.extend(declined.event_time_us.tolist())

    def settle(self, state: FeatureState, arrival_us: int) -> None:
        """Put into the state what arrived before `arrival_us`."""
        if self.surrogates and self.arrival_us < arrival_us:
            state.decline(np.array(self.surrogates, np.int32), np.array(self.event_time_us, np.int64))
            self.surrogates, self.event_time_us = [], []

    def to_notes(self) -> list[Any]:
        """Return what waits as JSON values; empty when nothing does."""
        if not self.surrogates:
            return []
        return [self.arrival_us, [list(row) for row in self.surrogates], self.event_time_us]

    @classmethod
    def from_notes(cls, notes: list[Any]) -> Self:
        """Read what `to_notes` wrote.

        Raises:
            TypeError, ValueError: it is nothing of the kind.
        """
        if not notes:
            return cls()
        arrival_us, surrogates, times = notes
        return cls(int(arrival_us), [tuple(row) for row in surrogates], [int(time_us) for time_us in times])
