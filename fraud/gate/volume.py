"""How much would be answered otherwise: at the cut-offs that clients keep, and at unchanged thresholds.

    newest traffic when the challenger was made, scored by both
      ─► share at or above each cut-off of the risk score       judged
    newest traffic now ─► the same                              information: what clients will see

The risk score promises that 990 and above is the riskiest 1 % of reference
traffic whatever the model. A champion's scale ages with its traffic, so the
nearer of two shares counts: the champion's on the same rows, and the promised one.
Rows that share one margin share one risk score, the lowest of those they span;
what is missing because of that is told, not judged: no cut-off divides them.
"""

import math
from dataclasses import dataclass

from fraud.bundle.risk_scale import RISK_SCORE_MAX
from fraud.errors import InvalidInput
from fraud.gate.checks import Check, check
from fraud.settings.learning import Gate

_NORMAL_95 = 1.96


@dataclass(frozen=True, slots=True)
class RiskCount:
    """Rows of reference traffic, 0 or more, at or above a cut-off by each side, and by one side alone.

    `champion` is None where there is none. `tied` rows share the challenger's
    margin at which the cut-off falls, and stand below it.
    """

    cutoff: int
    rows: int
    challenger: int
    champion: int | None
    differing: int = 0
    tied: int = 0

    def __post_init__(self) -> None:
        counts = (self.challenger, self.champion or 0, self.differing, self.tied)
        if not all(0 <= count <= self.rows for count in counts):
            raise InvalidInput("risk", f"counts {counts} of {self.rows} rows", "count rows of the traffic")

    @property
    def promised(self) -> float:
        """The rows at or above the cut-off of a scale that is true."""
        return self.rows * (1 - self.cutoff / (RISK_SCORE_MAX + 1))


def risk_now(count: RiskCount, gate: Gate) -> Check:
    """Information: the same on traffic of now, in which both scales have aged."""
    row = risk_share(count, gate)
    return Check(f"{row.name}_now", row.value, None, row.low, row.high, None, f"now {row.reason}")


def risk_share(count: RiskCount, gate: Gate) -> Check:
    """Clients' cut-offs on the risk score must go on meaning the same share of traffic.

    The interval of the ratio is that of paired counts: the variance of the
    difference is the number of rows that one side alone puts there. Against the
    promised share it is that of the challenger's count.
    """
    name, most = f"risk_{count.cutoff}", gate.risk_shift_max
    if not count.rows:
        return check(name, math.nan, None, "there was no traffic to compare with", bound=most)
    mine, promised = count.challenger, count.promised
    ratios = [(mine / promised, math.sqrt(mine) / max(promised, 1.0), "promised by the scale", promised)]
    if count.champion:
        error = math.sqrt(count.differing) / count.champion
        ratios.append((mine / count.champion, error, "at the champion's", count.champion))
    ratio, error, whose, rows = min(ratios, key=lambda each: abs(each[0] - 1))
    low, high = max(0.0, ratio - _NORMAL_95 * error), ratio + _NORMAL_95 * error
    shares = f"{mine / count.rows:.2%} of traffic at or above {count.cutoff}"
    reason = f"{shares}, {rows / count.rows:.2%} {whose}"
    passed: bool | None = low <= 1 + most and high >= 1 - most
    if count.champion is None or promised < gate.risk_rows_min:
        why = "no champion" if count.champion is None else f"{promised:.0f} rows expected, too few to judge"
        passed, reason = None, f"{reason}; {why}"
    elif not passed and ratio < 1 and (mine + count.tied) >= (1 - most) * rows:
        passed, reason = None, f"{reason}; {count.tied} rows share the score at which the cut-off falls"
    elif not passed:
        reason += f"; off by more than {most:.0%}, so clients' cut-offs would not mean the same"
    return check(name, ratio - 1, passed, reason, bound=most, low=low - 1, high=high - 1)


def scoring_ratio(ratio: float | None, gate: Gate) -> Check:
    """A challenger must not take much longer to score the same rows; a ratio, never a time."""
    most = gate.scoring_ratio_max
    if ratio is None:
        return check("scoring_ratio", math.nan, None, "there is no champion to time it against", bound=most)
    passed = ratio <= most
    reason = f"scoring a batch takes {ratio:.2f} times the champion's time, {most:g} are allowed"
    return check("scoring_ratio", ratio, passed, reason, bound=most)
