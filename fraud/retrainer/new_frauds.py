"""Counts frauds of each model that became known, for the trigger `new_frauds`.

labels that count ─ not hidden, not taken back ─► each fraud by its first label ─┐
payments that count ─ of these frauds, whichever they are of ────────────────────┴► arrivals by model, sorted

Labels are read only when the archive holds new ones or retractions, or the view of them has changed. Which
model a fraud is of is looked up once, for all that are new at most every `monitoring.quality_every`; a label
whose payment is not there waits, and only payments that came since are searched for it. In between a count
is a search in what was found. A fraud that is handed in again is no new one.
"""

import time

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.labels.exclusions import View
from fraud.records import LabelValue
from fraud.retrainer.cycle import Workshop

_NO_FRAUDS: NDArray[np.int64] = np.empty(0, np.int64)
_KEY = pl.col("transaction_id").hash().alias("key")


class NewFrauds:
    """When each fraud became known, by model: some thirty bytes a fraud, ever. One owner."""

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._known: tuple[object, ...] = ()
        self._view = ""
        self._frauds = pl.DataFrame(schema={"key": pl.UInt64, "known_us": pl.Int64})
        self._forget_payments()

    def turn(self) -> None:
        """Take in what has come, where the trigger is on; the caller holds the archive's files in place."""
        shop = self._shop
        if shop.settings.training.triggers.new_frauds is None:
            return
        versions, view = shop.archive.versions(), shop.state().view()
        if view.to_text() != self._view:
            self._view = view.to_text()
            self._forget_payments()
        known = (versions["labels"], versions["retractions"], self._view)
        changed = known != self._known
        if changed:
            self._read_labels(view)
        if self._find_payments(view) or changed:
            self._count()
            self._known = known

    def after(self, model: str, after_us: int) -> int:
        """Return how many frauds of a model became known after a moment, µs UTC."""
        first_us = self._first_us.get(model, _NO_FRAUDS)
        return len(first_us) - int(np.searchsorted(first_us, after_us, side="right"))

    def _forget_payments(self) -> None:
        self._payments = pl.DataFrame(schema={"key": pl.UInt64, "model": pl.String})
        self._sought = pl.DataFrame(schema={"key": pl.UInt64})
        self._position = 0
        self._looked_at = float("-inf")
        self._first_us: dict[str, NDArray[np.int64]] = {}

    def _read_labels(self, view: View) -> None:
        """Take each fraud by its first label."""
        shop = self._shop
        self._frauds = (
            shop.history(shop.cut(), view)
            .labels()
            .filter(pl.col("value") == int(LabelValue.FRAUD))
            .group_by("transaction_id")
            .agg(known_us=pl.col("arrival_time_us").min())
            .select(_KEY, "known_us")
            .collect()
        )

    def _find_payments(self, view: View) -> bool:
        """Look for the payments of frauds that none was found for; tell whether there are any."""
        shop = self._shop
        missing = self._frauds.select("key").join(self._payments, on="key", how="anti")
        new = not missing.join(self._sought, on="key", how="anti").is_empty()
        position = shop.archive.position()
        every_s = shop.settings.monitoring.quality_every / 1e6
        waits = time.monotonic() - self._looked_at < every_s
        if missing.is_empty() or waits or not (new or position > self._position):
            return False
        self._looked_at = time.monotonic()
        payments = shop.archive.transactions(position).filter(
            pl.col("position") > (0 if new else self._position)
        )
        found = (
            view.visible_transactions(payments)
            .select(_KEY, "model")
            .join(missing.lazy(), on="key", how="semi")
            .collect()
        )
        self._payments = pl.concat([self._payments, found])
        self._sought, self._position = missing, position
        return not found.is_empty()

    def _count(self) -> None:
        placed = self._frauds.join(self._payments, on="key").sort("known_us")
        self._first_us = {
            str(model): rows["known_us"].to_numpy()
            for (model,), rows in placed.group_by("model", maintain_order=True)
        }
