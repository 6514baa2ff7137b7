"""Scores archived payments with another bundle than the one that answered, by their logged features.

positions ─ not scored yet ─▶ spans of rows, features as logged ─▶ scores, kept by position
"""

from collections.abc import Callable

import numpy as np
import polars as pl

from fraud.bundle.bundle import Bundle
from fraud.retrainer.matrices import judged_by, read_of, unseen_of, unseen_scores
from fraud.training.unseen import Unseen

ROWS_AT_ONCE = 100_000
_TYPES = {"position": pl.Int64, "score": pl.Float64}


class Rescoring:
    """The scores of one bundle, each payment scored once. One owner."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._known = pl.DataFrame(schema=_TYPES)

    @property
    def unseen(self) -> Unseen:
        """The payments that fitting, calibration and selection have not seen."""
        return unseen_of(self.bundle)

    def scores(self, positions: pl.Series, transactions: Callable[[], pl.LazyFrame]) -> pl.DataFrame:
        """Return `position` and `score` of the payments at some positions; others are forgotten.

        `transactions` gives the archive's rows with their logged features.
        """
        wanted = positions.sort().to_frame("position")
        known = self._known.join(wanted, on="position", how="semi")
        missing = wanted.join(known, on="position", how="anti")["position"]
        found = [
            self._score(missing.slice(start, ROWS_AT_ONCE), transactions())
            for start in range(0, len(missing), ROWS_AT_ONCE)
        ]
        self._known = pl.concat([known, *found])
        return self._known

    def _score(self, positions: pl.Series, transactions: pl.LazyFrame) -> pl.DataFrame:
        bundle = self.bundle
        first, last = positions[0], positions[-1]
        rows = (
            transactions.filter(pl.col("position").is_between(first, last))
            .select("position", *read_of(bundle), *judged_by(bundle))
            .join(positions.to_frame("position").lazy(), on="position", how="semi")
            .sort("position")
            .collect()
        )
        scores = unseen_scores(bundle, rows) if len(rows) else np.empty(0)
        return pl.DataFrame({"position": rows["position"], "score": scores}, schema=_TYPES)
