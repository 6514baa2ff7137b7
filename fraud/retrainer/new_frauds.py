"""Counts frauds that became known, for the trigger `new_frauds`.

labels that count ─ not hidden, not taken back ─► each fraud by its first label ─► arrivals, sorted

The archive is asked only when it holds new labels or retractions, or the view of them has changed; in
between a count is a search in what was found. A fraud that is handed in again is no new one.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.records import LabelValue
from fraud.retrainer.cycle import Workshop
from fraud.training.history import Cut, History


class NewFrauds:
    """When each fraud became known: eight bytes a fraud, ever. One owner."""

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._known: tuple[object, ...] = ()
        self._first_us: NDArray[np.int64] = np.empty(0, np.int64)

    def turn(self) -> None:
        """Take in what has come, where the trigger is on; the caller holds the archive's files in place."""
        shop = self._shop
        if shop.settings.training.triggers.new_frauds is None:
            return
        versions, view = shop.archive.versions(), shop.state().view()
        known = (versions["labels"], versions["retractions"], view.to_text())
        if known == self._known:
            return
        cut = Cut(shop.archive.position(), max(shop.clock.now_us(), shop.log.last_arrival_us()))
        first = (
            History(shop.archive, shop.spec, shop.settings, cut, view)
            .labels()
            .filter(pl.col("value") == int(LabelValue.FRAUD))
            .group_by("transaction_id")
            .agg(pl.col("arrival_time_us").min())
            .collect()
        )
        self._first_us = np.sort(first["arrival_time_us"].to_numpy())
        self._known = known

    def since(self, since_us: int) -> int:
        """Return how many frauds became known at or after a moment, µs UTC."""
        return len(self._first_us) - int(np.searchsorted(self._first_us, since_us))
