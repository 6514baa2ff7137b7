"""How long work waits for one thread, by what its rows have cost so far."""

FIRST_ROW_S = 1e-3
_SMOOTHING = 0.1
_JUMP_MAX = 4.0


class Backlog:
    """Rows that wait for a worker or are in work. One thread enters them, the worker takes them out."""

    def __init__(self) -> None:
        self._entered = 0
        self._left = 0
        self._row_s = FIRST_ROW_S

    @property
    def wait_s(self) -> float:
        """Return when a row that came now would have its turn; 0 while nothing waits or is in work."""
        return (self._entered - self._left) * self._row_s

    def enter(self, rows: int) -> None:
        """Count rows in."""
        self._entered += rows

    def leave(self, rows: int) -> None:
        """Count rows out, whatever became of them."""
        self._left += rows

    def learn(self, rows: int, seconds: float) -> None:
        """Take note that so many rows, at least one, took so long.

        What is out of the ordinary, a bundle that had to be loaded first, says little about the next
        rows: it counts as a few times what is usual at most.
        """
        row_s = min(seconds / rows, _JUMP_MAX * self._row_s)
        self._row_s += _SMOOTHING * (row_s - self._row_s)
