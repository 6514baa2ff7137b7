"""Recent traffic: shares, ratios and oddities as counted, silence where nothing changed, context marked."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud.evaluation.resampling import Interval
from fraud.monitoring.traffic import (
    Shares,
    Traffic,
    alert_ratio,
    disagreement,
    is_calibrated,
    look_at,
    oddities,
)
from fraud.records import Outcome
from fraud.settings.monitoring import Alarms, Drift
from tests.bundle.made import made_bundle

BUNDLE = made_bundle("card", seed=1)
RULES = Drift(rows_min=100)


def look(matrix: np.ndarray, promised: Shares | None = None) -> Traffic | None:
    rows = len(matrix)
    scores = BUNDLE.scores_of(matrix)
    then = promised or Shares.of(BUNDLE.thresholds.outcomes(scores))
    cards, days = np.arange(rows), np.zeros(rows, np.int32)
    return look_at(BUNDLE, matrix, scores, cards, days, then, RULES, Alarms(), 0.05)


def sampled(rows: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    found: np.ndarray = BUNDLE.selftest.matrix[rng.integers(len(BUNDLE.selftest.matrix), size=rows)]
    return found


def test_too_few_rows_say_nothing() -> None:
    assert look(sampled(99, 1)) is None
    assert look(sampled(100, 1)) is not None


def test_a_feature_that_moved_is_found_and_the_estimate_says_not_to_trust_it() -> None:
    moved = sampled(3_000, 2)
    moved[:, 0] = 1e6
    seen = look(moved)
    assert seen is not None
    assert BUNDLE.column_names[0] in seen.found["features"]
    assert seen.drifted


@given(st.lists(st.sampled_from([1, 2, 3, 4]), min_size=1, max_size=60))
def test_shares_are_counts_over_rows(outcomes: list[int]) -> None:
    shares = Shares.of(np.array(outcomes))
    assert sum(shares.by_outcome.values()) == pytest.approx(1)
    assert shares.alerts == pytest.approx(sum(it != Outcome.APPROVE for it in outcomes) / len(outcomes))
    assert set(shares.by_outcome) == {"APPROVE", "CHALLENGE", "REVIEW", "DECLINE"}


def counts(alerts: int, rows: int) -> Shares:
    return Shares.of(np.array([3] * alerts + [1] * (rows - alerts)))


def test_a_ratio_of_alerts_is_as_sure_as_its_counts() -> None:
    same = alert_ratio(counts(40, 1_000), counts(400, 10_000), 1.0, 1e-3)
    assert same.low < 1 < same.high
    assert same.value == pytest.approx(1, abs=0.02)
    assert alert_ratio(counts(160, 1_000), counts(400, 10_000), 1.0, 1e-3).low > 2
    assert alert_ratio(counts(16, 100), counts(400, 10_000), 1.0, 1e-3).low < 2
    assert alert_ratio(counts(160, 1_000), counts(400, 10_000), 20.0, 1e-3).low < 2
    none = alert_ratio(counts(0, 5_000), counts(400, 10_000), 1.0, 1e-3)
    assert none.high < 0.5


def test_no_change_in_alerts_leaves_the_interval_around_one() -> None:
    rng = np.random.default_rng(5)
    missed = 0
    for _ in range(500):
        now, then = (counts(int(rng.binomial(n, 0.02)), n) for n in (2_000, 10_000))
        ratio = alert_ratio(now, then, 1.0, 0.05)
        missed += not ratio.low <= 1 <= ratio.high
    assert missed <= 40


def test_oddities_are_counted_by_kind_a_row_once() -> None:
    limits = pl.Series(["", "NEW_CARD", "NEW_CARD,OUT_OF_RANGE:amount,OUT_OF_RANGE:age", "NEW_CARD_X", None])
    assert oddities(limits, ["card", "merchant"]) == {
        "new_card": 0.4,
        "new_merchant": 0.0,
        "out_of_range": 0.2,
        "unseen_category": 0.0,
        "late_event": 0.0,
    }
    assert set(oddities(pl.Series([], dtype=pl.String), ["card"]).values()) == {0.0}


def test_a_shadow_disagrees_where_one_alerts_and_the_other_does_not() -> None:
    rows = pl.DataFrame(
        {
            "outcome": [1, 3, 1, 4, 1, 4, 4],
            "explored": [False, False, True, False, False, False, False],
            # The last two were decided by a rule, and without a champion.
            "rule": [None, None, None, None, None, "block:card", None],
            "score": [0.1, 0.9, 0.1, 0.9, 0.1, 0.1, None],
            "shadows": [
                [{"version": "card-2", "score": 0.1, "outcome": 1}],
                [{"version": "card-2", "score": 0.1, "outcome": 4}],
                [{"version": "card-2", "score": 0.1, "outcome": 1}],
                [
                    {"version": "card-1", "score": 0.1, "outcome": 1},
                    {"version": "card-2", "score": 0.1, "outcome": 1},
                ],
                None,
                [{"version": "card-2", "score": 0.1, "outcome": 1}],
                [{"version": "card-2", "score": 0.1, "outcome": 1}],
            ],
        },
        schema_overrides={
            "shadows": pl.List(pl.Struct({"version": pl.String, "score": pl.Float64, "outcome": pl.Int32}))
        },
    )
    assert disagreement(rows, "card-2") == 0.5
    assert disagreement(rows, "card-1") == 1.0
    assert disagreement(rows, "card-9") is None


def test_what_nobody_measured_is_not_calibrated() -> None:
    nan = float("nan")
    assert not is_calibrated(None)
    assert not is_calibrated(Interval(nan, nan, nan))
    assert is_calibrated(Interval(1.3, 1.1, 1.6))
    assert not is_calibrated(Interval(2.0, 1.5, 2.5))
