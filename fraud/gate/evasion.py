"""A challenger must not be easier to get past than the champion: a hard guard, on the same attacked frauds.

    frauds that neither side learned from ─ white box alone, each side ─▶ what each costs to get through
      at every point c of the curve that is judged: through at a cost of c or less?
      difference of the two shares, paired by fraud:  d = Σ s ÷ n,  error √Σ s² ÷ n

s is summed over a ring: its frauds that get through the challenger alone, less those that get through
the champion alone. Frauds of a ring are one attack and move together, so each ring is one draw; frauds that
were never stopped get through at no cost. It fails when at any point d is above the margin and chance does
not explain it: 95 % for all k points together, Student's t with a degree of freedom less than there are
rings, at 1 ÷ k of the error each (Bonferroni). That takes some rings (`rings_needed`), and fewer are only
reported.
Asking for proof that d is below the margin would reject equal challengers: a hundred frauds cannot show
five points.

A ring is what shared cards, merchants and devices show (`fraud.gate.clusters`). One that shares none of
them cannot be known for one: its frauds count apart, and the error is too small by as much.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from fraud.errors import InvalidInput
from fraud.evaluation.metrics import Floats
from fraud.gate.checks import Check, check
from fraud.settings.attacks import GATE_FRAUDS_MIN

_TAIL = 0.025


@dataclass(frozen=True, slots=True, eq=False)
class Attacked:
    """What it costs n frauds to get through each side, float64[n], and their `rings`, int[n].

    Costs are shares of the value, 0 for those that were never stopped, infinite for those that are always.
    """

    challenger: Floats
    champion: Floats
    rings: NDArray[np.integer]

    def __post_init__(self) -> None:
        sizes = (len(self.challenger), len(self.champion), len(self.rings))
        if len(set(sizes)) > 1:
            raise InvalidInput("evasion", f"columns of {sizes} frauds", "tell the same of each fraud")


@dataclass(frozen=True, slots=True)
class _Point:
    """The curves at one cost: the shares that get through, and how much more at the challenger."""

    cost: float
    challenger: float
    champion: float
    low: float
    high: float

    @property
    def more(self) -> float:
        return self.challenger - self.champion

    def fails(self, margin: float) -> bool:
        """More get through by over the margin, and not by chance."""
        return self.more > margin and self.low > 0


def rings_needed(points: int) -> int:
    """Return of how many rings that all say the same it may be said that it is not chance.

    >>> [rings_needed(points) for points in (1, 3, 6)]
    [7, 10, 11]
    """
    return next(k for k in count(2) if math.sqrt(k) > float(student.isf(_TAIL / points, k - 1)))


def evasion(attacked: Attacked, costs: Sequence[float], margin: float) -> Check:
    """Hold the curve against the champion's at some costs; information with too few frauds or rings.

    What stands in the check is the worst of the points.
    """
    n = len(attacked.rings)
    if not n:
        return check("evasion", math.nan, None, "no fraud to attack with is known yet", bound=margin)
    _, ring = np.unique(attacked.rings, return_inverse=True)
    rings, needed = int(ring.max()) + 1, rings_needed(len(costs))
    points = [_point(attacked, cost, ring, _TAIL / len(costs)) for cost in costs]
    worst = max(points, key=lambda point: (point.fails(margin), point.more))
    reason = (
        f"{worst.challenger:.0%} of {n} frauds get through at {worst.cost:.0%} of the value, "
        f"{worst.champion:.0%} at the champion"
    )
    if len(costs) > 1:
        reason += f"; the worst of {', '.join(f'{cost:.0%}' for cost in costs)}"
    passed: bool | None = not worst.fails(margin)
    if n < GATE_FRAUDS_MIN:
        passed, reason = None, f"{reason}; {GATE_FRAUDS_MIN} frauds are needed to judge"
    elif rings < needed:
        passed, reason = None, f"{reason}; they are of {rings} rings, and {needed} are needed to judge"
    elif not passed:
        reason += f"; more by over {margin:.0%}, and not by chance"
    return check("evasion", worst.more, passed, reason, bound=margin, low=worst.low, high=worst.high)


def _point(attacked: Attacked, cost: float, ring: NDArray[np.intp], tail: float) -> _Point:
    challenger, champion = attacked.challenger <= cost, attacked.champion <= cost
    sums = np.bincount(ring, weights=challenger.astype(np.int64) - champion.astype(np.int64))
    half, rings = math.nan, len(sums)
    if rings > 1:
        half = float(student.isf(tail, rings - 1) * np.sqrt(np.sum(sums**2))) / len(ring)
    mine, theirs = float(challenger.mean()), float(champion.mean())
    return _Point(cost, mine, theirs, mine - theirs - half, mine - theirs + half)
