"""Realised quality: only what has matured, as logged, with explored declines standing for the rest."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud.clock import DAY_US
from fraud.evaluation.days import day_name
from fraud.evaluation.metrics import average_precision, recall_at_budget
from fraud.evaluation.resampling import Interval
from fraud.monitoring.quality import (
    FIGURES,
    Figures,
    QualityRules,
    cohort,
    cohorts,
    decay,
    figures,
    gains,
    judged_rows,
)
from fraud.records import Outcome
from fraud.retrainer.realised import promised_quality

ROWS_A_DAY = 200
RULES = QualityRules(
    zone=ZoneInfo("UTC"),
    cut_time_us=30 * DAY_US,
    maturity_us=10 * DAY_US,
    windows=(7, 14),
    cohorts=4,
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
            "label_position": pl.Series(np.arange(count)).set(pl.Series(~is_fraud), None),
            "amount_base_minor": rng.integers(100, 10_000, size=count),
            "score": 1 / (1 + np.exp(3 - 2 * is_fraud - rng.normal(size=count))),
            "outcome": np.full(count, int(Outcome.APPROVE)),
            "explored": np.zeros(count, dtype=bool),
            "propensity": np.ones(count),
            "rule": pl.Series([None] * count, dtype=pl.String),
            "imported": np.zeros(count, dtype=bool),
        }
    )


def of(
    rows: pl.DataFrame, rules: QualityRules = RULES, days: int = 14, subject: str = "decisions"
) -> Figures:
    return figures(judged_rows(rows, rules).window(days, rules), subject, rules)


@pytest.mark.parametrize("days", [7, 14])
def test_a_window_ends_with_the_last_matured_day(days: int) -> None:
    assert day_name(RULES.last_day) == "1970-01-20"
    assert of(archived(), days=days).rows == days * ROWS_A_DAY


def test_figures_are_those_of_the_logged_scores() -> None:
    rows = archived()
    judged = rows.slice(6 * ROWS_A_DAY, 14 * ROWS_A_DAY)
    is_fraud, scores = judged["is_fraud"].to_numpy(), judged["score"].to_numpy()
    days = (judged["event_time_us"] // DAY_US).cast(pl.Int32).to_numpy()
    found = of(rows)
    assert found.frauds == found.labels == is_fraud.sum()
    assert found.intervals["average_precision"].value == pytest.approx(average_precision(is_fraud, scores))
    assert found.intervals["recall"].value == recall_at_budget(is_fraud, scores, days, 0.05)
    for name in FIGURES:
        assert found.intervals[name].low <= found.intervals[name].value <= found.intervals[name].high


@given(st.integers(0, 10_000))
def test_every_ratio_is_what_a_recount_gives(seed: int) -> None:
    """One day of a few rows: the budget is its two riskiest."""
    rng = np.random.default_rng(seed)
    rows = (
        archived(1, seed)
        .sample(20, seed=seed)
        .with_columns(is_fraud=pl.Series(rng.random(20) < 0.4), label_known_us=pl.lit(0, pl.Int64))
    )
    rules = replace(RULES, cut_time_us=11 * DAY_US, windows=(1,), alert_share=0.1, rounds=20)
    table = rows.sort("score", descending=True).rows(named=True)
    alerted, rest = table[:2], table[2:]

    def amount(of: list[dict[str, int]], *, fraud: bool) -> int:
        return sum(row["amount_base_minor"] for row in of if row["is_fraud"] or not fraud)

    frauds, caught = (sum(row["is_fraud"] for row in part) for part in (table, alerted))
    expected = {
        "precision": (caught, 2),
        "recall": (caught, frauds),
        "value_detection": (amount(alerted, fraud=True), amount(table, fraud=True)),
        "false_positive_ratio": (2 - caught, caught),
        "calibration_ratio": (sum(row["score"] for row in table), frauds),
        "value_fraud_ratio": (amount(table, fraud=True), amount(table, fraud=False)),
    }
    found = of(rows, rules, days=1).intervals
    for name, (part, whole) in expected.items():
        assert found[name].value == pytest.approx(part / whole if whole else float("nan"), nan_ok=True)
    as_champion = of(rows.with_columns(score_champion="score"), rules, 1, "champion").intervals
    missed = amount(rest, fraud=True) / amount(table, fraud=False)
    assert as_champion["value_fraud_ratio"].value == pytest.approx(missed)


def test_what_was_answered_is_judged_by_the_answers_whatever_the_budget() -> None:
    rows = archived().with_row_index("row")
    reviewed = rows.with_columns(
        outcome=pl.when(pl.col("row") % 3 == 0).then(int(Outcome.REVIEW)).otherwise(pl.col("outcome"))
    )
    judged = reviewed.slice(6 * ROWS_A_DAY, 14 * ROWS_A_DAY)
    alerted, fraud = (judged["row"] % 3 == 0).to_numpy(), judged["is_fraud"].to_numpy()
    found = of(reviewed).intervals
    assert found["answered_recall"].value == pytest.approx((alerted & fraud).sum() / fraud.sum())
    assert found["answered_precision"].value == pytest.approx((alerted & fraud).sum() / alerted.sum())
    assert found["recall"] == of(rows).intervals["recall"]
    explored = rows.with_columns(explored=pl.col("row") % 3 == 0)
    assert of(explored).intervals["answered_recall"] == found["answered_recall"]
    assert "answered_recall" not in of(rows.with_columns(score_first="score"), subject="first").intervals


def test_a_label_not_known_at_the_cut_is_no_fraud_yet() -> None:
    found = of(archived().with_columns(label_known_us=pl.lit(31 * DAY_US)))
    assert found.frauds == 0
    assert all(np.isnan(found.intervals[name].value) for name in ("average_precision", "recall"))


def test_declines_imports_and_rows_without_a_score_are_left_out() -> None:
    rows = archived().with_row_index("row")
    changed = rows.with_columns(
        outcome=pl.when(pl.col("row") % 4 == 1).then(int(Outcome.DECLINE)).otherwise(pl.col("outcome")),
        imported=pl.col("row") % 4 == 2,
        score=pl.when(pl.col("row") % 4 == 3).then(None).otherwise(pl.col("score")),
    )
    found = of(changed)
    assert (found.rows, found.unseen) == (14 * ROWS_A_DAY // 4, 14 * ROWS_A_DAY // 4)


def test_what_a_rule_decided_is_no_models_merit_and_is_counted_apart() -> None:
    rows = archived().with_row_index("row")
    ruled = rows.with_columns(rule=pl.when(pl.col("row") % 2 == 0).then(pl.lit("block:card")))
    without = rows.filter(pl.col("row") % 2 == 1)
    assert repr(of(ruled)) == repr(of(without))
    assert np.sum(judged_rows(ruled, RULES).rule_days > RULES.last_day - 14) == 14 * ROWS_A_DAY // 2


def test_an_explored_decline_stands_for_those_that_were_not_however_many() -> None:
    rows = archived()
    explored = rows.with_columns(
        explored=pl.col("is_fraud"), propensity=pl.when("is_fraud").then(0.01).otherwise(1.0)
    )
    judged = rows.slice(6 * ROWS_A_DAY, 14 * ROWS_A_DAY)
    is_fraud, scores = judged["is_fraud"].to_numpy(), judged["score"].to_numpy()
    expected = average_precision(is_fraud, scores, np.where(is_fraud, 100.0, 1.0))
    found = of(explored)
    assert found.intervals["average_precision"].value == pytest.approx(expected)
    assert found.effective_frauds == pytest.approx(is_fraud.sum())
    # Money that was lost is counted as it is.
    assert found.intervals["value_fraud_ratio"] == of(rows).intervals["value_fraud_ratio"]


def test_a_row_nobody_knows_takes_its_place_in_the_budget() -> None:
    rows = archived().with_row_index("row")
    top = pl.col("score").rank("ordinal", descending=True).over("event_time_us") <= 5
    hidden = rows.with_columns(
        outcome=pl.when(top).then(int(Outcome.DECLINE)).otherwise(pl.col("outcome")),
        is_fraud=pl.when(top).then(None).otherwise(pl.col("is_fraud")),
    )
    found = of(hidden)
    assert (found.rows, found.unseen) == (14 * (ROWS_A_DAY - 5), 14 * 5)
    # Ten alerts a day, and the five riskiest take half of them.
    judged = hidden.slice(6 * ROWS_A_DAY, 14 * ROWS_A_DAY)
    known = judged["is_fraud"].fill_null(False).to_numpy()
    days = (judged["event_time_us"] // DAY_US).cast(pl.Int32).to_numpy()
    expected = recall_at_budget(known, judged["score"].to_numpy(), days, 0.05)
    assert found.intervals["recall"].value == expected


@pytest.mark.parametrize("cut_days", [0, 5, 10])
def test_nothing_matured_is_no_error(cut_days: int) -> None:
    rules = replace(RULES, cut_time_us=cut_days * DAY_US)
    found = of(archived(), rules)
    assert (found.rows, found.frauds) == (0, 0)
    assert list(cohorts(judged_rows(archived(), rules), rules)) == []


def test_what_retraining_bought_is_a_paired_difference_on_common_rows() -> None:
    rows = archived()
    blind = pl.Series(np.random.default_rng(1).random(len(rows)))
    late = pl.col("event_time_us") >= 12 * DAY_US
    both = rows.with_columns(
        score_champion=pl.when(late).then(pl.col("score")), score_first=blind, score_same=pl.col("score")
    )
    judged = judged_rows(both, RULES).window(14, RULES)
    gain = gains(judged, RULES)["recall"]
    common = judged_rows(both.filter(late), RULES).window(14, RULES)
    sides = [figures(common, side, RULES).intervals["recall"].value for side in ("champion", "first")]
    assert gain.value == pytest.approx(sides[0] - sides[1])
    assert 0 < gain.low < gain.value < gain.high
    same = judged_rows(rows.with_columns(score_champion="score", score_first="score"), RULES)
    assert set(gains(same, RULES).values()) == {Interval(0.0, 0.0, 0.0)}
    assert gains(judged_rows(rows, RULES), RULES) == {}


def test_decay_is_beyond_doubt_only_when_both_intervals_say_so() -> None:
    then = Interval(0.8, 0.7, 0.9)
    assert decay(then, Interval(0.5, 0.45, 0.55)).low > 0.05
    assert decay(then, Interval(0.75, 0.6, 0.9)).low < 0
    assert decay(then, then).value == 0


def test_a_promise_is_held_against_what_is_realised_at_one_level() -> None:
    row = {"name": "recall_challenger", "value": 0.8, "low": 0.7, "high": 0.9}
    verdict = SimpleNamespace(
        report={"checks": [row, {**row, "name": "value_detection_challenger", "low": None}]}
    )
    state: Any = SimpleNamespace(
        champion=lambda _: "card-1", version=lambda _: SimpleNamespace(verdicts=[verdict])
    )
    promised = promised_quality(state, "card")
    assert list(promised) == ["recall"]
    # 1.645 ÷ 1.960 of the gate's 95 %.
    found = promised["recall"]
    assert (found.value, found.low, found.high) == pytest.approx((0.8, 0.7161, 0.8839), abs=1e-4)


def test_weeks_are_calendar_weeks_that_have_matured_whole() -> None:
    found = list(cohorts(judged_rows(archived(), RULES), RULES))
    # The 20th of January 1970, a Tuesday, is the last matured day; the data begins on Thursday the 1st.
    assert [day_name(it.week) for it in found] == ["1970-01-12", "1970-01-05", "1969-12-29"]
    assert [it.rows // ROWS_A_DAY for it in found] == [7, 7, 4]
    assert RULES.matured_us(found[0].week) == (18 + 10) * DAY_US


def test_a_late_label_restates_a_week_that_had_matured() -> None:
    rows = archived()
    late = rows.with_columns(
        label_known_us=pl.when(pl.col("is_fraud") & (pl.col("entity_card") % 2 == 0))
        .then(pl.lit(29 * DAY_US))
        .otherwise(pl.col("label_known_us"))
    )
    week = RULES.weeks()[0]
    then = replace(RULES, cut_time_us=RULES.matured_us(week))
    first, now = cohort(judged_rows(late, then), week, then), cohort(judged_rows(late, RULES), week, RULES)
    assert 0 < first.frauds < now.frauds
    assert first.rows == now.rows
    assert cohort(judged_rows(rows, then), week, then) == cohort(judged_rows(rows, RULES), week, RULES)
