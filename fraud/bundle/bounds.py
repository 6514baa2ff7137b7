"""What the files of a bundle may be at most, and what has to agree before XGBoost sees a byte.

    sizes of the files ─▶ digest ─▶ description: kinds, names, counts ─▶ self-test: shape and type
      ─▶ the booster's own bytes (`booster_bytes`) ─▶ XGBoost

The digest says that bytes are what was written, not that whoever wrote them meant well: a
bundle may come with a restored backup. So nothing here is believed because it is hashed.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fraud.documents import read_json
from fraud.errors import OtherFormat

BOOSTER_BYTES_MAX: Final = 2**30
"""Of a booster: far above what a gate lets through (`gate.bundle_bytes_max`, 64 MiB by default)."""
DESCRIPTION_BYTES_MAX: Final = 256 * 2**20
"""Of `bundle.json`: vocabularies of some million words, and a manifest of years of label batches."""
SELFTEST_BYTES_MAX: Final = 64 * 2**20
"""Of `selftest.npz`: 1,000 rows of 10,000 columns are 40 MB."""
COLUMNS_MAX: Final = 20_000
"""Columns of a matrix: 8 entities with 8 windows of some 20 aggregates each are far fewer."""
SELFTEST_ROWS_MAX: Final = 10_000

_TEXTS: Final = ("model", "policy_digest")
_LISTS: Final = ("feature_names", "categorical_names", "vocabularies", "risk_scale", "ranges")
_TABLES: Final = ("calibrator", "thresholds", "references", "manifest", "sha256")


def read_description(raw: bytes, known: int) -> dict[str, Any]:
    """Return the description of a bundle of format `known`, each key of the right kind.

    Raises:
        OtherFormat: it is of another one.
        ValueError: it is none; the message names the key.
    """
    stored = read_json(raw)
    if not isinstance(stored, dict):
        raise ValueError("the description is no JSON object")
    found = stored.get("format")
    if type(found) is not int:
        raise ValueError(f"format is {found!r}, no number")
    if found != known:
        raise OtherFormat(f"bundle of {stored.get('model', '?')}", "bundle", found, known)
    for keys, kind in ((_TEXTS, str), (_LISTS, list), (_TABLES, dict)):
        wrong = [key for key in keys if not isinstance(stored.get(key), kind)]
        if wrong:
            raise ValueError(f"{wrong[0]} is missing or no {kind.__name__}")
    return stored


def check_names(stored: Mapping[str, Any]) -> None:
    """Assert that columns of a kind are named once, by text, and that all are not too many.

    Raises:
        ValueError: they are not.
    """
    kinds = (stored["feature_names"], stored["categorical_names"])
    names = [name for kind in kinds for name in kind]
    # A feature and a field of words may have one name: they are told apart by their kind everywhere.
    if not all(isinstance(name, str) for name in names) or any(len(set(kind)) < len(kind) for kind in kinds):
        raise ValueError("feature_names and categorical_names: a column is no text or named twice")
    if not 0 < len(names) <= COLUMNS_MAX:
        raise ValueError(f"feature_names and categorical_names: {len(names)} columns, 1 to {COLUMNS_MAX} fit")
    for words in stored["vocabularies"]:
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise ValueError("vocabularies: one is no list of words")


def check_selftest(matrix: NDArray[Any], margins: NDArray[Any], columns: int) -> None:
    """Assert that the self-test has rows of so many columns, and a margin for each.

    Raises:
        ValueError: it has not.
    """
    fits = matrix.dtype == np.float32 and margins.dtype == np.float32 and matrix.ndim == 2
    if not fits or matrix.shape != (len(margins), columns) or not 0 < len(margins) <= SELFTEST_ROWS_MAX:
        raise ValueError(
            f"the self-test is {matrix.dtype}{list(matrix.shape)} with margins "
            f"{margins.dtype}{list(margins.shape)}, not 1 to {SELFTEST_ROWS_MAX} rows of {columns} columns"
        )
