"""How long to wait before a process that ended is started again."""

from dataclasses import dataclass


@dataclass
class Backoff:
    """Doubles the wait with each early death, up to a cap; a long life resets it.

    >>> backoff = Backoff(first_s=1.0, cap_s=5.0, steady_s=60.0)
    >>> [backoff.after(lived_s=0.1) for _ in range(4)], backoff.after(lived_s=61.0)
    ([1.0, 2.0, 4.0, 5.0], 1.0)
    """

    first_s: float = 0.5
    cap_s: float = 30.0
    steady_s: float = 60.0
    _next_s: float = 0.0

    def after(self, lived_s: float) -> float:
        """Return the seconds to wait after a life of `lived_s` seconds."""
        wait_s = self.first_s if lived_s >= self.steady_s or self._next_s == 0.0 else self._next_s
        self._next_s = min(2 * wait_s, self.cap_s)
        return min(wait_s, self.cap_s)
