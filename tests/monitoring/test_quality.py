"""Realised quality: only what has matured, as logged, with explored declines standing for the rest."""

from dataclasses import replace
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from fraud.clock import DAY_US
from fraud.evaluation.metrics import average_precision, recall_at_budget
from fraud.monitoring.quality import QualityRules, realised_quality
from fraud.records import Outcome

ROWS_A_DAY = 200
RULES = QualityRules(
    zone=ZoneInfo("UTC"),
    cut_time_us=30 * DAY_US,
    maturity_us=10 * DAY_US,
    window_us=14 * DAY_US,
    alert_share=0.05,
    rounds=40,
)


def archived(days: int = 30, seed: int = 5) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    count = days * ROWS_A_DAY
    day = np.repeat(np.arange(days), ROWS_A_DAY)
    is_fraud = rng.random(count) < 0.05
    return pl.DataFrame(
        {
            "event_time_us": day * DAY_US,
            "entity_card": rng.integers(2_000, size=count),
            "is_fraud": is_fraud,
            "label_known_us": pl.Series(day * DAY_US).set(pl.Series(~is_fraud), None),
            "score": 1 / (1 + np.exp(3 - 2 * is_fraud - rng.normal(size=count))),
            "outcome": np.full(count, int(Outcome.APPROVE)),
            "explored": np.zeros(count, dtype=bool),
            "propensity": np.ones(count),
            "imported": np.zeros(count, dtype=bool),
        }
    )


def test_the_window_ends_with_the_last_matured_day() -> None:
    quality = realised_quality(archived(), RULES)
    assert quality.rows == 14 * ROWS_A_DAY
    assert quality.cohorts[-1].last_day == "1970-01-20"
    assert quality.cohorts[0].first_day == "1970-01-07"


def test_figures_are_those_of_the_logged_scores() -> None:
    rows = archived()
    judged = rows.slice(6 * ROWS_A_DAY, 14 * ROWS_A_DAY)
    is_fraud, scores = judged["is_fraud"].to_numpy(), judged["score"].to_numpy()
    days = (judged["event_time_us"] // DAY_US).cast(pl.Int32).to_numpy()
    quality = realised_quality(rows, RULES)
    assert quality.frauds == is_fraud.sum()
    assert quality.average_precision.value == average_precision(is_fraud, scores)
    assert quality.recall.value == recall_at_budget(is_fraud, scores, days, 0.05)
    assert quality.recall.low < quality.recall.value < quality.recall.high


def test_cohorts_are_weeks_that_add_up_to_the_window() -> None:
    quality = realised_quality(archived(), replace(RULES, window_us=17 * DAY_US))
    assert [cohort.rows // ROWS_A_DAY for cohort in quality.cohorts] == [3, 7, 7]
    assert sum(cohort.frauds for cohort in quality.cohorts) == quality.frauds


def test_a_label_not_known_at_the_cut_is_no_fraud_yet() -> None:
    late = archived().with_columns(label_known_us=pl.lit(31 * DAY_US))
    quality = realised_quality(late, RULES)
    assert quality.frauds == 0
    assert np.isnan(quality.average_precision.value)


def test_declines_imports_and_rows_without_a_score_are_left_out() -> None:
    rows = archived().with_row_index("row")
    changed = rows.with_columns(
        outcome=pl.when(pl.col("row") % 4 == 1).then(int(Outcome.DECLINE)).otherwise(pl.col("outcome")),
        imported=pl.col("row") % 4 == 2,
        score=pl.when(pl.col("row") % 4 == 3).then(None).otherwise(pl.col("score")),
    )
    assert realised_quality(changed, RULES).rows == 14 * ROWS_A_DAY // 4


def test_an_explored_decline_stands_for_those_that_were_not_however_many() -> None:
    rows = archived()
    explored = rows.with_columns(
        explored=pl.col("is_fraud"), propensity=pl.when("is_fraud").then(0.01).otherwise(1.0)
    )
    judged = rows.slice(6 * ROWS_A_DAY, 14 * ROWS_A_DAY)
    is_fraud, scores = judged["is_fraud"].to_numpy(), judged["score"].to_numpy()
    expected = average_precision(is_fraud, scores, np.where(is_fraud, 100.0, 1.0))
    quality = realised_quality(explored, RULES)
    assert quality.average_precision.value == pytest.approx(expected)
    assert quality.effective_frauds == pytest.approx(is_fraud.sum())


def test_a_row_nobody_knows_takes_its_place_in_the_budget() -> None:
    rows = archived().with_row_index("row")
    top = pl.col("score").rank("ordinal", descending=True).over("event_time_us") <= 5
    hidden = rows.with_columns(
        outcome=pl.when(top).then(int(Outcome.DECLINE)).otherwise(pl.col("outcome")),
        is_fraud=pl.when(top).then(None).otherwise(pl.col("is_fraud")),
    )
    quality = realised_quality(hidden, RULES)
    assert (quality.rows, quality.unseen) == (14 * (ROWS_A_DAY - 5), 14 * 5)
    # Ten alerts a day, and the five riskiest take half of them.
    judged = hidden.slice(6 * ROWS_A_DAY, 14 * ROWS_A_DAY)
    known = judged["is_fraud"].fill_null(False).to_numpy()
    days = (judged["event_time_us"] // DAY_US).cast(pl.Int32).to_numpy()
    assert quality.recall.value == recall_at_budget(known, judged["score"].to_numpy(), days, 0.05)


@pytest.mark.parametrize("cut_days", [0, 5, 10])
def test_nothing_matured_is_no_error(cut_days: int) -> None:
    quality = realised_quality(archived(), replace(RULES, cut_time_us=cut_days * DAY_US))
    assert (quality.rows, quality.frauds, quality.cohorts) == (0, 0, ())
