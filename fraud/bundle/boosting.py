"""The one door to XGBoost, which comes in without scikit-learn.

XGBoost imports scikit-learn, and with it half of SciPy, wherever it is installed, for
estimators that nothing here uses. No process of the service needs it, so each is as large
and as fast to start beside it as without it.
"""

import sys

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

__all__ = ["xgb"]
