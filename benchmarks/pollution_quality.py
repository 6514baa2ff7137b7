"""How good the scores of a measured week are, against the truth.

id → score, from the replies ─ joined with the truth ─▶ AP, recall at a false-positive rate
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.evaluation.metrics import average_precision, recall

FALSE_POSITIVE_RATE = 0.005
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Quality:
    """Average precision; recall of all frauds and of the attacked ones, at one threshold."""

    rows: int
    frauds: int
    average_precision: float
    recall: float
    attacked_recall: float


def judge(payments: pl.DataFrame, scores: Mapping[str, float], scenario: int) -> Quality:
    """Judge the scores of payments that have TRANSACTION_ID, TX_FRAUD and TX_FRAUD_SCENARIO.

    A payment without a score was not answered; it counts as scored lowest.
    """
    found = [scores.get(str(each), -1.0) for each in payments["TRANSACTION_ID"].to_list()]
    given = np.array(found, np.float64)
    is_fraud = (payments["TX_FRAUD"] == 1).to_numpy()
    attacked = (payments["TX_FRAUD_SCENARIO"] == scenario).to_numpy() & is_fraud
    alerted = alerts_at(is_fraud, given, FALSE_POSITIVE_RATE)
    return Quality(
        len(payments),
        int(is_fraud.sum()),
        average_precision(is_fraud, given),
        recall(is_fraud, alerted),
        recall(attacked, alerted),
    )


def alerts_at(is_fraud: Bools, scores: Floats, rate: float) -> Bools:
    """Mark what scores above the lowest threshold that alerts on at most `rate` of the honest, bool[n].

    >>> alerts_at(np.array([True, False, False]), np.array([0.5, 0.7, 0.2]), 0.5).tolist()
    [True, True, False]
    """
    honest = np.sort(scores[~is_fraud])[::-1]
    allowed = int(rate * len(honest))
    if allowed >= len(honest):
        return np.ones(len(scores), np.bool_)
    return np.asarray(scores > honest[allowed])
