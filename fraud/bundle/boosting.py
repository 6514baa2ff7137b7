"""The one door to XGBoost, which comes in without scikit-learn, and its one way to predict.

XGBoost imports scikit-learn, and with it half of SciPy, wherever it is installed, for
estimators that nothing here uses. No process of the service needs it, so each is as large
and as fast to start beside it as without it.
"""

import ctypes
import sys

import numpy as np
from numpy.typing import NDArray

_UNWANTED = "sklearn"

if _UNWANTED in sys.modules:
    import xgboost as xgb
else:
    # None: whoever imports it is told that it is not installed.
    sys.modules[_UNWANTED] = None  # type: ignore[assignment]
    try:
        import xgboost as xgb
    finally:
        del sys.modules[_UNWANTED]

__all__ = ["feature_types", "load_booster", "margins_of", "xgb"]

_MARGINS = b"""{"type": 1, "training": false, "iteration_begin": 0, "iteration_end": 0,
    "missing": NaN, "strict_shape": false, "cache_id": 0}"""
"""What `XGBoosterPredictFromDense` is asked for: untransformed predictions of all rounds."""


def feature_types(numeric: int, categorical: int) -> tuple[str, ...]:
    """Return XGBoost's column types: `numeric` floats, then `categorical` categories."""
    return ("float",) * numeric + ("c",) * categorical


def load_booster(raw: bytes, nthread: int = 1) -> xgb.Booster:
    """Return a booster of UBJ bytes that predicts on `nthread` threads."""
    booster = xgb.Booster()
    booster.load_model(bytearray(raw))
    booster.set_param({"nthread": nthread})
    return booster


def margins_of(booster: xgb.Booster, matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return log-odds, float32[n]; the one call that training, self-test and serving share.

    It is `Booster.inplace_predict` by its C function: the checks and conversions
    of the method cost as much again as the prediction of a small batch.
    """
    if not len(matrix):
        return np.empty(0, np.float32)
    rows = np.ascontiguousarray(matrix, np.float32)
    place, (height, width) = rows.ctypes.data, rows.shape
    data = b'{"data":[%d,true],"shape":[%d,%d],"typestr":"<f4","version":3}' % (place, height, width)
    shape, dimensions = ctypes.POINTER(ctypes.c_uint64)(), ctypes.c_uint64()
    margins = ctypes.POINTER(ctypes.c_float)()
    status = xgb.core._LIB.XGBoosterPredictFromDense(
        booster.handle,
        data,
        _MARGINS,
        None,
        ctypes.byref(shape),
        ctypes.byref(dimensions),
        ctypes.byref(margins),
    )
    xgb.core._check_call(status)
    # The booster owns the result and overwrites it at its next prediction.
    return np.ctypeslib.as_array(margins, (height,)).copy()
