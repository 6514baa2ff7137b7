from dataclasses import replace

import numpy as np
import pytest

from fraud.bundle.bundle import Bundle
from fraud.clock import DAY_US
from fraud.features.encoding import Vocabulary
from fraud.features.spec import FeatureSpec
from fraud.settings.learning import Recipe
from fraud.training.challengers import Challenger, train_here
from fraud.training.dataset import TrainingSet
from fraud.training.recipes import WORDS_MAX, Parent, choose_rows, matrix_of, start_of, vocabularies_of
from fraud.training.splits import Spans, walk_forward
from fraud.training.unseen import Fitted
from tests.training.made import made_set, made_settings

SETTINGS = made_settings()
DAY_20 = SETTINGS.training.recipes["recent"].window
NOTHING = Fitted(0, 0)


@pytest.fixture(scope="module")
def rows() -> TrainingSet:
    return made_set(SETTINGS)


@pytest.fixture(scope="module")
def spans(rows: TrainingSet) -> Spans:
    return walk_forward(SETTINGS, rows.cut.time_us, DAY_20)


@pytest.fixture(scope="module")
def champion(rows: TrainingSet) -> Bundle:
    first = train_here({"card": rows}, FeatureSpec.of(SETTINGS), SETTINGS, {})[0]
    assert isinstance(first, Challenger)
    return first.bundle


def test_no_recipe_touches_a_row_at_or_after_the_embargo(rows: TrainingSet) -> None:
    for recipe in SETTINGS.training.recipes.values():
        spans = walk_forward(SETTINGS, rows.cut.time_us, recipe.window)
        chosen = choose_rows(recipe, rows, spans).rows
        assert rows.event_time_us[chosen].max() < spans.train.end_us
        assert set(rows.label[chosen]) == {0, 1}
        assert np.all(np.diff(chosen) > 0)


def test_recent_replays_older_frauds_and_asked_for_nothing_else(rows: TrainingSet, spans: Spans) -> None:
    replaying = Recipe(kind="recent", window=DAY_20, replay_share=1.0, replay_honest=0)
    everything = choose_rows(replaying, rows, spans).rows
    half = choose_rows(replaying.model_copy(update={"replay_share": 0.5}), rows, spans).rows
    none = choose_rows(Recipe(kind="recent", window=DAY_20), rows, spans).rows
    older = (rows.event_time_us < spans.train.start_us) & (rows.label == 1)
    assert set(everything) - set(none) == set(np.flatnonzero(older))
    assert set(none) < set(half) < set(everything)


def test_sampling_keeps_frauds_and_weights_restore_the_number_of_legitimate_rows(
    rows: TrainingSet, spans: Spans
) -> None:
    every = choose_rows(Recipe(kind="full", window=DAY_20), rows, spans)
    sampled = choose_rows(Recipe(kind="full", window=DAY_20, legitimate_share=0.25), rows, spans)
    assert set(sampled.rows) < set(every.rows)
    is_fraud = rows.label[sampled.rows] == 1
    assert is_fraud.sum() == (rows.label[every.rows] == 1).sum()
    assert set(sampled.weights[is_fraud]) == {1.0}
    restored = sampled.weights[~is_fraud].sum()
    assert restored == pytest.approx((rows.label[every.rows] == 0).sum(), rel=0.15)


def test_explored_rows_weigh_their_inverse_propensity(rows: TrainingSet, spans: Spans) -> None:
    propensity = np.where(np.arange(len(rows)) % 10 == 0, 0.2, 1.0)
    explored = replace(rows, propensity=propensity)
    chosen = choose_rows(Recipe(kind="full", window=DAY_20), explored, spans)
    np.testing.assert_allclose(chosen.weights, 1 / propensity[chosen.rows])


def test_vocabularies_go_by_frequency_and_only_grow_behind_the_parents_words(rows: TrainingSet) -> None:
    chosen = np.flatnonzero(rows.label >= 0)
    fresh = vocabularies_of(rows, chosen, None)
    counts = [np.sum(rows.codes[chosen, 0] == rows.words[0].index(word)) for word in fresh[0].words]
    assert counts == sorted(counts, reverse=True)
    parent = Parent("", b"", (("fax", "moto"), ()), NOTHING)
    grown = vocabularies_of(rows, chosen, parent)
    assert grown[0].words[:2] == ("fax", "moto")
    assert set(grown[0].words) == {"fax", "moto", "web", "pos"}


def test_the_training_matrix_is_the_one_that_serving_builds(rows: TrainingSet, champion: Bundle) -> None:
    chosen = np.arange(0, len(rows), 7)
    words = [
        tuple("" if code < 0 else rows.words[place][code] for place, code in enumerate(row))
        for row in rows.codes[chosen].tolist()
    ]
    served = champion.matrix(rows.features[chosen], np.arange(len(rows.feature_names)), words)
    trained = matrix_of(rows, chosen, champion.vocabularies)
    assert served.tobytes() == trained.tobytes()


def test_a_word_without_a_code_is_missing_in_training_as_in_serving(rows: TrainingSet) -> None:
    matrix = matrix_of(rows, np.arange(len(rows)), (Vocabulary(("web",)), Vocabulary()))
    is_web = rows.codes[:, 0] == rows.words[0].index("web")
    assert set(matrix[is_web, -2]) == {0.0}
    assert np.all(np.isnan(matrix[~is_web, -2]))
    assert np.all(np.isnan(matrix[:, -1]))


def test_continue_starts_from_a_champion_of_the_same_features_only(
    rows: TrainingSet, spans: Spans, champion: Bundle
) -> None:
    kept, full = Recipe(kind="continue"), Recipe(kind="full")
    assert start_of(full, [full, kept], rows, spans, champion).parent is None
    start = start_of(kept, [kept], rows, spans, champion)
    assert start.parent is not None
    assert start.parent.digest == champion.digest
    other = replace(champion, feature_names=("other", *champion.feature_names[1:]), ranges=())
    defined = {**rows.manifest["feature_definitions"], rows.feature_names[-1]: "another meaning"}
    meant = replace(champion, manifest={**champion.manifest, "feature_definitions": defined})
    older = replace(champion, manifest={**champion.manifest, "feature_definitions": {}})
    assert start_of(kept, [kept], rows, spans, older).parent is not None
    for unusable in (None, other, meant):
        assert start_of(kept, [kept], rows, spans, unusable).parent is None
        assert not start_of(kept, [kept], rows, spans, unusable).skip
        assert start_of(kept, [full, kept], rows, spans, unusable).skip


@pytest.mark.parametrize(("maturity_days", "usable"), [(9, True), (12, True), (13, False), (30, False)])
def test_continue_starts_from_no_champion_that_was_fitted_on_what_would_calibrate_or_judge(
    rows: TrainingSet, champion: Bundle, maturity_days: int, *, usable: bool
) -> None:
    labels = SETTINGS.labels.model_copy(update={"maturity": maturity_days * DAY_US})
    moved = walk_forward(SETTINGS.model_copy(update={"labels": labels}), rows.cut.time_us, DAY_20)
    untold = {key: value for key, value in champion.manifest.items() if key != "fitted"}
    kept = Recipe(kind="continue")
    for known in (champion, replace(champion, manifest=untold)):
        start = start_of(kept, [kept], rows, moved, known)
        assert (start.parent is not None) == usable, "2 d of embargo lie between"
        assert ("the spans have moved; fitted from nothing" in start.note) != usable


def test_a_chain_of_continued_versions_ends_at_rounds_max(
    rows: TrainingSet, spans: Spans, champion: Bundle
) -> None:
    kept, full = Recipe(kind="continue", rounds=4, rounds_max=16), Recipe(kind="full")
    assert start_of(kept, [kept, full], rows, spans, champion).parent is not None, "12 rounds and 4"
    ended = kept.model_copy(update={"rounds_max": 15})
    start = start_of(ended, [ended], rows, spans, champion)
    assert (start.parent, start.skip) == (None, False)
    assert "the champion has 12 rounds, 4 more would pass rounds_max = 15" in start.note
    assert start_of(ended, [ended, full], rows, spans, champion).skip


def test_a_parents_words_count_among_those_that_get_a_code(rows: TrainingSet) -> None:
    old = tuple(f"old-{i}" for i in range(WORDS_MAX - 10))
    new = tuple(f"new-{i:04}" for i in range(3_000))
    codes = rows.codes.copy()
    codes[:, 0] = np.minimum(np.arange(len(rows)) % 4_000, len(new) - 1)
    grown = vocabularies_of(
        replace(rows, words=(new, *rows.words[1:]), codes=codes),
        np.arange(len(rows)),
        Parent("", b"", (old, *[()] * (len(rows.words) - 1)), NOTHING),
    )
    assert len(grown[0].words) == WORDS_MAX
    assert grown[0].words[: len(old)] == old
    assert grown[0].words[len(old)] == new[-1], "the most frequent first"
    more = tuple(f"old-{i}" for i in range(WORDS_MAX + 5))
    full_up = Parent("", b"", (more, *[()] * (len(rows.words) - 1)), NOTHING)
    kept = vocabularies_of(rows, np.arange(len(rows)), full_up)
    assert kept[0].words == more, "codes that a parent has split on stay"
