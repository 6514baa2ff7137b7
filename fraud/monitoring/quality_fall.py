"""Whether the champion finds less of the fraud value than was found before it.

    matured days    ─ the longest window ─────────────────┬─ the shortest ─┐
                      former: as decided at the time        now: the champion, where it learned nothing
    lost = former − now, by how much beyond doubt: the near end of an interval as wide as `p_value` asks

The two spans share no payment, so their intervals are independent (Newcombe 1998, MOVER); they are drawn by
whatever the rows name as their card, which may be a cluster of cards.
"""

from dataclasses import dataclass
from typing import Final

from scipy.stats import norm

from fraud.evaluation.resampling import Interval
from fraud.evaluation.weighted import LEVEL
from fraud.monitoring.names import CHAMPION, DECISIONS
from fraud.monitoring.quality import Judged, QualityRules, decay, figures
from fraud.settings.triggers import ValueFall

FIGURE: Final = "value_detection"


@dataclass(frozen=True, slots=True)
class Fall:
    """Value detection then and now, and by how much it fell beyond doubt (negative: not at all)."""

    former: Interval
    now: Interval
    surely: float
    alarming: bool

    @property
    def reason(self) -> str:
        """The fall in words."""
        return (
            f"{self.now.value:.0%} of the fraud value is found, {self.former.value:.0%} were before: "
            f"{self.surely:.0%} lost at least"
        )


def value_fall(rows: Judged, rules: QualityRules, wanted: ValueFall) -> Fall | None:
    """Return how value detection fell; None without a champion, a past, or frauds enough in both.

    `rows` are those of the longest window of `rules`, with the champion's scores among them.
    """
    shortest, longest = min(rules.windows), max(rules.windows)
    if CHAMPION not in rows.scores or shortest == longest:
        return None
    newest = rows.sample.days > rules.last_day - shortest
    past = rows.within(~newest & (rows.sample.days > rules.last_day - longest))
    now, former = figures(rows.within(newest), CHAMPION, rules), figures(past, DECISIONS, rules)
    if min(now.frauds, former.frauds) < wanted.frauds_min:
        return None
    lost = decay(former.intervals[FIGURE], now.intervals[FIGURE])
    wider = float(norm.isf(wanted.p_value) / norm.isf((1 - LEVEL) / 2))
    surely = lost.value - (lost.value - lost.low) * wider
    return Fall(former.intervals[FIGURE], now.intervals[FIGURE], surely, alarming=surely > wanted.fall)
