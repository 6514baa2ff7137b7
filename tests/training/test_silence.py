"""Frauds that were taught as legitimate until somebody said otherwise are counted, and no others."""

from dataclasses import replace

import polars as pl
import pytest

from fraud.clock import DAY_US, HOUR_US
from fraud.features.spec import FeatureSpec
from fraud.records import LabelValue, Outcome
from fraud.training.history import History
from fraud.training.silence import SPAN_US, Lateness, lateness, silence_us
from tests.training.made import Frames, cut_at, made_history, made_settings

SETTINGS = made_settings(fresh={"silence": "6d"})
SPEC = FeatureSpec.of(SETTINGS)
MATURITY_US = SETTINGS.labels.maturity


@pytest.fixture(scope="module")
def frames() -> Frames:
    """Labels of this history come between five and six days after their payments."""
    return made_history(SPEC)


def counted(frames: Frames, after_us: int) -> Lateness:
    return lateness(History(frames, SPEC, SETTINGS, cut_at(frames)), "card", after_us)


def of_the_span(frames: Frames) -> pl.DataFrame:
    """The frauds among the payments that are counted, with their delays."""
    until_us = cut_at(frames).time_us - MATURITY_US
    inside = pl.col("event_time_us").is_between(until_us - SPAN_US, until_us, closed="left")
    own = frames.transactions_.filter(inside & (pl.col("model") == "card"))
    known = frames.labels_.select("transaction_id", known_us="arrival_time_us")
    return own.join(known, on="transaction_id").with_columns(
        delay_us=pl.col("known_us") - pl.col("event_time_us")
    )


def test_silence_is_as_long_as_asked_for_and_no_longer_than_the_maturity() -> None:
    assert silence_us(SETTINGS) == 6 * DAY_US
    assert silence_us(made_settings(fresh={"silence": "30d"})) == MATURITY_US
    assert silence_us(made_settings()) is None


@pytest.mark.parametrize("hours", [5 * 24, 5 * 24 + 12, 6 * 24])
def test_frauds_that_were_called_so_after_the_silence_are_late(frames: Frames, hours: int) -> None:
    expected = of_the_span(frames)
    late = int((expected["delay_us"] > hours * HOUR_US).sum())
    assert counted(frames, hours * HOUR_US) == Lateness(len(expected), late)
    assert len(expected) > 50
    assert (late == 0, late == len(expected)) == (hours == 6 * 24, hours == 5 * 24)


def test_the_first_who_called_it_fraud_counts_and_what_does_not_stand_does_not(frames: Frames) -> None:
    sooner, withdrawn, declined = of_the_span(frames)["transaction_id"].to_list()[:3]
    named, label = pl.col("transaction_id"), frames.labels_.filter(pl.col("transaction_id") == sooner)
    early = label.with_columns(
        pl.col("arrival_time_us") - 4 * DAY_US, pl.col("position") - 1, source=pl.lit("analyst")
    )
    taken_back = frames.labels_.filter(named == withdrawn).with_columns(
        pl.col("arrival_time_us") + 1,
        pl.col("position") + 1,
        label_time_us=pl.col("label_time_us") + 1,
        value=pl.lit(int(LabelValue.WITHDRAWN), pl.Int32),
    )
    outcome = pl.when(named == declined).then(pl.lit(int(Outcome.DECLINE), pl.Int32))
    told = replace(
        frames,
        labels_=pl.concat([frames.labels_, early, taken_back]),
        transactions_=frames.transactions_.with_columns(
            outcome.otherwise(pl.col("outcome")).alias("outcome")
        ),
    )
    before, after = counted(frames, 5 * DAY_US), counted(told, 5 * DAY_US)
    assert (after.frauds, after.late) == (before.frauds - 2, before.late - 3)
