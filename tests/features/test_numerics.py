"""Numeric fields in a row of features: appended ones read as not given before, and nothing is infinite."""

from dataclasses import replace
from typing import Any

import numpy as np

from fraud.features.replay import logged_rows
from fraud.features.state import NUMERIC_MAX, FeatureState
from fraud.records import NO_DECISION, Scored
from fraud.settings.schema import AMOUNT_MINOR_BOUND
from tests.features.making import EVERYTHING, START, rows_of, spec_of


def scored(*numerics: float) -> Scored:
    return Scored("t", START, "card", (0,), 100, "EUR", 100, numerics, (), b"", NO_DECISION)


def numerics_of(names: tuple[str, ...], *rows: Scored) -> list[list[float]]:
    state = FeatureState(spec_of({"card": {}}, numeric_names=names))
    features: list[list[float]] = state.score(logged_rows(rows, 1)).features[:, 1:].tolist()
    return features


def test_rows_from_before_a_field_was_appended_lack_it() -> None:
    names = ("distance", "age")
    found = numerics_of(names, scored(), scored(1.0), scored(2.0, 3.0))
    np.testing.assert_array_equal(found, [[np.nan, np.nan], [1, np.nan], [2, 3]])
    np.testing.assert_array_equal(numerics_of(names, scored(1.0), scored(2.0)), [[1, np.nan], [2, np.nan]])


def test_what_a_schema_no_longer_has_at_its_end_is_left_out() -> None:
    assert numerics_of(("distance",), scored(1.0, 2.0), scored(3.0)) == [[1], [3]]
    assert numerics_of((), scored(1.0), scored(3.0)) == [[], []]


def test_nothing_that_is_computed_exceeds_float32() -> None:
    card: dict[str, Any] = {
        "windows": ["1h", "30d"],
        "aggregates": EVERYTHING,
        "small_amount_minor": 100,
        "steps": {},
        "since": ["previous", "first"],
    }
    state = FeatureState(spec_of({"card": card}, numeric_names=("distance",)))
    amounts = [1, AMOUNT_MINOR_BOUND, 0, 1, *[AMOUNT_MINOR_BOUND] * 20, 1, AMOUNT_MINOR_BOUND]
    rows = rows_of(*[(seconds, amount) for seconds, amount in enumerate(amounts)])
    numerics = np.where(np.arange(len(amounts)) % 2, NUMERIC_MAX, -NUMERIC_MAX).reshape(-1, 1)
    features = state.score(replace(rows, numerics=numerics)).features
    assert not np.isinf(features).any()
    assert np.nanmax(features) == np.float32(NUMERIC_MAX)
    assert np.nanmax(np.delete(features, 1, axis=1)) < 2.0**63
