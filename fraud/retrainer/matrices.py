"""Archived payments as a bundle reads them: the logged features, and words by the bundle's vocabularies."""

from typing import Final

import numpy as np
import polars as pl
import polars.selectors as cs
from numpy.typing import NDArray

from fraud.bundle.bundle import Bundle

READABLE: Final = cs.starts_with("f_", "categorical_")
"""The columns of the archive that any bundle may read."""


def read_of(bundle: Bundle) -> list[str]:
    """Return the columns of the archive that `matrix_of` reads."""
    features = [f"f_{name}" for name in bundle.feature_names]
    return [*features, *(f"categorical_{name}" for name in bundle.categorical_names)]


def matrix_of(bundle: Bundle, rows: pl.DataFrame) -> NDArray[np.float32]:
    """Return a bundle's matrix, float32[n, d], of archived rows with their logged features."""
    matrix = np.empty((len(rows), len(bundle.column_names)), np.float32)
    for column, name in enumerate(bundle.feature_names):
        matrix[:, column] = rows[f"f_{name}"].cast(pl.Float32).fill_null(float("nan")).to_numpy()
    words_of = zip(bundle.categorical_names, bundle.vocabularies, strict=True)
    for column, (name, vocabulary) in enumerate(words_of, start=len(bundle.feature_names)):
        words = rows[f"categorical_{name}"].fill_null("")
        distinct = words.unique()
        codes = words.replace_strict(distinct, vocabulary.encode(distinct.to_list()), return_dtype=pl.Float32)
        matrix[:, column] = codes.to_numpy()
    return matrix


class Matrices:
    """The matrix of some rows, kept for the next bundle that reads alike; the last one only."""

    def __init__(self) -> None:
        self._kept: tuple[pl.DataFrame, object, NDArray[np.float32]] | None = None

    def of(self, bundle: Bundle, rows: pl.DataFrame) -> NDArray[np.float32]:
        """Return `matrix_of` a bundle and rows; of the very same frame it may be the last one."""
        reads = (bundle.feature_names, bundle.categorical_names, bundle.vocabularies)
        if self._kept is None or self._kept[0] is not rows or self._kept[1] != reads:
            self._kept = (rows, reads, matrix_of(bundle, rows))
        return self._kept[2]
