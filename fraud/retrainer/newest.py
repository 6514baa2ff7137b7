"""The newest traffic now and at past positions: as many payments as a risk scale is made of.

now                 read once, scored once by each bundle
a past position     most of what was newest then is among the newest of now: only what
                    stands before that is read and scored
"""

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.bundle.bundle import Bundle
from fraud.retrainer.matrices import READABLE, Matrices
from fraud.training.assemble import REFERENCE_ROWS_MAX
from fraud.training.history import History

_NEAR: Final = 4
"""Log positions to a payment, within which the newest are looked for first."""


class NewestTraffic:
    """The newest payments of each model at one cut of history. Of past positions one is kept, the last."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._cut = history.cut.position
        self._now: dict[str, pl.DataFrame] = {}
        self._before: tuple[str, int, pl.DataFrame] | None = None
        self._matrices = {now: Matrices() for now in (True, False)}
        self._margins: dict[tuple[str, str, int], NDArray[np.float32]] = {}

    def rows(self, model: str) -> pl.DataFrame:
        """Return the newest payments of now in log order: `position`, features and categoricals."""
        if model not in self._now:
            self._now[model] = self._read(model, self._cut, REFERENCE_ROWS_MAX)
        return self._now[model]

    def margins(self, bundle: Bundle, upto: int) -> NDArray[np.float32]:
        """Return a bundle's log-odds, float32[n], of the newest payments up to a position, in log order."""
        key = (bundle.model, bundle.digest, min(upto, self._cut))
        if key not in self._margins:
            now = upto >= self._cut
            rows = self.rows(bundle.model) if now else self._rows_before(bundle.model, upto)
            margins = bundle.margins(self._matrices[now].of(bundle, rows))
            if not now:
                latest = self.margins(bundle, self._cut)[: self._shared(bundle.model, upto)]
                margins = np.concatenate([margins, latest])
            self._margins[key] = margins
        return self._margins[key]

    def _shared(self, model: str, upto: int) -> int:
        """Return how many of the newest of now, the first of them, came up to a position."""
        return int(self.rows(model)["position"].search_sorted(upto, side="right"))

    def _rows_before(self, model: str, upto: int) -> pl.DataFrame:
        """Return those of the newest up to a past position that are not among the newest of now."""
        if self._before is None or self._before[:2] != (model, upto):
            now = self.rows(model)["position"]
            missing = REFERENCE_ROWS_MAX - self._shared(model, upto)
            # Where there are fewer than a scale takes, nothing stands before them.
            last = min(upto, now[0] - 1) if len(now) == REFERENCE_ROWS_MAX else 0
            self._before = (model, upto, self._read(model, last, missing))
        return self._before[2]

    def _read(self, model: str, last: int, most: int) -> pl.DataFrame:
        first = self._first(model, last, most) if last and most else last + 1
        newest = pl.col("position").is_between(first, last)
        rows = self._history.transactions(model, newest).select("position", READABLE)
        return rows.sort("position").collect()

    def _first(self, model: str, last: int, most: int) -> int:
        """Return the position of the first of the `most` newest up to a position; one beyond without any.

        Looked for near the end first: positions of all there ever was are many.
        """
        for span in (_NEAR * most, last):
            near = pl.col("position").is_between(last - span, last)
            rows = self._history.transactions(model, near, with_features=False).select("position")
            places = rows.top_k(most, by="position").collect()["position"]
            if len(places) == most:
                break
        return last + 1 if places.is_empty() else int(places.to_numpy().min())
