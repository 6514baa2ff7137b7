from collections.abc import Mapping

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from fraud.bundle.boosting import load_booster
from fraud.bundle.bundle import Bundle
from fraud.clock import DAY_US
from fraud.errors import Damaged
from fraud.features.spec import FeatureSpec
from fraud.settings.learning import Recipe
from fraud.training.challengers import Challenger, FailedRecipe, Progress, _length, train_here
from fraud.training.dataset import TrainingSet
from fraud.training.recipes import matrix_of
from tests.training.made import made_set, made_settings

SETTINGS = made_settings()
SPEC = FeatureSpec.of(SETTINGS)


@pytest.fixture(scope="module")
def rows() -> TrainingSet:
    return made_set(SETTINGS)


def train(rows: TrainingSet, champion: Bundle | None = None, nthread: int = 1) -> dict[str, Challenger]:
    results = train_here({"card": rows}, SPEC, SETTINGS, {"card": champion}, nthread=nthread)
    return {result.recipe: result for result in results if isinstance(result, Challenger)}


@pytest.fixture(scope="module")
def first(rows: TrainingSet) -> dict[str, Challenger]:
    return train(rows)


@pytest.fixture(scope="module")
def second(rows: TrainingSet, first: dict[str, Challenger]) -> dict[str, Challenger]:
    return train(rows, first["full"].bundle)


def test_the_same_manifest_gives_the_same_bytes_whatever_the_number_of_threads(
    first: dict[str, Challenger], second: dict[str, Challenger]
) -> None:
    again = train(made_set(SETTINGS), first["full"].bundle, nthread=2)
    assert set(again) == {"full", "recent", "continue"}
    for recipe, challenger in second.items():
        assert again[recipe].manifest == challenger.manifest
        assert again[recipe].bundle.files() == challenger.bundle.files()


def test_a_bundle_that_cannot_be_read_back_loses_nobody_elses_work(
    rows: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, seen = Bundle.from_files, []

    def once(files: Mapping[str, bytes]) -> Bundle:
        seen.append(files)
        if len(seen) == 1:
            raise Damaged("bundle cannot be read: a test")
        return read(files)

    monkeypatch.setattr(Bundle, "from_files", once)
    lost, *others = train_here({"card": rows}, SPEC, SETTINGS, {"card": None})
    assert isinstance(lost, FailedRecipe)
    assert "bundle cannot be read: a test" in lost.reason
    assert any(isinstance(other, Challenger) for other in others)


def test_row_sampling_depends_on_the_seed_alone(rows: TrainingSet) -> None:
    def booster(seed: int, nthread: int) -> bytes:
        recipes = {"full": {"kind": "full", "rounds": 5, "subsample": 0.5, "colsample_bytree": 0.5}}
        settings = made_settings(seed=seed, recipes=recipes)
        result = train_here({"card": rows}, SPEC, settings, {}, nthread=nthread)[0]
        assert isinstance(result, Challenger)
        return result.bundle.booster

    assert booster(1, 1) == booster(1, 2)
    assert booster(1, 1) != booster(2, 1)


def test_every_bundle_passes_its_self_test_and_tells_frauds_apart(
    rows: TrainingSet, second: dict[str, Challenger]
) -> None:
    for challenger in second.values():
        bundle = challenger.bundle
        bundle.self_test()
        assert np.isnan(bundle.selftest.matrix).all(axis=1).any()
        judged = np.flatnonzero(challenger.spans.evidence.holds(rows.event_time_us) & (rows.label >= 0))
        scores = bundle.scores_of(matrix_of(rows, judged, bundle.vocabularies))
        is_fraud = rows.label[judged] == 1
        assert average_precision_score(is_fraud, scores) > 4 * is_fraud.mean()


def test_continue_adds_rounds_to_the_champion_and_keeps_its_codes(
    first: dict[str, Challenger], second: dict[str, Challenger]
) -> None:
    parent, child = first["full"].bundle, second["continue"].bundle
    rounds = [load_booster(bundle.booster).num_boosted_rounds() for bundle in (parent, child)]
    assert rounds == [12, 16]
    assert child.manifest["parent"] == parent.digest
    for old, new in zip(parent.vocabularies, child.vocabularies, strict=True):
        assert new.words[: len(old.words)] == old.words


def test_calibration_and_thresholds_come_from_the_calibration_span_at_natural_prevalence(
    rows: TrainingSet, first: dict[str, Challenger]
) -> None:
    for challenger in first.values():
        bundle = challenger.bundle
        span = np.flatnonzero(challenger.spans.calibration.holds(rows.event_time_us))
        scores = bundle.scores_of(matrix_of(rows, span, bundle.vocabularies))
        is_fraud = rows.label[span] == 1
        assert scores.mean() == pytest.approx(is_fraud.mean(), rel=0.1)
        assert bundle.thresholds.decline is not None
        declined = scores >= bundle.thresholds.decline
        assert is_fraud[declined].mean() >= 0.5


def test_risk_scores_of_reference_traffic_fill_the_scale(
    rows: TrainingSet, first: dict[str, Challenger]
) -> None:
    bundle = first["full"].bundle
    risk = bundle.risk_scores(bundle.margins(matrix_of(rows, np.arange(len(rows)), bundle.vocabularies)))
    assert np.mean(risk >= 990) <= 0.01
    assert np.mean(risk >= 500) <= 0.5
    assert risk.min() >= 0
    assert risk.max() > 900


def test_without_a_champion_continue_is_skipped_beside_full_and_fitted_from_nothing_alone(
    rows: TrainingSet,
) -> None:
    skipped = [r for r in train_here({"card": rows}, SPEC, SETTINGS, {}) if isinstance(r, FailedRecipe)]
    assert [(r.recipe, r.skipped) for r in skipped] == [("continue", True)]
    alone = made_settings(recipes={"continue": {"kind": "continue", "window": "30d", "rounds": 3}})
    result = train_here({"card": rows}, SPEC, alone, {})[0]
    assert isinstance(result, Challenger)
    assert result.manifest["parent"] == ""
    assert "no champion" in result.manifest["note"]


def test_a_recipe_that_cannot_be_fitted_is_described_and_the_others_are_kept(rows: TrainingSet) -> None:
    recipes = {
        "short": {"kind": "full", "window": "1h", "rounds": 3},
        "full": {"kind": "full", "rounds": 3},
    }
    told: list[Progress] = []
    short, full = train_here({"card": rows}, SPEC, made_settings(recipes=recipes), {}, progress=told.append)
    assert isinstance(full, Challenger)
    assert isinstance(short, FailedRecipe)
    assert "20 needed (training.frauds_min)" in short.reason
    assert [(p.recipe, p.done, p.total, bool(p.problem)) for p in told] == [
        ("short", 1, 2, True),
        ("full", 2, 2, False),
    ]


def test_too_little_history_says_what_to_wait_for() -> None:
    rows = made_set(SETTINGS, days=20)
    results = train_here({"card": rows}, SPEC, SETTINGS, {})
    assert all(isinstance(result, FailedRecipe) for result in results)
    assert "0 frauds in the training rows" in str(results[0])


def test_the_manifest_says_which_rows_did_what(first: dict[str, Challenger]) -> None:
    for challenger in first.values():
        manifest = challenger.manifest
        assert manifest["recipe"] == challenger.recipe
        assert manifest["spans"] == challenger.spans.to_dict()
        assert manifest["positions"]["train"][1] < manifest["positions"]["calibration"][0]
        assert 0 < manifest["rows"]["train_frauds"] < manifest["rows"]["train"]
        effective, trained = manifest["effective_sample_size"], manifest["rows"]["train"]
        if challenger.recipe == "recent":
            assert 0 < effective < trained, "honest rows of the memory weigh more than one"
        else:
            assert effective == pytest.approx(trained)


def test_a_champion_whose_rows_would_calibrate_is_not_continued_and_fitted_is_what_its_parent_was(
    rows: TrainingSet, first: dict[str, Challenger], second: dict[str, Challenger]
) -> None:
    champion = first["full"]
    labels = SETTINGS.labels.model_copy(update={"maturity": 30 * DAY_US})
    moved = SETTINGS.model_copy(update={"labels": labels})
    results = train_here({"card": rows}, SPEC, moved, {"card": champion.bundle})
    (skipped,) = [result for result in results if isinstance(result, FailedRecipe)]
    assert (skipped.recipe, skipped.skipped) == ("continue", True)
    assert "the spans have moved" in skipped.reason
    until_us = champion.spans.train.end_us
    assert champion.manifest["fitted"] == {"until_us": until_us, "others_until_us": until_us}
    assert second["continue"].manifest["fitted"] == champion.manifest["fitted"]


def test_the_longest_recipe_starts_first_and_a_hardened_one_counts_its_rounds_of_fits() -> None:
    full = Recipe(kind="full", rounds=100)
    hardened = full.model_copy(update={"kind": "hardened", "variant_rounds": 3})
    short = full.model_copy(update={"kind": "recent", "window": full.window // 2})
    assert sorted([short, full, hardened], key=_length, reverse=True) == [hardened, full, short]
    assert _length(hardened) == 4 * _length(full)
