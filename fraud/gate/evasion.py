"""A challenger must not be easier to get past than the champion: a hard guard, on the same attacked frauds.

    frauds that neither side learned from ─ white box alone, each side ─▶ through at a cost of c or less?
      difference of the two shares, paired by fraud:  d = Σ s ÷ n,  error √Σ s² ÷ n

s is summed over a ring: its frauds that get through the challenger alone, less those that get through
the champion alone. Frauds of a ring are one attack and move together, so each ring is one draw; frauds that
were never stopped get through at no cost. It fails when d is above the margin and chance does not explain
it: 95 %, Student's t with a degree of freedom less than there are rings. That takes `RINGS_MIN` rings, and
fewer are only reported. Asking for proof that d is below the margin would reject equal challengers:
a hundred frauds cannot show five points.

A ring is what shared cards, merchants and devices show (`fraud.gate.clusters`). One that shares none of
them cannot be known for one: its frauds count apart, and the error is too small by as much.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from fraud.errors import InvalidInput
from fraud.evaluation.metrics import Bools
from fraud.gate.checks import Check, check
from fraud.settings.attacks import GATE_FRAUDS_MIN

RINGS_MIN = 7
"""Of six rings that all say the same, Student's t does not say that chance is out of the question."""
_TAIL = 0.025


@dataclass(frozen=True, slots=True, eq=False)
class Through:
    """Which of n attacked frauds get through at `cost` or less, bool[n] a side, and their `rings`, int[n]."""

    cost: float
    challenger: Bools
    champion: Bools
    rings: NDArray[np.integer]

    def __post_init__(self) -> None:
        sizes = (len(self.challenger), len(self.champion), len(self.rings))
        if len(set(sizes)) > 1:
            raise InvalidInput("evasion", f"columns of {sizes} frauds", "tell the same of each fraud")


def evasion(through: Through, margin: float) -> Check:
    """Hold the share that gets through against the champion's; information with too few frauds or rings."""
    n = len(through.rings)
    if not n:
        return check("evasion", math.nan, None, "no fraud to attack with is known yet", bound=margin)
    more = through.challenger.astype(np.int64) - through.champion.astype(np.int64)
    _, ring = np.unique(through.rings, return_inverse=True)
    sums = np.bincount(ring, weights=more)
    rings, difference = len(sums), float(more.mean())
    half = math.nan
    if rings > 1:
        half = float(student.isf(_TAIL, rings - 1) * np.sqrt(np.sum(sums**2)) / n)
    low, high = difference - half, difference + half
    reason = (
        f"{through.challenger.mean():.0%} of {n} frauds get through at {through.cost:.0%} of the value, "
        f"{through.champion.mean():.0%} at the champion"
    )
    passed: bool | None = not (difference > margin and low > 0)
    if n < GATE_FRAUDS_MIN:
        passed, reason = None, f"{reason}; {GATE_FRAUDS_MIN} frauds are needed to judge"
    elif rings < RINGS_MIN:
        passed, reason = None, f"{reason}; they are of {rings} rings, and {RINGS_MIN} are needed to judge"
    elif not passed:
        reason += f"; more by over {margin:.0%}, and not by chance"
    return check("evasion", difference, passed, reason, bound=margin, low=low, high=high)
