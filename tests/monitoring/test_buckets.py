"""A histogram counts alike one by one and in bulk, and like an obvious definition."""

from threading import Thread

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fraud.monitoring.buckets import Buckets

BOUNDS = (0.1, 0.5, 1.0)
values = st.lists(st.one_of(st.sampled_from([0.0, *BOUNDS]), st.floats(0, 2)), max_size=40)


@given(values)
def test_values_are_counted_at_or_below_each_bound(given_values: list[float]) -> None:
    one_by_one, in_bulk = Buckets(BOUNDS), Buckets(BOUNDS)
    for value in given_values:
        one_by_one.observe(value)
    in_bulk.observe_many(np.array(given_values))
    expected = [(bound, sum(value <= bound for value in given_values)) for bound in (*BOUNDS, float("inf"))]
    assert one_by_one.read()[0] == in_bulk.read()[0] == expected
    assert np.isclose(one_by_one.read()[1], sum(given_values))
    assert np.isclose(in_bulk.read()[1], sum(given_values))


def test_no_value_is_lost_between_threads() -> None:
    buckets = Buckets(BOUNDS)

    def write() -> None:
        for _ in range(2_000):
            buckets.observe(0.2)
            buckets.observe_many(np.full(10, 0.7))

    threads = [Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert buckets.read()[0][-1] == (float("inf"), 4 * 2_000 * 11)
