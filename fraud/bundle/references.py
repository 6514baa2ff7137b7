"""What traffic looked like when a version was trained: the yardstick of drift and reasons.

    matrix float32[n, d] of recent traffic
      numeric column     → range, deciles, share of rows between them, share missing
      categorical column → share of each word, of missing and of unseen words
      scores             → share of rows in bins that narrow towards 0

Shares are of all rows; those of a column with its share missing sum to 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

SCORE_EDGES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 0.6, 0.9)
"""Inner edges of the score histogram: fraud is rare, so its bins are logarithmic."""

_DECILES = np.arange(1, 10) / 10
WORDS_MAX = 256
"""Words of a categorical kept with their own share; the rest counts as other."""


@dataclass(frozen=True, slots=True)
class ColumnReference:
    """A numeric column. `edges` are distinct inner edges; bin i is `[edges[i−1], edges[i])`.

    `minimum`, `maximum` and the typical range (the middle 80 %) are None when
    no row had a value.
    """

    name: str
    minimum: float | None
    maximum: float | None
    median: float | None
    typical_low: float | None
    typical_high: float | None
    edges: tuple[float, ...]
    shares: tuple[float, ...]
    missing: float

    def observed(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the shares of other rows over the same bins, missing last; float64[bins + 1]."""
        return _shares(values, np.asarray(self.edges))

    def expected(self) -> NDArray[np.float64]:
        """Return the reference shares as `observed` gives them."""
        return np.asarray([*self.shares, self.missing])


@dataclass(frozen=True, slots=True)
class CategoricalReference:
    """A categorical column: share of its most frequent words, of all others, and missing or unseen."""

    name: str
    words: tuple[str, ...]
    shares: tuple[float, ...]
    other: float
    missing: float


@dataclass(frozen=True, slots=True)
class References:
    """Reference distributions of a version. `score_shares[i]` counts `[edges[i−1], edges[i])`."""

    rows: int
    columns: tuple[ColumnReference, ...]
    categoricals: tuple[CategoricalReference, ...]
    score_edges: tuple[float, ...]
    score_shares: tuple[float, ...]

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        vocabularies: Mapping[str, Sequence[str]],
        matrix: NDArray[np.float32],
        scores: NDArray[np.float64],
    ) -> Self:
        """Describe the reference rows.

        `matrix` is float32[n, d] with the numeric columns `names` first and then
        one column of codes for each vocabulary (word i has code i), n ≥ 1.
        """
        columns = tuple(_column(name, matrix[:, i]) for i, name in enumerate(names))
        categoricals = tuple(
            _categorical(name, words, matrix[:, len(names) + i])
            for i, (name, words) in enumerate(vocabularies.items())
        )
        edges = np.asarray(SCORE_EDGES)
        score_shares = np.bincount(np.searchsorted(edges, scores, "right"), minlength=len(edges) + 1)
        shares = tuple((score_shares / len(scores)).tolist())
        return cls(len(matrix), columns, categoricals, SCORE_EDGES, shares)

    def to_dict(self) -> dict[str, Any]:
        """Return the distributions for JSON; floats survive the round trip exactly."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Take back what `to_dict` gave, also after a trip through JSON."""
        return cls(
            stored["rows"],
            tuple(ColumnReference(**_tuples(column)) for column in stored["columns"]),
            tuple(CategoricalReference(**_tuples(column)) for column in stored["categoricals"]),
            tuple(stored["score_edges"]),
            tuple(stored["score_shares"]),
        )


def _tuples(stored: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list | tuple) else value for key, value in stored.items()}


def _shares(values: NDArray[np.float32], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    present = values[~np.isnan(values)]
    counts = np.bincount(np.searchsorted(edges, present, "right"), minlength=len(edges) + 1)
    return np.append(counts, len(values) - len(present)) / max(len(values), 1)


def _column(name: str, values: NDArray[np.float32]) -> ColumnReference:
    present = values[~np.isnan(values)].astype(np.float64)
    if not len(present):
        return ColumnReference(name, None, None, None, None, None, (), (0.0,), 1.0)
    deciles = np.quantile(present, _DECILES, method="inverted_cdf")
    low, median, high = (float(deciles[i]) for i in (0, 4, 8))
    # An edge at the minimum would leave the bin before it empty for ever.
    edges = np.unique(deciles[deciles > present.min()])
    *shares, missing = _shares(values, edges).tolist()
    smallest, largest = float(present.min()), float(present.max())
    return ColumnReference(
        name, smallest, largest, median, low, high, tuple(edges.tolist()), tuple(shares), missing
    )


def _categorical(name: str, words: Sequence[str], codes: NDArray[np.float32]) -> CategoricalReference:
    present = codes[~np.isnan(codes)].astype(np.int64)
    shares = np.bincount(present, minlength=len(words)) / len(codes)
    kept = np.sort(np.argsort(-shares, kind="stable")[:WORDS_MAX])
    own = tuple(float(share) for share in shares[kept])
    other = len(present) / len(codes) - sum(own) if len(kept) < len(words) else 0.0
    missing = 1.0 - len(present) / len(codes)
    return CategoricalReference(name, tuple(words[i] for i in kept), own, max(other, 0.0), missing)
