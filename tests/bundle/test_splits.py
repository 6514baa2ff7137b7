"""Split values are where the margin changes, and only there; categories have none."""

import numpy as np

from fraud.bundle.boosting import load_booster, margins_of
from fraud.bundle.splits import split_values
from tests.bundle.made import FEATURES, made_bundle, made_rows


def test_the_margin_changes_at_split_values_and_nowhere_else() -> None:
    bundle = made_bundle()
    found = split_values(bundle.booster)
    booster = load_booster(bundle.booster)
    rows, _ = made_rows(3, 40)
    for column in range(len(FEATURES)):
        values = found[column]
        assert (np.diff(values) > 0).all()
        ladder = np.unique(np.concatenate([values, np.nextafter(values, np.float32(-np.inf)), [0, 1e9]]))
        ladder = ladder.astype(np.float32)
        changed = np.zeros(len(ladder) - 1, np.bool_)
        for row in rows:
            many = np.repeat(row[None], len(ladder), axis=0)
            many[:, column] = ladder
            changed |= np.diff(margins_of(booster, many)) != 0
        assert set(ladder[1:][changed].tolist()) <= set(values.tolist())
        assert changed.sum() > len(values) / 2, "most of them matter for some row"


def test_a_categorical_column_has_no_split_values() -> None:
    assert len(FEATURES) not in split_values(made_bundle().booster)
