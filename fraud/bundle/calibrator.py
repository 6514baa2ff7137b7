"""From a margin in log-odds to a probability of fraud.

    margins, labels, weights → isotonic regression (blocks of equal probability)
      → a knot at each end of a block: flat within it, a line to the next one, flat outside
      → (1 − 0.001) · line + 0.001 · sigmoid(margin)

So the scores of the rows expect as many frauds as there were. A line between the middles of the
blocks (Oron and Flournoy 2017, "Centered Isotonic Regression") has no steps, but where many rows
without fraud stand below a few that all are, it runs far above most of them. The trace of a sigmoid
makes the curve rise strictly: margins a millionth apart never share a score (up to ±12, where
float64 still tells them apart), so ranking by score and ranking by margin are the same.

With fewer than `FRAUDS_MIN` frauds isotonic regression would only repeat chance. The
curve is then the sigmoid, moved until it expects as many frauds as there were: a small
booster ends far from the odds of rare fraud, and its sigmoid alone would see fraud
everywhere. Without any fraud, or with frauds alone, it is the sigmoid itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, isotonic_regression
from scipy.special import expit

FRAUDS_MIN = 10
"""Frauds below which the sigmoid is not corrected."""

_SIGMOID_SHARE = 1e-3
_OFFSET_MAX = 40.0
_KNOTS, _KNOTS_TO = 129, 16.0
"""Knots of a moved sigmoid, and the margins that they reach at least; one in each quarter."""


@dataclass(frozen=True, slots=True)
class Calibrator:
    """A strictly rising curve; `margins` and `probabilities` are its knots, none: the sigmoid."""

    margins: tuple[float, ...] = ()
    probabilities: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if len(self.margins) != len(self.probabilities):
            raise ValueError(f"{len(self.margins)} margins for {len(self.probabilities)} probabilities")
        margins, probabilities = np.asarray(self.margins, float), np.asarray(self.probabilities, float)
        # Put so that NaN, which is neither, is refused.
        if not (np.all(np.diff(margins) > 0) and np.all(np.diff(probabilities) >= 0)):
            raise ValueError("knots must rise")
        if not (np.all(np.isfinite(margins)) and np.all((probabilities >= 0) & (probabilities <= 1))):
            raise ValueError("knots must be finite margins and probabilities")

    def __call__(self, margins: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the calibrated probability of each margin, float64[n] in (0, 1)."""
        x = margins.astype(np.float64)
        sigmoid = 1.0 / (1.0 + np.exp(-np.clip(x, -700.0, 700.0)))
        if not self.margins:
            return np.asarray(sigmoid, np.float64)
        line = np.interp(x, self.margins, self.probabilities)
        return np.asarray((1.0 - _SIGMOID_SHARE) * line + _SIGMOID_SHARE * sigmoid, np.float64)

    @classmethod
    def fit(
        cls,
        margins: NDArray[np.float32],
        is_fraud: NDArray[np.bool_],
        weights: NDArray[np.float64],
    ) -> Self:
        """Fit on rows the booster has not seen; `weights` restore natural prevalence."""
        frauds = int(is_fraud.sum())
        if frauds in (0, len(is_fraud)):
            return cls()
        if frauds < FRAUDS_MIN:
            return cls._moved(margins.astype(np.float64), float(weights @ is_fraud), weights)
        x, group = np.unique(margins.astype(np.float64), return_inverse=True)
        weight = np.bincount(group, weights)
        share = np.bincount(group, weights * is_fraud) / weight
        blocks = isotonic_regression(share, weights=weight).blocks
        starts, ends = blocks[:-1], blocks[1:] - 1
        values = np.add.reduceat(weight * share, starts) / np.add.reduceat(weight, starts)
        # Summing in another order than the regression did may undo its order in the last bit.
        values = np.repeat(np.maximum.accumulate(np.clip(values, 0.0, 1.0)), 2)
        knots = np.stack([x[starts], x[ends]], axis=1).ravel()
        keep = np.concatenate([[True], np.diff(knots) > 0])
        return cls(tuple(knots[keep].tolist()), tuple(values[keep].tolist()))

    @classmethod
    def _moved(cls, margins: NDArray[np.float64], frauds: float, weights: NDArray[np.float64]) -> Self:
        """Return the sigmoid with the offset at which the rows' weights expect `frauds`, as knots."""

        def surplus(offset: float) -> float:
            return float(weights @ expit(margins + offset)) - frauds

        span = float(np.abs(margins).max()) + _OFFSET_MAX
        offset = float(brentq(surplus, -span, span))
        knots = np.linspace(min(margins.min(), -_KNOTS_TO), max(margins.max(), _KNOTS_TO), _KNOTS)
        return cls(tuple(knots.tolist()), tuple(expit(knots + offset).tolist()))

    def to_dict(self) -> dict[str, Any]:
        """Return the knots for JSON; floats survive the round trip exactly."""
        return {"margins": list(self.margins), "probabilities": list(self.probabilities)}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Take back what `to_dict` gave."""
        return cls(tuple(stored["margins"]), tuple(stored["probabilities"]))
