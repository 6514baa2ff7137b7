"""The boosters that judge a version where every card teaches it: each was fitted without a fold of the cards.

    served booster          fitted on all cards          answers payments
    without-0 … without-k   fitted without one fold      answer for that fold's payments, in tests only

They are files of the bundle, since whoever judges a version later needs them, and never serve
(cross-fitting: Chernozhukov et al. 2018, "Double/debiased machine learning", definition 3.2).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fraud.bundle.boosting import margins_of, xgb
from fraud.settings.learning import FOLDS_MAX

FOLD_FILES: Final = tuple(f"without-{fold}.ubj" for fold in range(FOLDS_MAX))
SERVED: Final = -1
"""The fold of a payment that no booster has learned from: the served one judges it."""


def fold_files(folds: Sequence[bytes]) -> dict[str, bytes]:
    """Return the boosters by the names of their files, in the order of the folds."""
    return dict(zip(FOLD_FILES, folds, strict=False))


def folds_of(
    files: Mapping[str, bytes], digests: Mapping[str, Any], manifest: Mapping[str, Any]
) -> tuple[bytes, ...]:
    """Return the boosters among the files of a bundle, in order; `digests` names all that belong to it.

    Raises:
        ValueError: one is missing or is one too many, or they are not as many as its manifest has folds.
    """
    present = [name for name in FOLD_FILES if name in files]
    named = [name for name in FOLD_FILES if name in digests]
    if present != named or present != list(FOLD_FILES[: len(present)]):
        raise ValueError(f"the boosters of folds are {', '.join(present) or 'none'}, not those it names")
    dealt = (manifest.get("apart") or {}).get("folds", 0)
    if len(present) != dealt:
        raise ValueError(f"it has {len(present)} boosters of folds, and its manifest {dealt} folds")
    return tuple(files[name] for name in present)


def margins_without(
    folds: Sequence[xgb.Booster], fold: NDArray[np.int8], matrix: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the log-odds of each row by the booster that was fitted without its fold, float32[n].

    `fold` int8[n] numbers the rows' folds from 0; rows of none (`SERVED`) stay NaN.
    """
    margins = np.full(len(matrix), np.nan, np.float32)
    for number in np.unique(fold[fold != SERVED]).tolist():
        rows = fold == number
        margins[rows] = margins_of(folds[number], matrix[rows])
    return margins
