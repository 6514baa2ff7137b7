"""The evasion guard in a verdict: off by default, and a challenger that accepts everything fails it."""

from dataclasses import replace

from fraud.bundle.store import BundleStore
from fraud.gate.verdict import judge
from fraud.registry.store import LedgerStore
from fraud.registry.version import VersionState
from fraud.retrainer.casework import Casework, Rival
from fraud.retrainer.evading import evasion_checks
from fraud.training.history import History
from tests.attacks.worlds import START_US, World


def with_gate(world: World, **update: object) -> History:
    attacks = world.settings.attacks.model_copy(update={"gate": True, "gate_frauds": 40, **update})
    return replace(world.history, settings=world.settings.model_copy(update={"attacks": attacks}))


def test_it_is_off_unless_asked_for_and_needs_a_champion(world: World) -> None:
    assert evasion_checks(world.history, world.bundle, world.bundle, START_US) == ()
    assert evasion_checks(with_gate(world), world.bundle, None, START_US) == ()


def test_a_champion_against_itself_differs_in_nothing_and_a_lax_challenger_fails(world: World) -> None:
    history = with_gate(world)
    (same,) = evasion_checks(history, world.bundle, world.bundle, START_US)
    assert (same.value, same.passed) == (0, True)
    # A review threshold so high that most frauds need no evasion.
    lax = replace(world.bundle, thresholds=replace(world.bundle.thresholds, review=0.999, decline=None))
    cheap = with_gate(world, gate_cost=0.01)
    (worse,) = evasion_checks(cheap, lax, world.bundle, START_US)
    assert worse.passed is False
    (better,) = evasion_checks(cheap, world.bundle, lax, START_US)
    assert better.passed is True
    assert better.value == -(worse.value or 0)


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
