"""How a feed flows: what came in the last days against what its delay curve promised."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fraud.guard.data import GuardData
from fraud.guard.feeds import Promise
from fraud.settings.guard import Guard

FLOW_DAYS = (1, 7)


@dataclass(frozen=True, slots=True)
class Flow:
    """Fraud labels of a source ("" for all together) in the last days, and how many were promised."""

    source: str
    days: int
    came: int
    expected: float

    @property
    def ratio(self) -> float:
        """Came ÷ expected; NaN where nothing was promised."""
        return self.came / self.expected if self.expected > 0 else float("nan")


def flows(data: GuardData, rules: Guard) -> Iterator[Flow]:
    """Yield the flow of each feed with history enough, by source and days."""
    for feed in data.feeds:
        promise = Promise.of(data, feed, rules)
        if promise is None:
            continue
        arrivals = promise.arrivals
        for days in FLOW_DAYS:
            expected = arrivals.rate(days) * float(arrivals.worth[:days].sum())
            came = int(arrivals.came[:days].sum())
            if promise.foreseen is not None and came < expected:
                # A champion that has stopped an attack expects fewer labels than the feed's past does.
                foreseen = float(promise.foreseen[0][:days].sum())
                expected = expected if np.isnan(foreseen) else min(expected, max(came, foreseen))
            yield Flow(feed.source, days, came, expected)
