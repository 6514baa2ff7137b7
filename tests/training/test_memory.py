"""Replay memory: bounded, a place for each past pattern, weights that neither drown nor let time tell."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fraud.bundle.boosting import load_booster, margins_of
from fraud.clock import DAY_US
from fraud.features.spec import FeatureSpec
from fraud.settings import Settings
from fraud.settings.learning import Recipe
from fraud.training.challengers import Challenger, FailedRecipe, train_here
from fraud.training.dataset import TrainingSet
from fraud.training.fit import fit
from fraud.training.memory import PATTERNS_MAX, memory_of, patterns_of, remembered
from fraud.training.recipes import choose_rows, matrix_of
from fraud.training.splits import Spans, walk_forward
from tests.training.made import made_set, made_settings

SETTINGS = made_settings()
SPEC = FeatureSpec.of(SETTINGS)
RECENT = Recipe(kind="recent", window=20 * DAY_US, replay_share=1.0, rounds=40, max_depth=4, max_bin=64)
SEED = 11
CAMPAIGN = 6
"""Frauds of the old pattern that were ever seen."""


@pytest.fixture(scope="module")
def rows() -> TrainingSet:
    """A made history in which a short campaign, long ago, was far away, small and slow."""
    made = made_set(SETTINGS)
    older = np.flatnonzero((made.label == 1) & (made.event_time_us < _spans(made).train.start_us))
    at = np.random.default_rng(SEED).choice(older, CAMPAIGN, replace=False)
    features = made.features.copy()
    features[at] = campaign(made, CAMPAIGN, SEED)
    return replace(made, features=features)


def campaign(rows: TrainingSet, n: int, seed: int) -> NDArray[np.float32]:
    """Frauds of the old pattern, float32[n, f]."""
    rng = np.random.default_rng([seed, n])
    values = {
        "amount": rng.lognormal(1.5, 0.2, n),
        "night": np.zeros(n),
        "distance_km": rng.normal(90, 5, n),
        "card_count_1h": np.zeros(n),
        "card_sum_1h": rng.exponential(5, n),
        "card_since_previous_s": rng.exponential(200_000, n),
    }
    return np.column_stack([values[name] for name in rows.feature_names]).astype(np.float32)


def _spans(rows: TrainingSet) -> Spans:
    return walk_forward(SETTINGS, rows.cut.time_us, RECENT.window)


def caught(rows: TrainingSet, recipe: Recipe) -> float:
    """Share of a return of the campaign above all but 1 % of the window's honest rows."""
    spans = _spans(rows)
    chosen = choose_rows(recipe, rows, spans)
    matrix = matrix_of(rows, chosen.rows, ())  # features alone
    booster = load_booster(
        fit(
            matrix, rows.label[chosen.rows] == 1, chosen.weights, recipe, categoricals=0, seed=SEED, nthread=1
        )
    )
    honest = margins_of(booster, matrix_of(rows, np.flatnonzero(rows.label == 0), ()))
    return float(np.mean(margins_of(booster, campaign(rows, 200, SEED)) > np.quantile(honest, 0.99)))


def test_a_bounded_memory_still_knows_a_short_campaign_of_long_ago(rows: TrainingSet) -> None:
    memory = RECENT.model_copy(update={"replay_max": 60})
    forgot = caught(rows, RECENT.model_copy(update={"replay_share": 0.0}))
    known = caught(rows, memory)
    told = f"seed {SEED}: without memory {forgot:.2f}, with it {known:.2f}"
    assert forgot < 0.2, told
    assert known > 0.8, told


def test_memory_is_bounded_and_has_honest_rows_of_the_same_time(rows: TrainingSet) -> None:
    spans = _spans(rows)
    recipe = RECENT.model_copy(update={"replay_max": 30, "replay_honest": 4})
    memory = memory_of(recipe, rows, spans.train.start_us)
    assert (len(memory.frauds), len(memory.honest)) == (30, 120)
    both = np.concatenate([memory.frauds, memory.honest])
    assert (rows.event_time_us[both] < spans.train.start_us).all()
    assert rows.label[both].tolist() == [1] * 30 + [0] * 120
    chosen = choose_rows(recipe, rows, spans)
    weight = dict(zip(chosen.rows.tolist(), chosen.weights.tolist(), strict=True))
    assert set(both.tolist()) < set(weight)
    label = rows.label[chosen.rows]
    inside = ~np.isin(chosen.rows, both)
    old_frauds = sum(weight[row] for row in memory.frauds.tolist())
    old_honest = sum(weight[row] for row in memory.honest.tolist())
    frauds, honest = chosen.weights[inside & (label == 1)].sum(), chosen.weights[inside & (label == 0)].sum()
    assert old_frauds <= frauds * (1 + 1e-9)
    assert old_honest / old_frauds == pytest.approx(honest / frauds)


def test_many_old_frauds_weigh_no_more_than_those_of_the_window(rows: TrainingSet) -> None:
    spans = _spans(rows)
    short = replace(spans, train=replace(spans.train, start_us=spans.train.end_us - 4 * DAY_US))
    chosen = choose_rows(RECENT, rows, short)
    is_old = rows.event_time_us[chosen.rows] < short.train.start_us
    is_fraud = rows.label[chosen.rows] == 1
    assert (is_old & is_fraud).sum() > 2 * (~is_old & is_fraud).sum()
    assert chosen.weights[is_old & is_fraud].sum() == pytest.approx(chosen.weights[~is_old & is_fraud].sum())


@pytest.mark.parametrize("half_life_days", [1, 7, 90])
def test_a_half_life_leaves_a_memory_its_weight(rows: TrainingSet, half_life_days: int) -> None:
    spans = _spans(rows)
    recipe = RECENT.model_copy(update={"recency_half_life": half_life_days * DAY_US})
    chosen = choose_rows(recipe, rows, spans)
    is_old = rows.event_time_us[chosen.rows] < spans.train.start_us
    is_fraud = rows.label[chosen.rows] == 1
    for kind in (is_fraud, ~is_fraud):
        assert len(set(chosen.weights[is_old & kind].tolist())) == 1, "however old"
    frauds, honest = (chosen.weights[~is_old & kind].sum() for kind in (is_fraud, ~is_fraud))
    old, old_honest = (chosen.weights[is_old & kind].sum() for kind in (is_fraud, ~is_fraud))
    assert old == pytest.approx(min(frauds, (is_old & is_fraud).sum()))
    assert old_honest / old == pytest.approx(honest / frauds)


@given(st.integers(0, 300), st.integers(1, 120), st.integers(0, 2**31 - 1))
def test_what_is_remembered_is_bounded_distinct_and_the_same_again(n: int, most: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 3)).astype(np.float32)
    features[rng.random((n, 3)) < 0.2] = np.nan
    draws = rng.random(n)
    kept = remembered(features, draws, most)
    assert len(kept) == min(n, most)
    assert (np.diff(kept) > 0).all()
    assert np.array_equal(kept, remembered(features, draws, most))
    pattern = patterns_of(features)
    assert pattern.max(initial=0) < PATTERNS_MAX
    order = rng.permutation(n)
    moved = order[remembered(features[order], draws[order], most)]
    assert np.array_equal(np.sort(moved), kept), "the order of rows decides nothing"


def test_each_of_a_few_patterns_has_its_place_however_rare() -> None:
    rng = np.random.default_rng(SEED)
    sizes = (900, 60, 3)
    features = np.concatenate(
        [
            rng.normal(centre, 0.01, (size, 4))
            for size, centre in zip(sizes, ([0, 0, 0, 0], [9, 9, 0, 0], [0, 0, 9, 9]), strict=True)
        ]
    ).astype(np.float32)
    kept = remembered(features, rng.random(len(features)), 40)
    which = np.repeat([0, 1, 2], sizes)[kept]
    assert set(which.tolist()) == {0, 1, 2}


def only_recent(frauds_min: int) -> Settings:
    training = SETTINGS.training.model_copy(update={"recipes": {"recent": RECENT}, "frauds_min": frauds_min})
    return SETTINGS.model_copy(update={"training": training})


def test_without_a_fraud_in_the_window_nothing_is_replayed_and_nothing_is_fitted(rows: TrainingSet) -> None:
    spans = _spans(rows)
    quiet = replace(rows, label=rows.label.copy())
    quiet.label[spans.train.holds(rows.event_time_us) & (rows.label == 1)] = 0
    chosen = choose_rows(RECENT, quiet, spans)
    assert not chosen.replayed.any()
    assert spans.train.holds(quiet.event_time_us[chosen.rows]).all()
    (failed,) = train_here({"card": quiet}, SPEC, only_recent(20), {})
    assert isinstance(failed, FailedRecipe)
    assert "0 frauds in the training rows of the window" in failed.reason


def test_replayed_frauds_stand_for_none_of_the_window(rows: TrainingSet) -> None:
    within = int(np.count_nonzero(_spans(rows).train.holds(rows.event_time_us) & (rows.label == 1)))
    assert choose_rows(RECENT, rows, _spans(rows)).replayed.sum() > within
    for frauds_min, found in ((within, Challenger), (within + 1, FailedRecipe)):
        settings = only_recent(frauds_min)
        (made,) = train_here({"card": rows}, SPEC, settings, {})
        assert isinstance(made, found)


def test_a_larger_memory_holds_more_than_the_candidates_that_patterns_are_told_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fraud.training.memory._CANDIDATES_MAX", 50)
    rng = np.random.default_rng(3)
    features, draws = rng.normal(size=(200, 3)).astype(np.float32), rng.random(200)
    for most in (40, 50, 120, 199, 200):
        assert len(remembered(features, draws, most)) == most
