"""Is the challenger better on an attack that a person has confirmed?

    rows of the attack since it began ─► frauds of one card are one unit ─► votes, as everywhere

Overall a ring is one attack and has one vote, because the question is about
attacks to come. Here it is about this one, so what makes it one (its merchant,
its device) links nothing; frauds of one card still stand or fall together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.evaluation.metrics import Bools, Days
from fraud.gate.clusters import units
from fraud.gate.slices import Slice
from fraud.gate.votes import Ballot


@dataclass(frozen=True, slots=True)
class AttackRule:
    """Which payments are of an attack: all pairs of (entity, surrogate) and (field, word) hold.

    `since_us` is the first event time.
    """

    name: str
    entities: tuple[tuple[str, int], ...] = ()
    words: tuple[tuple[str, str], ...] = ()
    since_us: int = 0

    def marks(self, frame: pl.DataFrame) -> Bools:
        """Mark the payments of the attack among rows with the archive's columns, bool[n]."""
        inside = pl.col("event_time_us") >= self.since_us
        for entity, surrogate in self.entities:
            inside &= pl.col(f"entity_{entity}") == surrogate
        for field, word in self.words:
            inside &= pl.col(f"categorical_{field}") == word
        return frame.select(inside.fill_null(value=False)).to_series().to_numpy()


def attacks_of(
    frame: pl.DataFrame,
    is_fraud: Bools,
    days: Days,
    cards: NDArray[np.int64],
    alerts: tuple[Bools, Bools],
    rules: Sequence[AttackRule],
) -> tuple[Slice, ...]:
    """Return a slice for each attack; `alerts` are the challenger's and the champion's, bool[n]."""
    found = []
    for rule in rules:
        inside = rule.marks(frame)
        held = units(cards[:, None], is_fraud & inside, days)
        ballot = Ballot.of(held, *alerts, frame["amount_base_minor"].to_numpy())
        found.append(Slice(rule.name, int(inside.sum()), ballot.votes(), tested=True))
    return tuple(found)
