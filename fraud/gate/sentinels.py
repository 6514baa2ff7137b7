"""No forgetting: a challenger must still catch the confirmed frauds that were set apart.

    reference   frauds of the set caught by the champion of the moment it was added,
                or by the present one, whichever caught more
    needed      ⌈kept_share · reference⌉

Both sides alert by their own thresholds on the same rows, so counts are held
against counts, and what may be missed is rounded down: whoever catches what the
reference caught passes, and whoever catches none of a pattern that the reference
caught any of does not. The champion of the moment a set was added may have
learned from its frauds before that, though with `training.fresh.folds` they are put to the
boosters that did not; kept_share leaves room for it.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

from fraud.errors import InvalidInput
from fraud.gate.checks import Check, check


@dataclass(frozen=True, slots=True)
class SentinelCount:
    """How many of one pattern's `rows` frauds each side alerts on.

    `then` is the count of the champion of the moment the set was added,
    `champion` that of the present one; None: there was, or is, none.
    `kept_share` in (0, 1] of the larger one must be kept.
    """

    pattern: str
    rows: int
    challenger: int
    champion: int | None
    then: int | None
    kept_share: float

    def __post_init__(self) -> None:
        counts = [count for count in (self.challenger, self.champion, self.then) if count is not None]
        if self.rows < 1 or not all(0 <= count <= self.rows for count in counts):
            given = f"are {counts} of {self.rows}"
            raise InvalidInput("sentinels", given, "count frauds of a set that holds some")

    @property
    def reference(self) -> int | None:
        """The count that is held against the challenger, None when there is none."""
        return max((count for count in (self.champion, self.then) if count is not None), default=None)

    @property
    def needed(self) -> int | None:
        """The least count that passes.

        >>> SentinelCount("terminal", 30, 12, champion=20, then=25, kept_share=0.8).needed
        20
        """
        # The decimal as it was written: 0.8 as a float times 25 must not need 21.
        share = Fraction(str(self.kept_share))
        return None if self.reference is None else math.ceil(share * self.reference)


def sentinel(count: SentinelCount) -> Check:
    """A pattern that the champion knows must not be forgotten; information where nobody knew it."""
    name, rows, caught = f"sentinel_{count.pattern}", count.rows, count.challenger
    value = caught / rows
    if count.needed is None:
        return check(name, value, None, f"{caught} of {rows} caught; no champion to hold it against")
    passed = caught >= count.needed
    reason = f"{caught} of {rows} caught, at least {count.needed} needed"
    if not passed:
        reason += f"; forgot {count.pattern!r}"
    elif not count.reference:
        reason += f": no champion caught any of {count.pattern!r}"
    return check(name, value, passed, reason, bound=count.needed / rows)
