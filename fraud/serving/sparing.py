"""Lines of the log that callers can bring about in masses: a few are told, and how many were not."""

from fraud.serving.rates import Bucket


class Sparing:
    """Says which lines are told.

    >>> lines = Sparing(per_second=2.0)
    >>> [lines.untold(now_us) for now_us in (0, 0, 0, 0, 1_000_000)]
    [0, 0, None, None, 2]
    """

    def __init__(self, per_second: float) -> None:
        """`per_second`: lines a second, and at once; at least 1."""
        self._bucket = Bucket(per_second, per_second)
        self._untold = 0

    def untold(self, now_us: int) -> int | None:
        """Return how many lines were left out before this one; None: this one is left out, too."""
        if self._bucket.take(1, now_us):
            self._untold += 1
            return None
        untold, self._untold = self._untold, 0
        return untold
