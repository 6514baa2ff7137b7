"""The risk score 0–999: how much of reference traffic is less risky than this.

    reference margins → edges at the shares .001, .002, … .999
    risk score = number of edges below the margin

990 and above is the riskiest 1 % of reference traffic whatever the model, so
cut-offs that clients keep survive a retrain. Equal margins get the lower score:
never more than 1 % of the reference reaches 990.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

RISK_SCORE_MAX = 999


@dataclass(frozen=True, slots=True)
class RiskScale:
    """`edges` are the 999 rising margins between the 1,000 risk scores."""

    edges: tuple[float, ...]

    def __post_init__(self) -> None:
        edges = np.asarray(self.edges, float)
        rising = np.all(np.diff(edges) >= 0) and np.all(np.isfinite(edges))  # NaN is neither
        if edges.shape != (RISK_SCORE_MAX,) or not rising:
            raise ValueError(f"a risk scale has {RISK_SCORE_MAX} rising edges, got {len(self.edges)}")

    def __call__(self, margins: NDArray[np.float32]) -> NDArray[np.int32]:
        """Return the risk score of each margin, int32[n] in 0..999."""
        return np.searchsorted(np.asarray(self.edges), margins.astype(np.float64), "left").astype(np.int32)

    @classmethod
    def fit(cls, margins: NDArray[np.float32]) -> Self:
        """Take the scale from the margins of reference traffic, at least one row."""
        if not len(margins):
            raise ValueError("a risk scale needs at least one reference margin")
        shares = np.arange(1, RISK_SCORE_MAX + 1) / (RISK_SCORE_MAX + 1)
        edges = np.quantile(margins.astype(np.float64), shares, method="inverted_cdf")
        return cls(tuple(edges.tolist()))

    def to_list(self) -> list[float]:
        """Return the edges for JSON; floats survive the round trip exactly."""
        return list(self.edges)

    @classmethod
    def from_list(cls, stored: Sequence[float]) -> Self:
        """Take back what `to_list` gave."""
        return cls(tuple(stored))
