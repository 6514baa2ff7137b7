"""Payments tried on the state: what the kernel would have logged, and no trace afterwards."""

from dataclasses import replace

import numpy as np

from fraud.attacks.payment import UNSEEN
from fraud.features.fold import FeatureFold
from fraud.features.rebuild import fold_past
from tests.attacks.worlds import World


def test_the_fraud_as_it_was_has_the_features_that_were_logged(world: World) -> None:
    for fraud in (world.frauds()[3], world.frauds()[15]):
        rehearsal, _ = world.before(fraud)
        row = world.known.filter(world.known["position"] == fraud.position)
        logged = np.array([row[f"f_{name}"][0] for name in world.spec.names], np.float32)
        np.testing.assert_array_equal(rehearsal.peek([fraud.payment])[0], logged)
        many = rehearsal.peek_amounts(fraud.payment, np.array([1, fraud.value_minor]))
        np.testing.assert_array_equal(many[1], logged)


def test_what_is_folded_is_seen_by_later_payments_and_taken_back(world: World) -> None:
    fraud = world.frauds()[10]
    rehearsal, fold = world.before(fraud)
    untouched = world.before(fraud)[1]
    payment = fraud.payment
    stranger = replace(payment, surrogates=(payment.surrogates[0], UNSEEN, UNSEEN))
    payments = [payment, stranger, payment]
    with rehearsal.undone(payments):
        seen = rehearsal.fold(payments)
        assert not fold.equals(untouched)
    count = world.spec.places["card_count_1h"]
    assert (np.diff(seen[:, count]) == 1).all()
    assert np.isnan(seen[1, world.spec.places["merchant_mean_1d"]])
    assert fold.equals(untouched)


def test_a_fold_that_pauses_ends_as_one_that_does_not(world: World) -> None:
    pauses = [1, *(fraud.position for fraud in world.frauds(7)), world.archive.position()]
    paused, straight = world.fold(), world.fold()
    seen: list[int] = []
    parts = []
    for part in fold_past(paused, world.archive, world.archive.position(), pauses):
        seen.append(paused.position)
        parts.append(part)
    assert set(pauses) <= {position + 1 for position in seen}
    whole = list(fold_past(straight, world.archive, world.archive.position()))
    assert paused.equals(straight)
    assert isinstance(paused, FeatureFold)
    for name in ("positions", "features"):
        mine, theirs = (np.concatenate([getattr(part, name) for part in each]) for each in (parts, whole))
        np.testing.assert_array_equal(mine, theirs)
