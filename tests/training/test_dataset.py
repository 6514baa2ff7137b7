from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from fraud.clock import DAY_US
from fraud.features.spec import FeatureSpec
from fraud.records import Outcome
from fraud.training.dataset import TrainingSet, training_rows
from fraud.training.history import Cut, History
from tests.training.made import DAYS, START_US, Frames, cut_at, made_history, made_set, made_settings

SETTINGS = made_settings()
SPEC = FeatureSpec.of(SETTINGS)
HISTORY = made_history(SPEC)


def read(history: Frames = HISTORY, model: str = "card", cut: Cut | None = None) -> TrainingSet:
    return training_rows(History(history, SPEC, SETTINGS, cut or cut_at(history)), model)


def same(one: TrainingSet, other: TrainingSet) -> bool:
    arrays = ("features", "codes", "position", "event_time_us", "label", "propensity", "draws")
    return one.manifest == other.manifest and all(
        getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in arrays
    )


@pytest.mark.parametrize("days", [40, 61.5, DAYS])
def test_what_comes_after_the_cut_changes_nothing(days: float) -> None:
    cut = cut_at(HISTORY, days)
    prefix = Frames(
        *(
            frame.filter(pl.col("position") <= cut.position)
            for frame in (HISTORY.transactions_, HISTORY.labels_, HISTORY.outcomes_)
        )
    )
    assert same(read(cut=cut), read(prefix, cut=cut))


def test_the_order_of_files_does_not_matter_rows_come_by_position() -> None:
    shuffled = replace(
        HISTORY,
        transactions_=HISTORY.transactions_.sample(fraction=1, shuffle=True, seed=3),
        labels_=HISTORY.labels_.sample(fraction=1, shuffle=True, seed=4),
    )
    rows = read(shuffled, cut=cut_at(HISTORY))
    assert same(rows, read())
    assert np.all(np.diff(rows.position) > 0)


def test_features_are_those_logged_with_missing_as_nan_and_words_as_codes() -> None:
    rows = read()
    logged = HISTORY.transactions_.filter(pl.col("position").is_in(rows.position.tolist())).sort("position")
    for place, name in enumerate(rows.feature_names):
        np.testing.assert_array_equal(rows.features[:, place], logged[f"f_{name}"].to_numpy())
    for place, name in enumerate(rows.categorical_names):
        words = [*rows.words[place], None]
        assert [words[code] for code in rows.codes[:, place]] == logged[f"categorical_{name}"].to_list()
    assert rows.field_names == ("amount", "distance_km")


def test_a_model_sees_its_own_traffic_and_the_features_it_picks() -> None:
    card, transfer = read(), read(model="transfer")
    assert not set(card.position) & set(transfer.position)
    assert transfer.feature_names == ("amount", "card_count_1h", "card_sum_1h", "card_since_previous_s")
    assert transfer.categorical_names == ("channel",)
    assert transfer.manifest["feature_definitions"] == {
        name: SPEC.definitions[name] for name in transfer.feature_names
    }


def test_fresh_rows_teach_nothing_but_are_there() -> None:
    rows = read()
    fresh = rows.event_time_us > START_US + (DAYS - 10) * DAY_US
    assert fresh.any()
    assert set(rows.label[fresh]) == {-1}
    assert set(rows.label[~fresh]) == {0, 1}


def test_unexplored_declines_teach_nothing_and_explored_ones_weigh_by_their_propensity() -> None:
    n = len(HISTORY.transactions_)
    declined, explored, hopeless = np.arange(n) % 5 == 0, np.arange(n) % 25 == 1, np.arange(n) % 10 == 0
    transactions = HISTORY.transactions_.with_columns(
        outcome=pl.Series(np.where(declined, int(Outcome.DECLINE), int(Outcome.APPROVE)), dtype=pl.Int32),
        explored=pl.Series(explored),
        propensity=pl.Series(np.where(explored, 0.2, np.where(hopeless, 1.0, 0.8))),
    )
    rows = read(replace(HISTORY, transactions_=transactions))
    flags = transactions.filter(pl.col("position").is_in(rows.position.tolist())).sort("position")
    is_declined = flags["outcome"].to_numpy() == int(Outcome.DECLINE)
    assert not np.any(rows.label[is_declined] == 0)
    assert np.any(rows.label[is_declined] == 1)
    np.testing.assert_array_equal(rows.propensity, np.where(flags["explored"].to_numpy(), 0.2, 1.0))
    had_a_chance = flags["propensity"].to_numpy() == 0.8
    np.testing.assert_array_equal(rows.stood_for, is_declined & had_a_chance)
    assert np.any(is_declined & ~rows.stood_for)


def test_the_manifest_names_every_label_batch_with_counts_and_digests() -> None:
    rows = read()
    manifest = rows.manifest
    assert sum(batch["labels"] for batch in manifest["label_batches"]) >= manifest["rows"]["frauds"]
    assert manifest["rows"]["frauds"] == int((rows.label == 1).sum())
    assert manifest["cut"] == {"position": rows.cut.position, "time_us": rows.cut.time_us}
    known = dict(HISTORY.labels_.select("batch_id", "digest").unique().iter_rows())
    assert all(known[batch["batch_id"]] == batch["digest"] for batch in manifest["label_batches"])
    latest = HISTORY.labels_.filter(pl.col("arrival_time_us") > rows.cut.time_us)["batch_id"].unique()
    assert not {batch["batch_id"] for batch in manifest["label_batches"]} & set(latest)


def test_only_frauds_are_kept_from_before_every_window() -> None:
    recipes = {"recent": {"kind": "recent", "window": "20d", "replay_share": 1.0}}
    rows = made_set(made_settings(recipes=recipes))
    window_start_us = rows.cut.time_us - (10 + 5 + 10 + 2 + 20) * DAY_US
    old = rows.event_time_us < window_start_us
    assert set(rows.label[old]) == {1}
    assert set(rows.label[~old]) == {-1, 0, 1}


@pytest.mark.parametrize("silence_us", [None, 3 * DAY_US])
@pytest.mark.parametrize("days", [0, 20, 62, DAYS])
def test_older_frauds_are_those_among_all_that_is_judged(days: int, silence_us: int | None) -> None:
    history = History(HISTORY, SPEC, SETTINGS, cut_at(HISTORY))
    since_us = START_US + days * DAY_US
    chosen = history.judged("card", since_us, older_frauds=True, silence_us=silence_us).collect()
    everything = history.judged("card", silence_us=silence_us)
    wanted = everything.filter((pl.col("event_time_us") >= since_us) | pl.col("is_fraud")).collect()
    assert chosen.sort("position").equals(wanted.sort("position"))
    assert not days or chosen.filter(pl.col("event_time_us") < since_us).height > 20


def test_features_of_old_honest_payments_are_never_held() -> None:
    since_us = START_US + 62 * DAY_US
    read: list[int] = []

    def note(frame: pl.DataFrame) -> pl.DataFrame:
        read.append(frame.height)
        return frame

    class Noted(History):
        def transactions(
            self, model: str, where: pl.Expr | None = None, *, with_features: bool = True
        ) -> pl.LazyFrame:
            rows = super().transactions(model, where, with_features=with_features)
            return rows.map_batches(note) if with_features else rows

    chosen = Noted(HISTORY, SPEC, SETTINGS, cut_at(HISTORY)).judged("card", since_us, older_frauds=True)
    kept = chosen.collect().height
    assert kept <= sum(read) < 1.1 * kept < HISTORY.transactions_.height / 2
