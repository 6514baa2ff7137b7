"""Trees in hand: amounts that stand for all others, and an evasion that the bundle accepts."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from fraud.attacks.payment import Capabilities, Choice, Fraud
from fraud.attacks.rehearsal import Rehearsal
from fraud.attacks.target import Target
from fraud.attacks.whitebox import cheapest, steps
from tests.attacks.worlds import World, attack


def test_the_steps_of_an_amount_miss_no_answer_of_the_trees(world: World) -> None:
    for fraud in world.frauds(4):
        rehearsal, _ = world.before(fraud)
        least, most = max(1, fraud.value_minor - 3_000), fraud.value_minor
        every = np.arange(least, most + 1)
        words = [fraud.payment.words] * len(every)
        margins = world.target.margins(rehearsal.peek_amounts([fraud.payment], [every]), words)
        (chosen,) = steps(world.target, rehearsal, [fraud.payment], least, most)
        changes = every[:-1][np.diff(margins) != 0]
        assert set(changes.tolist()) <= set(chosen.tolist()), "the last amount before each change"
        assert len(chosen) < len(every) / 3


def test_an_evasion_is_accepted_and_costs_what_is_changed_and_given_up(world: World) -> None:
    found = 0
    for fraud in world.frauds(6):
        rehearsal, _ = world.before(fraud)
        if world.target.accepts(rehearsal.peek([fraud.payment]), [fraud.payment.words])[0]:
            continue
        choices = world.allowed.choices(fraud, world.reach, seed=1)
        evasion = cheapest(world.target, rehearsal, fraud, choices, world.allowed)
        if evasion is None:
            continue
        found += 1
        with rehearsal.undone(evasion.payments):
            features = rehearsal.fold(evasion.payments)
        np.testing.assert_array_equal(features, evasion.features)
        assert world.target.accepts(features, [each.words for each in evasion.payments]).all()
        assert evasion.cost >= 1 - evasion.taken_minor / fraud.value_minor
        assert evasion.changed
    assert found >= 2


def test_one_payment_costs_what_a_look_at_every_amount_finds(world: World) -> None:
    found = 0
    for fraud in [each for each in world.frauds(60) if 8_000 < each.value_minor < 13_000][:6]:
        rehearsal, _ = world.before(fraud)
        choices = bound_to(world, 16).choices(fraud, world.reach, seed=1)[:4]
        costs = [least_cost(world, rehearsal, fraud, choice) for choice in choices]
        evasion = cheapest(world.target, rehearsal, fraud, choices, bound_to(world, 1_000_000))
        assert (np.inf if evasion is None else evasion.cost) == min(costs)
        found += evasion is not None
        for choice, cost in zip(choices, costs, strict=True):
            # Eight amounts of each may all be stopped, and none is left to be looked at above one accepted.
            evasion = cheapest(world.target, rehearsal, fraud, [choice] * 2, bound_to(world, 16))
            assert evasion is None or evasion.cost >= cost
    assert found > 2


class _Counting(Target):
    """Counts the payments that it is asked about."""

    asked = 0

    def outcomes(
        self,
        features: NDArray[np.float32],
        words: Sequence[tuple[str, ...]],
        of: NDArray[np.intp] | None = None,
    ) -> NDArray[np.int64]:
        self.asked += len(features)
        return super().outcomes(features, words, of)


@pytest.mark.parametrize("combinations", [64, 512, 4_096])
def test_a_bundle_is_asked_about_so_many_single_payments_at_most(world: World, combinations: int) -> None:
    update: dict[str, object] = {"split": None, "combinations": combinations}
    attacks = world.settings.attacks.model_copy(update=update)
    allowed = Capabilities(world.settings.model_copy(update={"attacks": attacks}))
    asked = []
    for fraud in world.frauds(12):
        rehearsal, _ = world.before(fraud)
        target = _Counting(world.bundle, world.spec, world.settings)
        cheapest(target, rehearsal, fraud, allowed.choices(fraud, world.reach, seed=1), allowed)
        asked.append(target.asked)
    assert max(asked) <= combinations
    if combinations < 4_096:
        assert max(asked) > 0.9 * combinations, "who has not found a cheap one uses what there is"


def bound_to(world: World, combinations: int) -> Capabilities:
    """Whoever keeps merchant and device, pays once, and looks at so many payments."""
    alone: dict[str, object] = {"split": None, "entities": {}, "combinations": combinations}
    attacks = world.settings.attacks.model_copy(update=alone)
    return Capabilities(world.settings.model_copy(update={"attacks": attacks}))


def least_cost(world: World, rehearsal: Rehearsal, fraud: Fraud, choice: Choice) -> float:
    """What the greatest amount costs that is accepted, of all that there are."""
    least, most = world.allowed.amounts(fraud)
    amounts = np.arange(least, most + 1)
    features = rehearsal.peek_amounts([choice.payment], [amounts])
    good = amounts[world.target.accepts(features, [choice.payment.words] * len(amounts))]
    return choice.cost + (1 - int(good[-1]) / fraud.value_minor) if len(good) else np.inf


def test_who_controls_more_never_pays_more(world: World) -> None:
    settings = world.settings
    poorer = settings.attacks.model_copy(update={"entities": {}, "categorical": {}, "split": None})
    stiff = Capabilities(settings.model_copy(update={"attacks": poorer}))
    plenty = settings.attacks.model_copy(update={"combinations": 100_000})
    free = Capabilities(settings.model_copy(update={"attacks": plenty}))
    results = [
        attack(
            world,
            world.frauds(8),
            [world.target],
            allowed,
            black_box=False,
        )
        for allowed in (stiff, free)
    ]
    for less, more in zip(*(each[0] for each in results), strict=True):
        assert less.stopped == more.stopped
        assert more.cost <= less.cost + 1e-12


def test_a_bundle_that_stops_all_or_nothing_is_evaded_never_or_needs_no_evasion(world: World) -> None:
    shut = replace(world.bundle.thresholds, challenge=0.0, review=0.0, decline=0.0)
    open_ = replace(world.bundle.thresholds, challenge=None, review=None, decline=None)
    for thresholds, stopped in ((shut, True), (open_, False)):
        target = type(world.target)(replace(world.bundle, thresholds=thresholds), world.spec, world.settings)
        (results,) = attack(
            world,
            world.frauds(4),
            [target],
            world.allowed,
        )
        for result in results:
            assert (result.stopped, result.white) == (stopped, None)
            assert result.cost == (float("inf") if stopped else 0)
            assert result.black is not None
            assert result.black.first == (None if stopped else 1)
            assert stopped or result.black.taken_minor == result.fraud.value_minor
