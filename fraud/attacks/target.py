"""The bundle under attack: features and words in, accepted or stopped out.

Anything but APPROVE stops a fraudster: a challenge is not his to pass, and a review
finds him out before the goods are gone.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fraud.bundle.bundle import Bundle
from fraud.bundle.splits import split_values
from fraud.features.spec import FeatureSpec
from fraud.records import Outcome
from fraud.settings import Settings


class Target:
    """A bundle as attacks see it. `thresholds` are the split values of each feature of the service."""

    def __init__(self, bundle: Bundle, spec: FeatureSpec, settings: Settings) -> None:
        self.bundle = bundle
        self._index = spec.indices(bundle.feature_names, bundle.feature_definitions)
        names = settings.schema_.categorical_names
        self._words = [names.index(name) for name in bundle.categorical_names]
        found = split_values(bundle.booster)
        self.thresholds = {
            int(self._index[column]): values.astype(np.float64)
            for column, values in found.items()
            if column < len(bundle.feature_names)
        }

    def margins(
        self,
        features: NDArray[np.float32],
        words: Sequence[tuple[str, ...]],
        of: NDArray[np.intp] | None = None,
    ) -> NDArray[np.float32]:
        """Return margins of rows: features of the service float32[n, F], words in the schema's order.

        `of` int64[n] tells which of the words a row has; without it there are n.
        """
        return self.bundle.margins(self.matrix(features, words, of))

    def matrix(
        self,
        features: NDArray[np.float32],
        words: Sequence[tuple[str, ...]],
        of: NDArray[np.intp] | None = None,
    ) -> NDArray[np.float32]:
        """Return the booster's input, float32[n, d]; arguments as for `margins`."""
        own = [tuple(row[field] for field in self._words) for row in words]
        if of is not None:
            own = [own[each] for each in of.tolist()] if self._words else [()] * len(of)
        return self.bundle.matrix(features, self._index, own)

    def accepts(
        self,
        features: NDArray[np.float32],
        words: Sequence[tuple[str, ...]],
        of: NDArray[np.intp] | None = None,
    ) -> NDArray[np.bool_]:
        """Tell which rows would be approved, bool[n]; arguments as for `margins`."""
        return np.equal(self.outcomes(features, words, of), int(Outcome.APPROVE))

    def outcomes(
        self,
        features: NDArray[np.float32],
        words: Sequence[tuple[str, ...]],
        of: NDArray[np.intp] | None = None,
    ) -> NDArray[np.int64]:
        """Return what would be answered, `Outcome` numbers int64[n]; arguments as for `margins`."""
        return self.bundle.thresholds.outcomes(self.bundle.scores(self.margins(features, words, of)))
