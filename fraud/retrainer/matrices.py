"""Archived payments as a bundle reads them: the logged features, and words by the bundle's vocabularies.

A payment that taught a bundle with folds is scored by the booster without its fold, wherever a version is
judged or foretold: what the served one says of it is no evidence.
"""

from typing import Final

import numpy as np
import polars as pl
import polars.selectors as cs
from numpy.typing import NDArray

from fraud.bundle.bundle import Bundle
from fraud.training.unseen import Unseen

READABLE: Final = cs.starts_with("f_", "categorical_", "entity_") | cs.by_name("event_time_us")
"""The columns of the archive that any bundle may read, and those that tell whether a payment taught it."""


def read_of(bundle: Bundle) -> list[str]:
    """Return the columns of the archive that `matrix_of` reads."""
    features = [f"f_{name}" for name in bundle.feature_names]
    return [*features, *(f"categorical_{name}" for name in bundle.categorical_names)]


def judged_by(bundle: Bundle) -> list[str]:
    """Return the columns of the archive that `unseen_margins` reads beside those of `read_of`."""
    apart = unseen_of(bundle).apart
    return ["event_time_us", *([] if apart is None else [f"entity_{apart.entity}"])]


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


def unseen_of(bundle: Bundle) -> Unseen:
    """Return the payments that fitting, calibration and selection of a bundle have not seen."""
    return Unseen.by(bundle.manifest)


def unseen_margins(bundle: Bundle, rows: pl.DataFrame, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a bundle's margins of archived rows as if none had taught it, float32[n], where it has folds.

    `matrix` float32[n, d] is that of the rows.
    """
    if not bundle.folds:
        return bundle.margins(matrix)
    return bundle.margins_without(matrix, unseen_of(bundle).fold(rows))


def unseen_scores(bundle: Bundle, rows: pl.DataFrame) -> NDArray[np.float64]:
    """Return the scores of `unseen_margins`, float64[n] in (0, 1)."""
    return bundle.scores(unseen_margins(bundle, rows, matrix_of(bundle, rows)))


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
