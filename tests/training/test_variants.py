"""The hardened recipe: evasions of training frauds as rows, bounded in cost and weight; monotone features."""

from dataclasses import replace

import numpy as np
import pytest

from fraud.bundle.boosting import load_booster
from fraud.clock import DAY_US
from fraud.errors import ConfigError
from fraud.features.encoding import Vocabulary
from fraud.settings import Settings
from fraud.settings.learning import Fresh, Recipe
from fraud.training.challengers import Challenger, FailedRecipe, train_here
from fraud.training.dataset import TrainingSet, training_rows
from fraud.training.hardening import PER_FRAUD, Hardening, Repertoire, attacked, hardened, repertoire
from fraud.training.recipes import ChosenRows, choose_rows, directions, matrix_of, vocabularies_of
from fraud.training.redteam import red_team
from fraud.training.splits import walk_forward
from fraud.training.variants import variants_of, with_variants
from tests.attacks.worlds import DAYS, World, made

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


def test_variants_are_evasions_and_other_ways_of_frauds_before_the_end_of_training(
    world: World, rows: TrainingSet
) -> None:
    variants = rows.variants
    assert variants is not None
    assert (rows.label[variants.of] == 1).all()
    assert variants.evades.sum() > 15
    assert (~variants.evades).sum() > 500
    accepted = world.target.accepts(variants.features, variants.words)
    assert accepted[variants.evades].all()
    assert not accepted[~variants.evades].all(), "what is drawn asks nobody"
    whole = np.unique(variants.attempt, return_index=True)[1]
    assert np.array_equal(variants.attempt, np.repeat(variants.attempt[whole], np.bincount(variants.attempt)))
    ways = repertoire(HARDENED, rows, chosen_by(world, rows, HARDENED), vocabularies(rows))
    kept = variants.cost <= HARDENED.variant_cost
    assert 0 < len(ways.weights) == (np.isin(variants.of, chosen_by(world, rows, HARDENED).rows) & kept).sum()


@pytest.mark.parametrize("fresh", [None, Fresh(apart=0.3)])
def test_a_champion_is_attacked_with_frauds_that_may_teach_and_no_others(
    world: World, fresh: Fresh | None
) -> None:
    recipe = HARDENED.model_copy(update={"variant_ways": 1, "variant_cost": 10.0})
    settings = asking(world.settings, recipe)
    # Half of the frauds judge or have not matured, so that attacks on them would be half of all.
    training = settings.training.model_copy(update={"fresh": fresh, "evidence": DAYS * DAY_US // 4})
    labels = settings.labels.model_copy(update={"maturity": DAYS * DAY_US // 4})
    settings = settings.model_copy(update={"training": training, "labels": labels})
    history = replace(world.history, settings=settings)
    rows = training_rows(history, "card")
    spans = walk_forward(settings, rows.cut.time_us, recipe.window)
    taught = np.flatnonzero(spans.teaches(rows.event_time_us, rows.held) & (rows.label == 1))
    assert len(taught) > recipe.variant_frauds
    variants = with_variants(rows, history, world.bundle).variants
    assert variants is not None
    attacked = np.unique(variants.of)
    assert set(attacked.tolist()) <= set(taught.tolist())
    assert len(attacked) > 0.8 * recipe.variant_frauds
    young = rows.event_time_us[attacked] >= spans.evidence.end_us
    assert young.any() == (fresh is not None), "verdicts of cards that do not judge teach up to the cut"


def test_a_recipe_takes_its_own_variants_whatever_another_asks_for(world: World, rows: TrainingSet) -> None:
    few = HARDENED.model_copy(update={"variant_frauds": 12, "variant_ways": 5})
    short = HARDENED.model_copy(update={"window": few.window // 4, "variant_frauds": 20, "variant_ways": 5})
    greedy = HARDENED.model_copy(update={"variant_ways": 20})
    assert recipes_of(world, rows, few, greedy)[0] == recipes_of(world, rows, few)[0]
    alone, beside = recipes_of(world, rows, short)[0], recipes_of(world, rows, short, greedy)[0]
    assert alone == beside, "frauds of a short window are not fewer beside those of a long one"
    assert len({fraud for fraud, _, _ in alone}) > 10
    assert recipes_of(world, rows, few, greedy)[1] == recipes_of(world, rows, greedy)[0]


def recipes_of(world: World, rows: TrainingSet, *recipes: Recipe) -> list[list[tuple[int, float, float]]]:
    """What each of the recipes may add of drawn ways when they are trained together: fraud, cost and weight.

    What a prober finds hangs on whom it probed before, so evasions are left out.
    """
    named = {f"hardened {place}": recipe for place, recipe in enumerate(recipes)}
    training = world.settings.training.model_copy(update={"recipes": named})
    settings = world.settings.model_copy(update={"training": training})
    together = with_variants(rows, replace(world.history, settings=settings), world.bundle)
    found = []
    for recipe in recipes:
        ways = repertoire(recipe, together, chosen_by(world, together, recipe), vocabularies(together))
        drawn = [it[~ways.evades].tolist() for it in (ways.of, ways.cost, ways.weights)]
        found.append(list(zip(*drawn, strict=True)))
    return found


def test_a_booster_without_a_fold_takes_the_same_variants_but_for_its_fold(rows: TrainingSet) -> None:
    few = HARDENED.model_copy(update={"variant_frauds": 30})
    taught = np.flatnonzero(rows.label == 1)
    assert len(taught) > 60
    all_of_them = attacked(few, rows, taught)
    kept = taught[taught % 3 != 0]
    assert set(all_of_them[all_of_them % 3 != 0]) <= set(attacked(few, rows, kept))


@pytest.mark.parametrize("share", [0.01, 4.0])
def test_their_weight_is_bounded_and_the_payments_of_an_attempt_share_one(
    world: World, rows: TrainingSet, share: float
) -> None:
    recipe = HARDENED.model_copy(update={"variant_share": share, "variant_weight": 2.0})
    chosen = chosen_by(world, rows, recipe)
    ways = repertoire(recipe, rows, chosen, vocabularies(rows))
    weights = ways.hardening(ways.evades).weights
    frauds = chosen.weights[rows.label[chosen.rows] == 1].sum()
    assert weights.sum() <= share * frauds * (1 + 1e-9)
    assert (weights > 0).all()
    if share == 4.0:
        np.testing.assert_allclose(np.bincount(ways.group, weights=ways.weights), 2.0)


def test_an_attempt_passes_when_no_payment_of_it_is_stopped() -> None:
    ways = repertoire_of([0, 0, 1, 1, 2], [False] * 5)
    stopped = np.array([False, True, False, False, False])
    assert ways.passing(stopped).tolist() == [False, False, True, True, True]


def test_of_each_fraud_the_cheapest_are_taken_and_whole() -> None:
    ways = repertoire_of([0, 1, 2, 3, 3, 4], [False] * 6, of=[7, 7, 7, 7, 7, 9])
    among = np.array([True, True, False, True, True, True])
    assert PER_FRAUD == 2
    assert ways.cheapest(among).tolist() == [False, True, False, True, True, True]
    assert not ways.cheapest(np.zeros(6, np.bool_)).any()


def test_each_fit_has_what_passed_all_before_it_and_the_last_round_is_bounded() -> None:
    ways = repertoire_of([0, 1, 2, 3], [True, False, False, False])
    seen: list[list[float]] = []

    def fit_with(added: Hardening) -> bytes:
        seen.append(added.matrix[:, 0].tolist())
        return bytes([len(seen)])

    def stopped_by(booster: bytes, matrix: np.ndarray) -> np.ndarray:
        return np.asarray(matrix[:, 0] != booster[0], np.bool_)

    assert hardened(ways, 2, fit_with, stopped_by)[0] == b"\x03"
    assert seen == [[0.0], [0.0, 1.0], [0.0, 1.0, 2.0]]
    seen.clear()
    booster, added = hardened(ways, 8, fit_with, stopped_by)
    assert (booster, len(seen)) == (b"\x04", 4), "it ends when nothing new gets past"
    assert added.matrix[:, 0].tolist() == [0.0, 1.0, 2.0, 3.0]


def repertoire_of(group: list[int], evades: list[bool], of: list[int] | None = None) -> Repertoire:
    """Rows that hold their own number, one fraud's weight each; what comes later is cheaper."""
    n = len(group)
    matrix = np.arange(n, dtype=np.float32)[:, None]
    return Repertoire(
        matrix,
        np.array(group),
        np.array(of or group),
        np.arange(n, 0.0, -1),
        np.ones(n),
        np.array(evades),
        float(n),
    )


def chosen_by(world: World, rows: TrainingSet, recipe: Recipe) -> ChosenRows:
    return choose_rows(recipe, rows, walk_forward(world.settings, rows.cut.time_us, recipe.window))


def vocabularies(rows: TrainingSet) -> tuple[Vocabulary, ...]:
    return vocabularies_of(rows, np.arange(len(rows)), None)


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
    defined = {**world.bundle.feature_definitions, "amount": "in cents"}
    meant = replace(world.bundle, manifest={**world.bundle.manifest, "feature_definitions": defined})
    assert with_variants(plain, replace(world.history, settings=settings), meant) is plain


def test_a_campaign_that_found_nothing_adds_nothing(world: World, rows: TrainingSet) -> None:
    nothing = replace(rows, variants=variants_of(rows, world.history, []))
    for recipe, of in ((HARDENED, nothing), (Recipe(kind="full"), rows)):
        ways = repertoire(recipe, of, chosen_by(world, of, recipe), vocabularies(of))
        added = ways.hardening(ways.evades)
        assert (added.matrix.shape, len(added.weights)) == ((0, len(rows.feature_names) + 1), 0)


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
