"""Payments tried on the state: what the kernel would have logged, and no trace afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.archive.archive import Archive
from fraud.attacks.campaign import Drawn, play, scenes
from fraud.attacks.payment import UNSEEN, Fraud, Payment
from fraud.attacks.rehearsal import Rehearsal
from fraud.attacks.target import Target
from fraud.features.fold import FeatureFold
from fraud.features.rebuild import fold_past
from fraud.features.state import FeatureState
from fraud.records import Entry, Outcome
from tests.attacks.worlds import World, attack


def stranger_of(fraud: Fraud) -> Payment:
    """The fraud's payment at a merchant and by a device that were never seen."""
    return replace(fraud.payment, surrogates=(fraud.payment.surrogates[0], UNSEEN, UNSEEN))


def test_the_fraud_as_it_was_has_the_features_that_were_logged(world: World) -> None:
    for fraud in (world.frauds()[3], world.frauds()[15]):
        rehearsal, _ = world.before(fraud)
        row = world.known.filter(world.known["position"] == fraud.position)
        logged = np.array([row[f"f_{name}"][0] for name in world.spec.names], np.float32)
        np.testing.assert_array_equal(rehearsal.peek([fraud.payment])[0], logged)
        many = rehearsal.peek_amounts([fraud.payment], [np.array([1, fraud.value_minor])])
        np.testing.assert_array_equal(many[1], logged)


def test_what_is_folded_is_seen_by_later_payments_and_taken_back(world: World) -> None:
    fraud = world.frauds()[10]
    rehearsal, fold = world.before(fraud)
    untouched = world.before(fraud)[1]
    payment = fraud.payment
    payments = [payment, stranger_of(fraud), payment]
    with rehearsal.undone(payments):
        seen = rehearsal.fold(payments)
        assert not fold.equals(untouched)
    count = world.spec.places["card_count_1h"]
    assert (np.diff(seen[:, count]) == 1).all()
    assert np.isnan(seen[1, world.spec.places["merchant_mean_1d"]])
    assert fold.equals(untouched)


def test_a_declined_try_is_seen_by_the_next_one_and_taken_back(world: World) -> None:
    fraud = world.frauds()[10]
    rehearsal, fold = world.before(fraud)
    untouched = world.before(fraud)[1]
    tries = [fraud.payment, stranger_of(fraud)]
    declined = world.spec.places["card_declined_count_1h"]
    seen = []
    with rehearsal.undone(tries):
        for payment in [*tries, fraud.payment]:
            seen.append(int(rehearsal.fold([payment])[0, declined]))
            rehearsal.decline()
    assert seen == [0, 1, 2]
    assert fold.equals(untouched)


def test_strangers_of_several_tries_are_taken_back_and_the_next_is_as_new(world: World) -> None:
    fraud = world.frauds()[10]
    rehearsal, fold = world.before(fraud)
    untouched = world.before(fraud)[1].state
    stranger, seen = stranger_of(fraud), []
    for _ in range(2):
        with rehearsal.undone([stranger]):
            for _ in range(3):
                seen.append(int(rehearsal.fold([stranger])[0, world.spec.places["device_count_1d"]]))
                rehearsal.decline()
        for block in ("small", "wide", "marks"):
            np.testing.assert_array_equal(getattr(fold.state, block), getattr(untouched, block))
    assert seen == [0] * 6


def test_a_stranger_is_new_though_a_later_moment_was_set_before(world: World) -> None:
    fraud = world.frauds()[10]
    rehearsal, fold = world.before(fraud)
    stranger = stranger_of(fraud)
    free = fold.state.marks[:-1].tolist()
    known = [
        replace(stranger, surrogates=(stranger.surrogates[0], free[1] + place, free[2] + place))
        for place in range(3)
    ]
    earlier = rehearsal.keep([stranger])
    with rehearsal.undone(known):
        rehearsal.fold(known)
        later = rehearsal.keep(known)
    other = Rehearsal(FeatureState(world.spec))
    for moment in (later, earlier):
        other.set_to(moment)
    with other.undone([stranger]):
        seen = [int(other.fold([stranger])[0, world.spec.places["device_count_1d"]]) for _ in range(3)]
    assert seen == [0] * 3


def test_a_run_of_small_steps_changes_where_it_is_said_to(world: World) -> None:
    place, jumped = world.spec.places["card_steps"], 0
    for fraud in world.frauds(8):
        rehearsal, _ = world.before(fraud)
        amounts = np.arange(1, 60_000)
        runs = rehearsal.peek_amounts([fraud.payment], [amounts])[:, place]
        changes = set(amounts[:-1][np.diff(runs) != 0].tolist())
        assert changes == set(rehearsal.jumps(fraud.payment).tolist()) & set(amounts.tolist())
        jumped += len(changes)
    assert jumped > 4


class _Watching(Target):
    """Keeps what it was shown, and lets everything through."""

    seen: tuple[NDArray[np.float32], Sequence[tuple[str, ...]]]

    def accepts(
        self,
        features: NDArray[np.float32],
        words: Sequence[tuple[str, ...]],
        of: NDArray[np.intp] | None = None,
    ) -> NDArray[np.bool_]:
        assert of is None
        self.seen = features, words
        return np.ones(len(features), np.bool_)


@dataclass
class _AllDeclined:
    """The archive as if all of it had been declined; what stands before a position arrived together."""

    archive: Archive
    position: int

    def transactions(self, upto: int | None = None) -> pl.LazyFrame:
        later = (pl.col("position") >= self.position).cast(pl.Int64)
        declined = pl.lit(int(Outcome.DECLINE), pl.Int32)
        return self.archive.transactions(upto).with_columns(outcome=declined, arrival_time_us=1 + later)

    def feedback(self, after: int, upto: int) -> list[Entry]:
        return self.archive.feedback(after, upto)

    def labelled_coordinates(self) -> dict[str, tuple[tuple[int, ...], int, int]]:
        return self.archive.labelled_coordinates()


def test_a_fraud_meets_every_decline_that_arrived_before_it(world: World) -> None:
    count, target = world.spec.places["card_count_1d"], _Watching(world.bundle, world.spec, world.settings)
    declined, met = world.spec.places["card_declined_count_1d"], 0
    for fraud in world.frauds(8):
        past = _AllDeclined(world.archive, fraud.position)
        for arrival_us, seen in ((1, False), (2, True)):
            met_now = replace(fraud, arrival_us=arrival_us)
            attack(world, [met_now], [target], past=past, black_box=False)
            features, words = target.seen
            assert features[0, declined] == (features[0, count] if seen else 0)
            assert words == [fraud.payment.words]
        met += int(features[0, declined])
    assert met > 4


def test_scenes_that_were_kept_give_what_the_live_fold_gives(world: World) -> None:
    frauds, targets = world.frauds(12), [world.target]
    drawn = Drawn(10, 0.5)
    (live,) = attack(world, frauds, targets, drawn=drawn)
    kept = list(scenes(world.fold(), world.archive, frauds, world.allowed, world.reach, drawn))
    for _ in range(2):  # a second play meets what the first one left behind
        (later,) = play(FeatureState(world.spec), kept, targets, world.allowed)
        assert [(it.stopped, it.cost, it.black) for it in later] == [
            (it.stopped, it.cost, it.black) for it in live
        ]
        for one, other in zip(live, later, strict=True):
            assert (one.best is None) == (other.best is None)
            if one.best is not None and other.best is not None:
                assert one.best.payments == other.best.payments
                np.testing.assert_array_equal(one.best.features, other.best.features)
            assert len(one.ways) == len(other.ways) > 0
    assert sum(it.best is not None for it in live) > 6


def test_a_moment_holds_all_that_its_payments_read(world: World) -> None:
    fraud = world.frauds()[10]
    rehearsal, _ = world.before(fraud)
    payments = [fraud.payment, stranger_of(fraud)]
    empty = Rehearsal(FeatureState(world.spec))
    assert not np.array_equal(empty.peek(payments), rehearsal.peek(payments), equal_nan=True)
    empty.set_to(rehearsal.keep(payments))
    np.testing.assert_array_equal(empty.peek(payments), rehearsal.peek(payments))
    for each in (empty, rehearsal):
        with each.undone(payments):
            each.fold(payments * 2)
    np.testing.assert_array_equal(empty.peek(payments), rehearsal.peek(payments))


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
