"""A challenger must not be easier to get past than the champion: a hard guard, on the same attacked frauds.

    frauds that neither side learned from ─ white box alone, each side ─▶ through at a cost of c or less?
      difference of the two shares, paired by fraud:  d = (b − c) ÷ n,  error √(b + c − (b − c)² ÷ n) ÷ n

b get through the challenger alone, c through the champion alone; frauds that were never
stopped get through at no cost. It fails when d is above the margin and chance does not
explain it (95 %). Asking for proof that d is below the margin would reject equal challengers:
a hundred frauds cannot show five points.
"""

import math
from dataclasses import dataclass

from fraud.errors import InvalidInput
from fraud.gate.checks import Check, check

FRAUDS_MIN = 30
"""Fewer attacked frauds are only reported."""
_NORMAL_95 = 1.96


@dataclass(frozen=True, slots=True)
class EvasionCount:
    """Of `frauds` attacked, those that get through at `cost` or less: both sides, and one side alone."""

    cost: float
    frauds: int
    both: int
    challenger_only: int
    champion_only: int

    def __post_init__(self) -> None:
        counts = (self.both, self.challenger_only, self.champion_only)
        if min(counts) < 0 or sum(counts) > self.frauds:
            raise InvalidInput("evasion", f"counts {counts} of {self.frauds} frauds", "count each fraud once")


def evasion(count: EvasionCount, margin: float) -> Check:
    """Hold the share that gets through against the champion's; information with too few frauds."""
    n, more, less = count.frauds, count.challenger_only, count.champion_only
    if not n:
        return check("evasion", math.nan, None, "no fraud to attack with is known yet", bound=margin)
    difference = (more - less) / n
    error = math.sqrt(max(0.0, more + less - (more - less) ** 2 / n)) / n
    low, high = difference - _NORMAL_95 * error, difference + _NORMAL_95 * error
    mine, theirs = (count.both + more) / n, (count.both + less) / n
    reason = (
        f"{mine:.0%} of {n} frauds get through at {count.cost:.0%} of the value, {theirs:.0%} at the champion"
    )
    passed: bool | None = not (difference > margin and low > 0)
    if n < FRAUDS_MIN:
        passed, reason = None, f"{reason}; {FRAUDS_MIN} frauds are needed to judge"
    elif not passed:
        reason += f"; more by over {margin:.0%}, and not by chance"
    return check("evasion", difference, passed, reason, bound=margin, low=low, high=high)
