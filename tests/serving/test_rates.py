"""Rate limits: a bucket keeps its promise over any span, and a caller over its limit is told when to come."""

from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraud.errors import RateLimited
from fraud.records import Label, LabelValue
from fraud.serving.rates import Bucket, RateLimits
from fraud.settings.access import Rate, Rates
from tests.serving.authority import NOW_US, Guarded
from tests.serving.worlds import Stream, serving

Asks = list[tuple[int, int]]
asks = st.lists(st.tuples(st.integers(0, 3_000_000), st.integers(1, 50)), min_size=1, max_size=60)
rates = st.floats(0.5, 100.0)
capacities = st.floats(1.0, 30.0)


@given(asks, rates, capacities)
def test_over_any_span_no_more_than_the_limit_goes_through(asks: Asks, rate: float, capacity: float) -> None:
    bucket, now_us, taken = Bucket(rate, capacity), 0, []
    for step_us, n in asks:
        now_us += step_us
        if bucket.take(n, now_us) == 0:
            taken.append((now_us, n))
    for i, (start_us, _) in enumerate(taken):
        through = 0
        for end_us, n in taken[i:]:
            through += n
            # What is larger than the bucket is let through by a full one, and owed.
            allowed = capacity + rate * (end_us - start_us) / 1e6 + max(0.0, n - capacity)
            assert through <= allowed + 1e-6


@given(asks, rates, capacities)
def test_who_waits_as_told_is_let_through_and_a_moment_earlier_is_not(
    asks: Asks, rate: float, capacity: float
) -> None:
    bucket, now_us = Bucket(rate, capacity), 0
    for step_us, n in asks:
        now_us += step_us
        wait_us = bucket.take(n, now_us)
        if wait_us:
            early = Bucket(rate, capacity, bucket.level, bucket.time_us)
            assert early.take(n, now_us + wait_us - 2) > 0 or wait_us <= 2
            assert bucket.take(n, now_us + wait_us + 1) == 0
            now_us += wait_us + 1


def test_time_that_runs_backwards_gives_nothing() -> None:
    bucket = Bucket(1.0, 1.0)
    assert bucket.take(1, 10_000_000) == 0
    assert bucket.take(1, 0) > 0
    assert bucket.take(1, 10_500_000) > 0
    assert bucket.take(1, 11_000_000) == 0


def test_each_identity_has_buckets_of_its_own_and_some_have_limits_of_their_own() -> None:
    limits = RateLimits(Rates(calls_per_second=1, identities={"bulk": Rate(calls_per_second=3)}))
    for name, calls in (("a", 1), ("b", 1), ("bulk", 3)):
        for _ in range(calls):
            limits.take_call(name, 0)
        where = "server.rates.identities.bulk" if name == "bulk" else "server.rates"
        with pytest.raises(RateLimited, match=rf"^{name}: more than {calls} calls a second \({where}\."):
            limits.take_call(name, 0)
    assert not limits.unlimited
    assert RateLimits(Rates()).unlimited


def test_a_caller_over_its_limit_is_told_which_and_when_and_others_go_on(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path)
    for name, role in (("shop", "scorer"), ("other", "scorer"), ("feed", "analyst")):
        guarded.add(name, role)
    limits = {
        "FRAUD__SERVER__RATES__IDENTITIES": (
            '{ shop = { calls_per_second = 0.01, burst = "300s" }, '
            'feed = { rows_per_second = 0.01, burst = "1000s" } }'
        )
    }
    stream = Stream(seed=61)
    with serving(tmp_path, **guarded.environment(**limits)) as process:
        with guarded.as_(process, "shop") as shop, guarded.as_(process, "other") as other:
            for _ in range(3):
                shop.score(stream.next())
            with pytest.raises(RateLimited, match=r"calls_per_second\); try again in \d+\.\d+ s") as caught:
                shop.score(stream.next())
            assert "shop" in str(caught.value)
            for _ in range(5):
                other.score(stream.next())
            with pytest.raises(grpc.RpcError) as raw:
                shop._raw("fraud.v1.AccessService/WhoAmI", stream.next().__class__)(
                    stream.next(), metadata=shop._metadata
                )
            ended: Any = raw.value
            trailing = dict(ended.trailing_metadata())
            assert ended.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert 0 < int(trailing["grpc-retry-pushback-ms"]) <= 100_000
        labels = [Label(f"t-{i}", LabelValue.FRAUD, NOW_US) for i in range(11)]
        with guarded.as_(process, "feed") as feed:
            feed.submit_labels("a", 0, "analyst", "", labels[:10])
            with pytest.raises(RateLimited, match="rows_per_second"):
                feed.submit_labels("b", 0, "analyst", "", labels[10:])
            feed.list_batches()
