"""How late fraud labels come, by source, and from when on their absence is trusted.

    facts of matured days by delay (`fraud.guard.feeds`) ─► median and quantile of each source
      ─► the slowest source that gives enough of the frauds ─► between least and `labels.maturity`

Days count from the event to the end of the day in which the label had come. What
comes after the longest maturity was never seen, so `labels.maturity` is the most.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from fraud.clock import DAY_US
from fraud.guard.data import ALL_SOURCES, GuardData
from fraud.guard.feeds import CURVE_MIN, delay_counts
from fraud.settings.learning import Labels

SOURCE_SHARE_MIN = 0.1
"""A source that gives less of the frauds does not make everybody wait."""


@dataclass(frozen=True, slots=True)
class LabelDelay:
    """Delays of a source's fraud labels, in days; how many matured, and their share of all frauds, 0..1."""

    source: str
    frauds: int
    share: float
    median_days: int
    quantile_days: int


def label_delays(data: GuardData, quantile: float) -> tuple[LabelDelay, ...]:
    """Return the delays of each source with facts enough; none while there is too little history."""
    if data.seen <= data.matured:
        return ()
    counts = {feed.source: delay_counts(data, feed) for feed in data.feeds}
    total = max((int(each.sum()) for each in counts.values()), default=0)
    found = []
    for source, each in counts.items():
        frauds = int(each.sum())
        if frauds < CURVE_MIN or (source == ALL_SOURCES and len(counts) > 1):
            continue
        curve = np.cumsum(each) / frauds
        days = [int(np.searchsorted(curve, share * (1 - 1e-12))) + 1 for share in (0.5, quantile)]
        found.append(LabelDelay(source, frauds, frauds / total, *days))
    return tuple(found)


def maturity_us(delays: Iterable[LabelDelay], labels: Labels) -> int:
    """Return the maturity to use, µs: as measured where that is asked for and possible, else as set."""
    measured = labels.measured
    days = [delay.quantile_days for delay in delays if delay.share >= SOURCE_SHARE_MIN]
    if measured is None or not days:
        return labels.maturity
    return min(labels.maturity, max(measured.least, max(days) * DAY_US))
