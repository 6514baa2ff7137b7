"""The Fraud Detection Handbook's protocols: which rows train, which are tested.

    ├─ train: 7 or 28 days ─┤ delay: 7 days ├─ test: 7 days ─┤
                            start                              fold k: all of it k weeks earlier

Fraud of a day is known seven days later. Cards known as compromised by then leave
the test: those with fraud in the week before the delay, and for each test day those
with fraud up to eight days before it. What is removed depends on the last week of
training alone, so training on 28 days is tested on the same rows as on seven.
Source: Le Borgne, Siblini, Lebichot, Bontempi 2022, chapters 3.2, 4.2 and 5.3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from fraud.bundle.boosting import load_booster
from fraud.evaluation.metrics import average_precision, card_precision
from fraud.settings.learning import Recipe
from fraud.training.fit import fit

WEEK = 7
TOP_CARDS = 100
FOLDS = 4
FIRST_DAY = date(2018, 7, 25)
"""First training day of the single split; the book's other dates follow from it."""


@dataclass(frozen=True, eq=False)
class Payments:
    """Columns in order of time: float32[n, f], bool[n], int64[n], int32[n] rising, days since 1970."""

    features: NDArray[np.float32]
    is_fraud: NDArray[np.bool_]
    cards: NDArray[np.int64]
    days: NDArray[np.int32]

    def between(self, first: int, stop: int) -> NDArray[np.intp]:
        """Return the rows of days `first` to `stop`, `stop` excluded."""
        low, high = np.searchsorted(self.days, [first, stop])
        return np.arange(low, high)


@dataclass(frozen=True)
class Split:
    """A test week and the day that training ends before; days since 1970."""

    train_stop: int

    @property
    def test_start(self) -> int:
        """First test day: the delay after training."""
        return self.train_stop + WEEK

    def train_rows(self, payments: Payments, days: int) -> NDArray[np.intp]:
        """Return the rows of the last `days` days of training."""
        return payments.between(self.train_stop - days, self.train_stop)

    def test_rows(self, payments: Payments) -> NDArray[np.intp]:
        """Return the rows of the test week, without cards known as compromised on their day."""
        known = self._compromised(payments, self.train_stop - WEEK, self.train_stop)
        kept = []
        for day in range(self.test_start, self.test_start + WEEK):
            known = np.union1d(known, self._compromised(payments, day - WEEK - 1, day - WEEK))
            rows = payments.between(day, day + 1)
            kept.append(rows[~np.isin(payments.cards[rows], known)])
        return np.concatenate(kept)

    @staticmethod
    def _compromised(payments: Payments, first: int, stop: int) -> NDArray[np.int64]:
        rows = payments.between(first, stop)
        return np.unique(payments.cards[rows[payments.is_fraud[rows]]])


@dataclass(frozen=True, slots=True)
class Quality:
    """What the book reports, and on how much."""

    auc: float
    ap: float
    cp: float
    rows: int
    frauds: int

    @classmethod
    def mean(cls, found: Sequence["Quality"]) -> "Quality":
        """Return means of the figures and sums of the counts."""
        return cls(
            float(np.mean([one.auc for one in found])),
            float(np.mean([one.ap for one in found])),
            float(np.mean([one.cp for one in found])),
            sum(one.rows for one in found),
            sum(one.frauds for one in found),
        )


def day_number(day: date) -> int:
    """Return days since 1970-01-01.

    >>> day_number(date(1970, 1, 2))
    1
    """
    return (day - date(1970, 1, 1)).days


def single(first_train_day: int) -> Split:
    """Return the split that trains on the week from a day on."""
    return Split(first_train_day + WEEK)


def assessment_folds() -> list[Split]:
    """Return the four prequential test folds: training weeks from 25 July to 15 August."""
    return [single(day_number(FIRST_DAY) + WEEK * fold) for fold in range(FOLDS)]


def validation_folds() -> list[Split]:
    """Return the four folds that parameters are chosen on; all end before the first test day."""
    start = day_number(FIRST_DAY) - 2 * WEEK
    return [single(start - WEEK * fold) for fold in range(FOLDS)]


def judge(payments: Payments, split: Split, days: int, recipe: Recipe, nthread: int) -> Quality:
    """Train on the last `days` days before a split and measure on its test rows."""
    train, test = split.train_rows(payments, days), split.test_rows(payments)
    booster = load_booster(
        fit(
            payments.features[train],
            payments.is_fraud[train],
            np.ones(len(train)),
            recipe,
            categoricals=0,
            seed=7,
            nthread=nthread,
        )
    )
    margins = booster.inplace_predict(payments.features[test], predict_type="margin", validate_features=False)
    scores, is_fraud = margins.astype(np.float64), payments.is_fraud[test]
    return Quality(
        float(roc_auc_score(is_fraud, scores)),
        average_precision(is_fraud, scores),
        card_precision(is_fraud, scores, payments.days[test], payments.cards[test], TOP_CARDS),
        len(test),
        int(is_fraud.sum()),
    )


def prequential(
    payments: Payments, folds: Sequence[Split], days: int, recipe: Recipe, nthread: int
) -> Quality:
    """Return the mean over folds."""
    return Quality.mean([judge(payments, split, days, recipe, nthread) for split in folds])
