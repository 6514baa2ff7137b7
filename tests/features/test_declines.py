"""Declines enter the state when something arrives later: not before, not twice, not unasked."""

from itertools import pairwise
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fraud.features.declines import Decided, Declines
from fraud.features.fold import FeatureFold
from fraud.features.replay import score_decided
from fraud.labels.exclusions import Exclusion, View
from tests.features.making import RULE, SECOND, START, card_spec, read, rows_of

SPEC = card_spec(windows=[{"width": "10s", "hop": "5s"}], aggregates=["declined_count"])
NAME = "card_declined_count_10s"
BOTH = np.array([True, True])


def declined_twice(view: View | None = None) -> FeatureFold:
    fold = FeatureFold(SPEC, RULE, view)
    rows = rows_of((0, 100), (1, 100))
    fold.settle(50)
    fold.score(["a", "b"], rows)
    fold.take_declines(rows, BOTH, 50)
    return fold


def test_a_payment_sees_declines_that_arrived_before_it_and_none_that_arrived_with_it() -> None:
    fold = declined_twice()
    seen = []
    for arrival_us in (50, 51, 51):
        fold.settle(arrival_us)
        seen.append(read(fold.state, NAME, 2))
    assert seen == [0, 2, 2]


def test_a_decline_leaves_with_its_hop_and_counts_no_more_where_the_ring_has_lost_it() -> None:
    fold = declined_twice()
    fold.settle(51)
    assert [read(fold.state, NAME, at) for at in (14.9, 15)] == [2, 0]
    late = declined_twice()
    late.score(
        ["c"], rows_of((15, 100))
    )  # as of the same arrival: hop 0 leaves before its declines are settled
    late.settle(51)
    assert read(late.state, NAME, 15) == 0


def test_declines_that_wait_stand_in_a_snapshot(tmp_path: Path) -> None:
    fold = declined_twice()
    loaded = FeatureFold.load(fold.save(tmp_path), SPEC, RULE)
    assert loaded.equals(fold)
    assert not loaded.equals(FeatureFold(SPEC, RULE))
    loaded.settle(51)
    assert read(loaded.state, NAME, 2) == 2


def test_what_a_view_hides_was_never_declined() -> None:
    hidden = Exclusion("transactions", from_us=START, to_us=START + SECOND)
    fold = declined_twice(View((hidden,)))
    fold.settle(51)
    assert read(fold.state, NAME, 2) == 1


def test_a_fold_that_becomes_another_takes_over_what_waits_there() -> None:
    fold = FeatureFold(SPEC, RULE)
    fold.become(declined_twice())
    fold.settle(51)
    assert read(fold.state, NAME, 2) == 2


def test_without_a_feature_that_counts_them_nothing_is_kept() -> None:
    fold = FeatureFold(card_spec(windows=["1h"], aggregates=["count"]), RULE)
    fold.take_declines(rows_of((0, 100), (1, 100)), BOTH, 50)
    assert fold.declines == Declines()


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=30), st.booleans())
def test_rows_of_a_run_see_the_same_declines_and_runs_are_as_long_as_can_be(
    steps: list[tuple[int, bool]], waiting: bool
) -> None:
    arrivals = np.cumsum([step for step, _ in steps])
    declined = np.array([is_declined for _, is_declined in steps])
    runs = list(Decided(arrivals, declined).runs(waiting=waiting))
    seen = [
        int(np.count_nonzero(declined & (arrivals < arrival))) + (waiting and arrival > arrivals[0])
        for arrival in arrivals
    ]
    changes = [i for i, (before, after) in enumerate(pairwise(seen), 1) if before != after]
    assert runs == list(pairwise([0, *changes, len(steps)]))


def test_logged_rows_cost_one_call_for_each_decline_and_not_for_each_batch() -> None:
    n = 1_000
    rows = rows_of(*[(second, 100) for second in range(n)])
    declined = np.zeros(n, np.bool_)
    declined[[10, 500]] = True
    assert len(list(Decided(rows.event_time_us, declined).runs(waiting=False))) == 3
    features = score_decided(FeatureFold(SPEC, RULE), [""] * n, rows, Decided(rows.event_time_us, declined))
    column = features[:, SPEC.places[NAME]]
    assert column[[10, 11, 19, 500, 501]].tolist() == [0, 1, 1, 0, 1]
    assert column[30:501].max() == 0
