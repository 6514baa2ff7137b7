"""What a version in shadow has to show before it may decide (`gate.mode = "shadow"`).

long enough, enough payments               not yet → wait
its logged scores = those of its bundle on the logged features, bit for bit      no → failed
its alerts beside the champion's on the same payments, by the test of a probation  jump → failed
"""

import math
from dataclasses import dataclass
from typing import Literal

from fraud.clock import DAY_US
from fraud.gate.eprocess import e_of
from fraud.gate.probation import Pairs, outcome_log_e
from fraud.settings.learning import Gate

_TESTS = 2
"""Rise and fall of alerts share the error budget."""


@dataclass(frozen=True, slots=True)
class ShadowRecord:
    """What one version did in shadow. Times are µs UTC.

    `rows` payments since `since_us` (0: none yet); of the newest `compared` of them
    `differing` scores are not what the bundle gives. `pairs` counts alerts with the
    version standing as the champion, `before` is its share of alerts foreseen.
    """

    rows: int
    since_us: int
    now_us: int
    compared: int
    differing: int
    pairs: Pairs
    before: float | None


@dataclass(frozen=True, slots=True)
class ShadowAnswer:
    """Whether the version may be promoted, has to wait, or failed; and why."""

    answer: Literal["ready", "wait", "failed"]
    reason: str


def judge_shadow(record: ShadowRecord, gate: Gate) -> ShadowAnswer:
    """Return what a record in shadow says. Pure."""
    if record.differing:
        return ShadowAnswer(
            "failed",
            f"{record.differing} of {record.compared} scores given in shadow are not what the bundle gives "
            "on the logged features",
        )
    rule = gate.probation
    jump = outcome_log_e(record.pairs, record.before, rule.outcome_ratio_max, rule.outcome_share_min)
    shares = (
        f"alerts on {record.pairs.champion_share:.2%} of {record.pairs.rows} payments, the champion on "
        f"{record.pairs.former_share:.2%}"
    )
    if max(jump.rise, jump.fall) >= math.log(_TESTS * gate.e_value):
        e_value = e_of(max(jump.rise, jump.fall))
        return ShadowAnswer(
            "failed", f"{shares}: more than {rule.outcome_ratio_max:g} apart, E = {e_value:.3g}"
        )
    days = (record.now_us - record.since_us) / DAY_US if record.since_us else 0.0
    least = gate.shadow.least / DAY_US
    told = f"{record.rows} payments in {days:.2f} days in shadow"
    if record.rows < gate.shadow.rows_min or days < least:
        return ShadowAnswer("wait", f"{told}, {gate.shadow.rows_min} in {least:g} are needed")
    return ShadowAnswer("ready", f"{told}; {shares}; {record.compared} scores equal bit for bit")
