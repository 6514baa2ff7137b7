"""The expected loss of a threshold on traffic: what it lets through, and whom it bothers.

    row: calibrated p, amount a     missed   p · a · loss_share   (or p · missed_fraud)
                                    alerted  (1 − p) · friction   (or (1 − p) · false_alarm)

    loss(t) = Σ missed over p < t  +  Σ alerted over p ≥ t

p is calibrated, so no label is needed, and rows whose label never comes
(declines) count like all others. With a fixed cost for each mistake the least
loss is where both cost the same (Elkan 2001); with amounts it depends on which
amounts stand at which scores, and is found by trying every score of the traffic.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fraud.settings.model import Cost

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Risks:
    """Traffic with what is at stake: calibrated scores float64[n], amounts int64[n] in minor units."""

    scores: Floats
    amounts: NDArray[np.int64]

    def at_stake(self, cost: Cost) -> tuple[Floats, Floats]:
        """Return what each row costs when it is missed, and when it is alerted on, float64[n] each."""
        if cost.loss_share is not None and cost.friction_minor is not None:
            return self.scores * self.amounts * cost.loss_share, (1 - self.scores) * cost.friction_minor
        assert cost.missed_fraud is not None, "a cost is one pair"
        assert cost.false_alarm is not None, "a cost is one pair"
        return self.scores * cost.missed_fraud, (1 - self.scores) * cost.false_alarm

    def losses(self, cost: Cost, thresholds: Floats) -> Floats:
        """Return the expected loss of each threshold, float64[k], in the unit of the cost."""
        missed, alerted = self.at_stake(cost)
        order = np.argsort(self.scores, kind="stable")
        below = np.searchsorted(self.scores[order], thresholds, side="left")
        let_through = np.concatenate([[0.0], np.cumsum(missed[order])])
        bothered = np.concatenate([[0.0], np.cumsum(alerted[order])])
        return np.asarray(let_through[below] + bothered[-1] - bothered[below], np.float64)

    def cheapest(self, cost: Cost) -> float | None:
        """Return the score with the least expected loss as threshold; None: no alert at all is cheaper.

        Of several equally cheap ones, the highest: it bothers the fewest.
        """
        candidates = np.unique(self.scores)[::-1]
        if not len(candidates):
            return None
        losses = self.losses(cost, np.append(candidates, np.inf))
        best = int(np.argmin(losses[:-1]))
        return float(candidates[best]) if losses[best] < losses[-1] else None
