"""Nobody gets more than his share while others wait, and everything while nobody does."""

from collections import Counter
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from fraud.serving.fairness import EARNED_MAX_S, HOLD, QUANTUM, FairQueue, TimeShare, room


@dataclass(frozen=True)
class Call:
    caller: str
    number: int
    rows: int


def queued(sizes: dict[str, list[int]]) -> FairQueue[Call]:
    queue: FairQueue[Call] = FairQueue()
    for caller, rows in sizes.items():
        for number, size in enumerate(rows):
            queue.put(caller, Call(caller, number, size))
    return queue


sizes = st.dictionaries(
    st.sampled_from("abcde"), st.lists(st.integers(1, 300), min_size=1, max_size=60), min_size=1
)


@given(sizes=sizes, rows_max=st.integers(1, 600))
@settings(max_examples=200, deadline=None)
def test_everything_is_taken_once_and_each_caller_in_his_order(
    sizes: dict[str, list[int]], rows_max: int
) -> None:
    queue = queued(sizes)
    taken: list[Call] = []
    while queue:
        batch = queue.take(rows_max)
        assert batch
        assert sum(call.rows for call in batch[:-1]) < rows_max
        taken += batch
    for caller, rows in sizes.items():
        mine = [call for call in taken if call.caller == caller]
        assert [(call.number, call.rows) for call in mine] == list(enumerate(rows))
    assert len(taken) == sum(map(len, sizes.values()))
    assert queue.take(rows_max) == []


@given(sizes=sizes, rows_max=st.integers(1, 600))
@settings(max_examples=200, deadline=None)
def test_callers_who_all_wait_are_served_alike(sizes: dict[str, list[int]], rows_max: int) -> None:
    queue = queued(sizes)
    left = {caller: sum(rows) for caller, rows in sizes.items()}
    served: Counter[str] = Counter()
    largest = max(max(rows) for rows in sizes.values())
    while all(left.values()) and queue:
        for call in queue.take(rows_max):
            served[call.caller] += call.rows
            left[call.caller] -= call.rows
            if not left[call.caller]:
                break
        if all(left.values()):
            counts = [served[caller] for caller in sizes]
            assert max(counts) - min(counts) <= QUANTUM + 2 * largest


def test_one_caller_alone_is_served_in_order_and_at_once() -> None:
    queue = queued({"a": [1] * 1_000})
    assert [call.number for call in queue.take(512)] == list(range(512))


def test_a_latecomer_is_not_behind_the_flood() -> None:
    queue = queued({"flood": [1] * 10_000})
    queue.take(512)
    queue.put("late", Call("late", 0, 1))
    assert "late" in {call.caller for call in queue.take(512)}


@given(steps=st.lists(st.integers(0, 20), min_size=1, max_size=3), held_max=st.integers(1_000, 3_000))
@settings(max_examples=200, deadline=None)
def test_a_queue_never_holds_more_than_it_may_and_floods_leave_room(steps: list[int], held_max: int) -> None:
    holders = [0] * len(steps)
    for _ in range(200):
        for i, wanted in enumerate(steps):
            holders[i] += min(wanted, room(holders[i], sum(holders), held_max))
        assert sum(holders) <= held_max
    assert room(0, sum(holders), held_max) >= held_max / (HOLD + 1) ** len(steps) - len(steps)


@given(
    share=st.floats(0.05, 0.9),
    score_s=st.floats(1e-4, 0.1),
    feed_s=st.floats(1e-4, 0.5),
    n=st.integers(1, 400),
)
@settings(max_examples=200, deadline=None)
def test_labels_take_their_share_and_no_more_while_scores_wait(
    share: float, score_s: float, feed_s: float, n: int
) -> None:
    time_share = TimeShare(share)
    scored = fed = 0.0
    for _ in range(n):
        scored += score_s
        time_share.earn(score_s)
        while time_share.due:
            fed += feed_s
            time_share.spend(feed_s)
        assert fed <= (scored + fed) * share + feed_s + 1e-9
    capped = score_s * share / (1 - share) > EARNED_MAX_S
    if not capped:
        assert fed >= scored * share / (1 - share) - max(feed_s, EARNED_MAX_S) - 1e-9
