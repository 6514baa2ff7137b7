"""The rules of time at the head of `fraud/features/hops.py`, one by one."""

import math

from fraud.features.state import FeatureState
from tests.features.making import SECOND, card_spec, read, rows_of, spec_of

TEN = [{"width": "10s", "hop": "5s"}]  # a ring of three hops


def counting() -> FeatureState:
    return FeatureState(card_spec(windows=TEN, aggregates=["count", "sum"], since=["previous", "first"]))


def test_a_window_is_exact_at_the_head_and_rounded_to_a_hop_at_the_tail() -> None:
    state = counting()
    state.score(rows_of((0, 100), (4.9, 100), (5, 100), (14, 100)))
    assert read(state, "card_count_10s", 14) == 4  # from hop floor((14 - 10) / 5) = 0
    assert read(state, "card_count_10s", 14.999999) == 4
    assert read(state, "card_count_10s", 15) == 2  # hop 0 has left
    assert read(state, "card_count_10s", 19.999999) == 2
    assert read(state, "card_count_10s", 20) == 1


def test_an_event_never_sees_itself_but_all_that_stands_earlier_in_the_log() -> None:
    scored = counting().score(rows_of((3, 100), (3, 200), (3, 400)))
    assert scored.features[:, 1].tolist() == [0, 1, 2]
    assert scored.features[:, 2].tolist() == [0, 1, 3]
    assert not scored.is_late.any()


def test_a_late_event_reads_up_to_its_own_hop_and_is_flagged() -> None:
    state = counting()
    state.score(rows_of((1, 100), (6, 100), (9, 100), (12, 100)))
    assert read(state, "card_count_10s", 5.5) == 3  # all of hop 1, none of hop 2
    scored = state.score(rows_of((5.5, 100)))
    assert scored.is_late.tolist() == [True]
    assert read(state, "card_count_10s", 12) == 5


def test_a_late_event_folds_while_the_ring_holds_its_hop_and_not_afterwards() -> None:
    state = counting()
    state.score(rows_of((14.9, 100), (0, 100)))  # hop 0 is the oldest of the three
    assert read(state, "card_count_10s", 14.9) == 2
    state = counting()
    state.score(rows_of((15, 100), (4.9, 100)))  # hop 0 is just gone
    assert read(state, "card_count_10s", 15) == 1
    assert math.isclose(read(state, "card_age_s", 15), 10.1, rel_tol=1e-6)


def test_a_late_event_behind_the_ring_still_counts_as_a_distinct_value_within_its_window() -> None:
    spec = spec_of({"card": {"windows": TEN, "distinct": ["shop"]}, "shop": {}})
    state = FeatureState(spec)
    state.score(rows_of((30, 100, (0, 1)), (2, 100, (0, 2))))
    assert read(state, "card_distinct_shop_10s", 30) < 1.5
    assert read(state, "card_distinct_shop_10s", 2) > 1.5


def test_only_the_own_newest_event_evicts_hops() -> None:
    state = FeatureState(spec_of({"card": {"windows": TEN, "aggregates": ["count"]}, "shop": {}}))
    state.score(rows_of((0, 100, (0, 0)), (1_000, 100, (1, 0))))
    assert read(state, "card_count_10s", 3, who=0) == 1
    assert read(state, "card_count_10s", 1_000, who=0) == 0


def test_time_since_previous_and_age_are_nan_where_the_event_is_older() -> None:
    state = counting()
    assert math.isnan(read(state, "card_since_previous_s", 0))
    assert math.isnan(read(state, "card_age_s", 0))
    state.score(rows_of((10, 100), (20, 100)))
    assert read(state, "card_since_previous_s", 20) == 0
    assert read(state, "card_since_previous_s", 22.5) == 2.5
    assert math.isnan(read(state, "card_since_previous_s", 19.9))
    assert read(state, "card_age_s", 19.5) == 9.5
    assert read(state, "card_age_s", 10) == 0
    assert math.isnan(read(state, "card_age_s", 9.9))


def test_an_age_stops_growing_at_its_maximum() -> None:
    state = FeatureState(spec_of({"card": {"since": ["first"]}}, age_max_us=20 * SECOND))
    state.score(rows_of((10, 100)))
    assert [read(state, "card_age_s", at) for at in (29.5, 30, 31, 10_000)] == [19.5, 20, 20, 20]
    assert math.isnan(read(state, "card_age_s", 9.9))


def test_a_fraud_rate_looks_only_where_the_delay_has_passed() -> None:
    rate = {"width": "10s", "delay": "10s", "hop": "5s"}
    state = FeatureState(card_spec(fraud_rates=[rate]))
    rows = rows_of((0, 100), (4, 100), (5, 100), (10, 100))
    state.score(rows)
    state.relabel(rows.surrogates[:1], rows.event_time_us[:1], rows.amount_minor[:1] // 100)
    name = "card_fraud_rate_10s_delay_10s"
    assert math.isnan(read(state, name, 14.9))  # ends before hop 0
    assert read(state, name, 15) == 0.5  # hop 0 alone
    assert read(state, name, 20) == read(state, name, 24.9) == 0.33333334326744080  # hops 0 and 1
    assert read(state, name, 25) == 0  # hops 1 and 2
    assert math.isnan(read(state, name, 35))


def test_relabelling_and_back_restores_the_state_exactly_and_stops_at_the_ring() -> None:
    spec = card_spec(fraud_rates=[{"width": "10s", "delay": "10s", "hop": "5s"}])  # five hops
    state, untouched = FeatureState(spec), FeatureState(spec)
    rows = rows_of((0, 100), (21, 100), (24.9, 100))
    one = rows.amount_minor[:1] // 100
    for each in (state, untouched):
        each.score(rows)
    state.relabel(rows.surrogates[:1], rows.event_time_us[:1], one)
    assert not state.equals(untouched)
    state.relabel(rows.surrogates[:1], rows.event_time_us[:1], -one)
    assert state.equals(untouched)
    for each in (state, untouched):
        each.score(rows_of((25, 100)))  # hop 5: hop 0 leaves the ring
    state.relabel(rows.surrogates[:1], rows.event_time_us[:1], one)
    assert state.equals(untouched)


def test_peeking_changes_nothing_and_rows_do_not_see_each_other() -> None:
    state, untouched = counting(), counting()
    for each in (state, untouched):
        each.score(rows_of((0, 100)))
    peeked = state.peek(rows_of((1, 100), (1, 100), (1, 100, (5,))))
    assert peeked.features[:, 1].tolist() == [1, 1, 0]
    assert peeked.is_new[:, 0].tolist() == [False, False, True]
    assert state.equals(untouched)
    assert state.newest_us == untouched.newest_us
