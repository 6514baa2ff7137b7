"""How units vote: which of them each side caught, all of them or those of a slice.

units ─ their rows, flat ─► mask of rows ─► a unit with any row inside votes by those rows
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fraud.evaluation.metrics import Bools, Days
from fraud.gate.clusters import Unit


@dataclass(frozen=True, slots=True)
class Votes:
    """The units in event order: columns of length u.

    `challenger` and `champion` bool[u] say whether any fraud of the unit stood
    within that side's budget. `amount_minor` int64[u] sums its frauds, and
    `gained_minor` int64[u] what the challenger caught of them less what the
    champion did: who catches one payment of an attack has not saved the others.
    """

    days: Days
    challenger: Bools
    champion: Bools
    amount_minor: NDArray[np.int64]
    gained_minor: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.days)

    @property
    def wins(self) -> int:
        """Units that only the challenger caught."""
        return int(np.sum(self.challenger & ~self.champion))

    @property
    def losses(self) -> int:
        """Units that only the champion caught."""
        return int(np.sum(self.champion & ~self.challenger))

    @property
    def differences(self) -> NDArray[np.int64]:
        """Caught by the challenger minus caught by the champion, int64[u] of −1, 0, +1."""
        return self.challenger.astype(np.int64) - self.champion.astype(np.int64)

    def until(self, day: int) -> "Votes":
        """Return what had been voted at the end of a day; later days never change it."""
        seen = int(np.searchsorted(self.days, day, side="right"))
        return Votes(
            self.days[:seen],
            self.challenger[:seen],
            self.champion[:seen],
            self.amount_minor[:seen],
            self.gained_minor[:seen],
        )


@dataclass(frozen=True, slots=True)
class Ballot:
    """Who caught which row of which unit: `rows` and `unit` int[m], `days` int32[u], the rest by row."""

    rows: NDArray[np.intp]
    unit: NDArray[np.intp]
    days: Days
    challenger: Bools
    champion: Bools
    amounts: NDArray[np.int64]

    @classmethod
    def of(
        cls, units: Sequence[Unit], challenger: Bools, champion: Bools, amounts: NDArray[np.int64]
    ) -> Self:
        """Take units in event order, and each side's alerts bool[n] and the amounts int64[n] of all rows."""
        sizes = [len(unit.rows) for unit in units]
        rows = np.concatenate([unit.rows for unit in units]) if units else np.empty(0, np.intp)
        return cls(
            rows,
            np.repeat(np.arange(len(units)), sizes),
            np.array([unit.day for unit in units], dtype=np.int32),
            challenger[rows],
            champion[rows],
            amounts[rows],
        )

    def votes(self, inside: Bools | None = None) -> Votes:
        """Return the votes of the rows marked in bool[n] (default: all), units in event order."""
        kept = np.ones(len(self.rows), np.bool_) if inside is None else inside[self.rows]
        units, place = np.unique(self.unit[kept], return_inverse=True)

        def summed(values: NDArray[np.integer] | Bools) -> NDArray[np.int64]:
            return np.bincount(place, weights=values[kept], minlength=len(units)).astype(np.int64)

        more = self.challenger.astype(np.int64) - self.champion.astype(np.int64)
        return Votes(
            self.days[units],
            summed(self.challenger) > 0,
            summed(self.champion) > 0,
            summed(self.amounts),
            summed(self.amounts * more),
        )
