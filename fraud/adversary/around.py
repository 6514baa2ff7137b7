"""What stands between a contest and its defender: analysts, bad files, listeners.

contest ─ decide, learn ─▶ around ─▶ the defender       answers come back the same way
"""

from collections.abc import Sequence

from fraud.adversary.contest import Answers, Defender
from fraud.adversary.gang import Filing
from fraud.adversary.honest import Payments


class Around:
    """A `Defender` around another, to which it passes everything on; who changes something overrides it."""

    def __init__(self, defender: Defender) -> None:
        self._defender = defender

    @property
    def name(self) -> str:
        """What the defender is called."""
        return self._defender.name

    @property
    def retrains(self) -> int:
        """How many models the defender has fitted."""
        return self._defender.retrains

    def decide(self, ids: Sequence[str], payments: Payments) -> Answers:
        """Pass the defender's answers on."""
        return self._defender.decide(ids, payments)

    def learn(self, filings: Sequence[Filing], now_us: int) -> None:
        """Hand the labels of the day on."""
        self._defender.learn(filings, now_us)
