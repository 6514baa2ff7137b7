"""The evasion guard in a verdict: off by default, and a challenger that accepts everything fails it."""

from dataclasses import replace

import numpy as np
import pytest

from fraud.bundle.boosting import xgb
from fraud.bundle.bundle import Bundle
from fraud.bundle.store import BundleStore
from fraud.clock import DAY_US
from fraud.gate.verdict import judge
from fraud.registry.store import LedgerStore
from fraud.registry.version import VersionState
from fraud.retrainer.casework import Casework, Rival
from fraud.retrainer.evading import Evading
from fraud.training.history import History
from tests.attacks.worlds import DAYS, MERCHANTS, START_US, World, made


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world whose frauds are at any merchant, so that each card's are a ring of their own."""
    return made(tmp_path_factory.mktemp("apart"), fraud_merchants=MERCHANTS)


def with_gate(world: World, **update: object) -> History:
    attacks = world.settings.attacks.model_copy(update={"gate": True, "gate_frauds": 40, **update})
    return replace(world.history, settings=world.settings.model_copy(update={"attacks": attacks}))


def test_it_is_off_unless_asked_for_and_needs_a_champion(world: World) -> None:
    assert Evading(world.history).checks(world.bundle, world.bundle, START_US) == ()
    assert Evading(with_gate(world)).checks(world.bundle, None, START_US) == ()


def test_a_champion_against_itself_differs_in_nothing_and_a_lax_challenger_fails(apart: World) -> None:
    champion = unseeing(apart.bundle)
    (same,) = Evading(with_gate(apart)).checks(champion, champion, START_US)
    assert (same.value, same.passed) == (0, True)
    cheap = with_gate(apart, gate_cost=0.01)
    evading = Evading(cheap)
    (worse,) = evading.checks(lax(champion), champion, START_US)
    assert worse.passed is False
    (better,) = evading.checks(champion, lax(champion), START_US)
    assert better.passed is True
    assert better.value == -(worse.value or 0)
    (alone,) = Evading(cheap).checks(lax(champion), champion, START_US)
    assert alone == worse, "what challengers share changes no verdict"


def test_frauds_at_few_merchants_are_few_rings_and_prove_nothing(world: World) -> None:
    champion = unseeing(world.bundle)
    (check,) = Evading(with_gate(world, gate_cost=0.01)).checks(lax(champion), champion, START_US)
    assert (check.value or 0) > 0.3
    assert check.passed is None
    assert "they are of 1 rings" in check.reason


def test_frauds_that_one_side_may_have_learned_from_attack_nobody(apart: World) -> None:
    history, champion = with_gate(apart), unseeing(apart.bundle)
    (check,) = Evading(history).checks(champion, champion, START_US)
    assert "of 40 frauds" in check.reason
    from_us = apart.known["event_time_us"].sort()[-12]
    late = unseeing(apart.bundle, from_us)
    for challenger, other in ((late, champion), (champion, late)):
        (few,) = Evading(history).checks(challenger, other, START_US)
        assert "of 12 frauds" in few.reason
        assert few.passed is None


def test_each_fraud_attacks_the_booster_that_was_fitted_without_its_fold(apart: World) -> None:
    history, champion = with_gate(apart, gate_cost=0.01), unseeing(apart.bundle)
    sees, sees_nothing = champion.booster, blind(champion)

    def worse(*folds: bytes) -> float:
        (check,) = Evading(history).checks(dealt(champion, folds), champion, START_US)
        assert "of 40 frauds" in check.reason, "all of them taught what is served"
        return check.value or 0

    most = worse(sees_nothing, sees_nothing)
    assert worse(sees, sees) == 0, "what serves is blind, and nobody attacks it"
    first, second = worse(sees_nothing, sees), worse(sees, sees_nothing)
    assert min(first, second) > 0.1
    assert first + second == pytest.approx(most)
    (mirrored,) = Evading(history).checks(champion, dealt(champion, (sees_nothing,) * 2), START_US)
    assert mirrored.value == -most, "a champion with folds is attacked in the same way"


def test_behind_the_cut_what_serves_is_attacked_though_there_are_folds(apart: World) -> None:
    history, champion = with_gate(apart, gate_cost=0.01), unseeing(apart.bundle)
    sees, sees_nothing = champion.booster, blind(champion)
    behind, before = dealt(champion, (sees, sees), START_US), dealt(champion, (sees_nothing,) * 2)
    (serves,) = Evading(history).checks(behind, champion, START_US)
    (judges,) = Evading(history).checks(before, champion, START_US)
    assert serves.value == judges.value


def dealt(bundle: Bundle, folds: tuple[bytes, ...], until_us: int = START_US + DAYS * DAY_US) -> Bundle:
    """The version with folds of the cards, whose served booster, fitted on all until a moment, is blind."""
    manifest = {
        **bundle.manifest,
        "apart": {"entity": "card", "share": 1.0, "folds": len(folds)},
        "fitted": {"until_us": START_US, "others_until_us": until_us},
    }
    return replace(bundle, booster=blind(bundle), folds=folds, manifest=manifest)


def blind(bundle: Bundle) -> bytes:
    """A booster that takes every payment for legitimate."""
    matrix = np.zeros((4, len(bundle.column_names)), np.float32)
    rows = xgb.DMatrix(matrix, np.zeros(4), feature_types=list(bundle.feature_types))
    fitted = xgb.train({"objective": "binary:logistic", "base_score": 1e-6}, rows, 1)
    return bytes(fitted.save_raw("ubj"))


def lax(bundle: Bundle) -> Bundle:
    """A review threshold so high that most frauds need no evasion."""
    return replace(bundle, thresholds=replace(bundle.thresholds, review=0.999, decline=None))


def unseeing(bundle: Bundle, from_us: int = START_US) -> Bundle:
    """The bundle as if it had been made of what happened before a moment."""
    spans = {**bundle.manifest["spans"], "evidence_us": [from_us, from_us]}
    fitted = {"until_us": from_us, "others_until_us": from_us}
    return replace(bundle, manifest={**bundle.manifest, "spans": spans, "fitted": fitted})


def test_it_is_a_hard_guard_in_the_case(world: World) -> None:

    places = world.settings.places
    ledger = LedgerStore.open(places.ledger, writable=False)
    state: VersionState = ledger.state().version("card-1")
    ledger.close()
    rival = Rival(state, world.bundle)
    case = Casework(with_gate(world), BundleStore(places.bundles)).case(rival, rival)
    row = judge(case, world.settings.gate).check("evasion")
    assert row.bound == world.settings.attacks.gate_margin
    plain = Casework(world.history, BundleStore(places.bundles)).case(rival, rival)
    assert plain.extra_checks == ()
