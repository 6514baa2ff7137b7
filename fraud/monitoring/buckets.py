"""A histogram's counts, cheap for one value and cheaper for an array.

    value → bisect over the upper bounds → counts[i] += 1, sum += value
    array → searchsorted, bincount → one addition per bucket

The client library walks its buckets in Python under two locks for each value;
at tens of thousands of scores a second that alone would fill a core.
"""

from bisect import bisect_left
from collections.abc import Sequence
from threading import Lock

import numpy as np
from numpy.typing import NDArray

FEW = 8
"""Up to so many values one by one are quicker than three numpy calls."""


class Buckets:
    """Counts of values by upper bound, ascending and finite; the last bucket is +Inf.

    One of the few holders of change; any thread may write or read.
    """

    __slots__ = ("_array", "_counts", "_lock", "_sum", "bounds")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(float(bound) for bound in bounds)
        self._array = np.array(self.bounds)
        self._counts = [0] * (len(self.bounds) + 1)
        self._sum = 0.0
        self._lock = Lock()

    def observe(self, value: float) -> None:
        """Count one value."""
        bucket = bisect_left(self.bounds, value)
        with self._lock:
            self._counts[bucket] += 1
            self._sum += value

    def observe_many(self, values: NDArray[np.floating]) -> None:
        """Count an array of values; NaN must not be among them."""
        if len(values) <= FEW:
            for value in values.tolist():
                self.observe(value)
            return
        buckets = np.searchsorted(self._array, values, side="left")
        added = np.bincount(buckets, minlength=len(self._counts)).tolist()
        total = float(values.sum(dtype=np.float64))
        with self._lock:
            self._counts = [count + more for count, more in zip(self._counts, added, strict=True)]
            self._sum += total

    def read(self) -> tuple[list[tuple[float, int]], float]:
        """Return (upper bound, count at or below it) for each bucket, and the sum of values."""
        with self._lock:
            counts, total = list(self._counts), self._sum
        below = np.cumsum(counts).tolist()
        return list(zip((*self.bounds, float("inf")), below, strict=True)), total
