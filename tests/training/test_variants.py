"""The hardened recipe: evasions of training frauds as rows, bounded in cost and weight; monotone features."""

from dataclasses import replace

import numpy as np
import pytest

from fraud.bundle.bundle import load_booster
from fraud.errors import ConfigError
from fraud.settings import Settings
from fraud.settings.learning import Recipe
from fraud.training.challengers import Challenger, FailedRecipe, train_here
from fraud.training.dataset import TrainingSet, training_rows
from fraud.training.recipes import choose_rows, directions, matrix_of, vocabularies_of
from fraud.training.redteam import red_team
from fraud.training.splits import walk_forward
from fraud.training.variants import harden, variants_of, with_variants
from tests.attacks.worlds import World, made

HARDENED = Recipe(kind="hardened", rounds=30, max_depth=4, max_bin=64, variant_frauds=40)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return made(tmp_path_factory.mktemp("hardened"))


@pytest.fixture(scope="module")
def rows(world: World) -> TrainingSet:
    history = replace(world.history, settings=asking(world.settings, HARDENED))
    return with_variants(training_rows(world.history, "card"), history, world.bundle)


def asking(settings: Settings, *recipes: Recipe) -> Settings:
    """Settings with these recipes alone, named by their kind."""
    training = settings.training.model_copy(update={"recipes": {each.kind: each for each in recipes}})
    return settings.model_copy(update={"training": training})


def test_variants_are_evasions_of_frauds_before_the_end_of_training(world: World, rows: TrainingSet) -> None:
    variants = rows.variants
    assert variants is not None
    assert len(variants.of) > 15
    assert (rows.label[variants.of] == 1).all()
    accepted = world.target.accepts(variants.features, variants.words)
    assert accepted.all()
    spans = walk_forward(world.settings, rows.cut.time_us, HARDENED.window)
    chosen = choose_rows(HARDENED, rows, spans)
    added = harden(HARDENED, rows, chosen, vocabularies_of(rows, chosen.rows, None))
    inside = np.isin(variants.of, chosen.rows) & (variants.cost <= HARDENED.variant_cost)
    assert len(added.weights) == inside.sum() > 0


@pytest.mark.parametrize("share", [0.01, 1.0])
def test_their_weight_is_bounded_and_the_payments_of_an_evasion_share_one(
    world: World, rows: TrainingSet, share: float
) -> None:
    recipe = HARDENED.model_copy(update={"variant_share": share})
    chosen = choose_rows(recipe, rows, walk_forward(world.settings, rows.cut.time_us, recipe.window))
    weights = harden(recipe, rows, chosen, vocabularies_of(rows, chosen.rows, None)).weights
    frauds = chosen.weights[rows.label[chosen.rows] == 1].sum()
    assert weights.sum() <= share * frauds * (1 + 1e-9)
    assert (weights > 0).all()
    if share == 1.0:
        assert rows.variants is not None
        assert weights.sum() == pytest.approx(
            len(np.unique(rows.variants.of[rows.variants.cost <= 0.5])), abs=12
        )


def test_a_hardened_model_stops_evasions_that_the_champion_accepts(world: World, rows: TrainingSet) -> None:
    settings = asking(world.settings, HARDENED)
    (made_,) = train_here({"card": rows}, world.spec, settings, {"card": world.bundle})
    assert isinstance(made_, Challenger)
    assert made_.manifest["rows"]["train_variants"] > 0
    old, new = red_team(world.history, [world.bundle, made_.bundle], frauds=40, black_box=False)
    caught = [one.stopped and other.cost > one.cost + 0.01 for one, other in zip(old, new, strict=True)]
    assert np.mean(caught) > 0.2


def test_without_a_champion_there_is_nothing_to_attack(world: World) -> None:
    plain = training_rows(world.history, "card")
    assert with_variants(plain, world.history, None) is plain
    assert with_variants(plain, world.history, world.bundle) is plain, "no recipe asks for variants"
    full_recipe = world.settings.training.recipes["full"]
    settings = asking(world.settings, full_recipe, HARDENED)
    _, skipped = train_here({"card": plain}, world.spec, settings, {"card": None})
    assert isinstance(skipped, FailedRecipe)
    assert skipped.skipped
    assert "no champion to attack" in skipped.reason
    other = replace(world.bundle, feature_names=("gone", *world.bundle.feature_names[1:]))
    assert with_variants(plain, replace(world.history, settings=settings), other) is plain


def test_a_campaign_that_found_nothing_adds_nothing(world: World, rows: TrainingSet) -> None:
    nothing = variants_of(rows, world.history, [])
    chosen = choose_rows(HARDENED, rows, walk_forward(world.settings, rows.cut.time_us, HARDENED.window))
    added = harden(
        HARDENED, replace(rows, variants=nothing), chosen, vocabularies_of(rows, chosen.rows, None)
    )
    assert added.matrix.shape == (0, len(rows.feature_names) + 1)
    plain = choose_rows(Recipe(kind="full"), rows, walk_forward(world.settings, rows.cut.time_us, 1))
    assert (
        len(harden(Recipe(kind="full"), rows, plain, vocabularies_of(rows, chosen.rows, None)).weights) == 0
    )


@pytest.mark.parametrize("way", ["rising", "falling"])
def test_the_score_goes_one_way_with_a_monotone_feature(world: World, way: str) -> None:
    recipe = Recipe(kind="full", rounds=30, max_depth=4, max_bin=64, monotone={"amount": way})  # type: ignore[dict-item]
    plain = training_rows(world.history, "card")
    (made_,) = train_here({"card": plain}, world.spec, asking(world.settings, recipe), {})
    assert isinstance(made_, Challenger)
    one = matrix_of(plain, np.arange(50), made_.bundle.vocabularies)
    ladder = np.repeat(one, 40, axis=0)
    ladder[:, plain.feature_names.index("amount")] = np.tile(np.geomspace(1, 5_000, 40), 50)
    margins = load_booster(made_.bundle.booster).inplace_predict(
        ladder, predict_type="margin", validate_features=False
    )
    steps = np.diff(margins.reshape(50, 40), axis=1)
    assert (steps >= 0).all() if way == "rising" else (steps <= 0).all()


def test_directions_follow_patterns_and_one_that_matches_nothing_is_refused() -> None:
    names = ("amount", "card_fraud_rate_7d", "merchant_fraud_rate_7d")
    recipe = Recipe(kind="full", monotone={"*_fraud_rate_*": "rising", "amount": "falling"})
    assert directions(recipe, names) == (-1, 1, 1)
    assert directions(Recipe(kind="full"), names) == (0, 0, 0)
    with pytest.raises(ConfigError, match="'device_\\*' matches none"):
        directions(Recipe(kind="full", monotone={"device_*": "rising"}), names)
