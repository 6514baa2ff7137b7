"""How much one identity may ask for: token buckets, with time as an argument.

    level rises by `rate` a second up to `capacity`; n is taken when level ≥ min(n, capacity)

What is larger than the whole bucket waits until it is full and leaves a debt, so
that no batch is refused for ever, and over any span of t seconds at most
capacity + rate · t + the largest batch goes through.
"""

from dataclasses import dataclass

from fraud.clock import SECOND_US
from fraud.errors import RateLimited
from fraud.settings.access import Rate, Rates


@dataclass(slots=True)
class Bucket:
    """One bucket: `rate` a second, at most `capacity` at once. Full when it is made.

    >>> bucket = Bucket(rate=2.0, capacity=4.0)
    >>> [bucket.take(n, now_us=0) for n in (3, 1, 1)]
    [0, 0, 500000]
    """

    rate: float
    capacity: float
    level: float = float("inf")
    time_us: int = 0

    def take(self, n: float, now_us: int) -> int:
        """Take n and return 0, or leave the bucket as it is and return the wait in µs, at least 1.

        Time never runs backwards; what says so is taken as the last time told.
        """
        if now_us > self.time_us:
            self.level += self.rate * (now_us - self.time_us) / SECOND_US
            self.time_us = now_us
        self.level = min(self.level, self.capacity)
        missing = min(n, self.capacity) - self.level
        if missing > 0:
            return max(1, round(missing / self.rate * SECOND_US))
        self.level -= n
        return 0


@dataclass(frozen=True, slots=True)
class Buckets:
    """The buckets of one identity; None: no limit. `where` names the settings."""

    calls: Bucket | None
    rows: Bucket | None
    where: str


class RateLimits:
    """The buckets of every identity that has called; each begins full."""

    def __init__(self, settings: Rates) -> None:
        self._settings = settings
        self._buckets: dict[str, Buckets] = {}

    @property
    def unlimited(self) -> bool:
        """True when nobody has a limit, so that none has to be asked."""
        given = (self._settings, *self._settings.identities.values())
        return not any(it.calls_per_second or it.rows_per_second for it in given)

    def take_call(self, name: str, now_us: int) -> None:
        """Count a call of an identity.

        Raises:
            RateLimited: it may not make one yet; the message says which limit, and when.
        """
        held = self._of(name)
        if held.calls is not None and (wait_us := held.calls.take(1, now_us)):
            raise _refusal(name, "calls", held.calls, f"{held.where}.calls_per_second", wait_us)

    def take_rows(self, name: str, rows: int, now_us: int) -> None:
        """Count the rows of a call.

        Raises:
            RateLimited: they are too many for now; the message says which limit, and when.
        """
        held = self._of(name)
        if held.rows is not None and (wait_us := held.rows.take(rows, now_us)):
            raise _refusal(name, "rows", held.rows, f"{held.where}.rows_per_second", wait_us)

    def _of(self, name: str) -> Buckets:
        held = self._buckets.get(name)
        if held is None:
            own = name in self._settings.identities
            where = f"server.rates.identities.{name}" if own else "server.rates"
            held = self._buckets[name] = buckets_of(self._settings.of(name), where)
        return held


def buckets_of(rate: Rate, where: str) -> Buckets:
    """Return full buckets for a rate."""
    burst_s = rate.burst / SECOND_US

    def bucket(per_second: float) -> Bucket | None:
        return Bucket(per_second, max(1.0, per_second * burst_s)) if per_second else None

    return Buckets(bucket(rate.calls_per_second), bucket(rate.rows_per_second), where)


def _refusal(name: str, what: str, bucket: Bucket, setting: str, wait_us: int) -> RateLimited:
    return RateLimited(
        f"{name}: more than {bucket.rate:g} {what} a second ({setting}); "
        f"try again in {wait_us / SECOND_US:.3f} s",
        wait_us,
    )
