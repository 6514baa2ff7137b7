"""Labels that wait, against plain lists of them."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fraud.features.waiting import _SPARE_ENTRIES, Waiting, WaitingLabels
from fraud.labels.standing import LabelFact
from fraud.records import LabelValue

NAMES = st.sampled_from(["a", "b", "c"])
STEPS = st.one_of(
    st.tuples(st.just("add"), NAMES, st.integers(0, 3)),
    st.tuples(st.just("add"), NAMES, st.integers(0, 3)),
    st.tuples(st.just("take"), NAMES),
    st.tuples(st.just("forget"), st.integers(0, 30)),
    st.tuples(st.just("read")),
)


def fact(i: int) -> LabelFact:
    return LabelFact(LabelValue.FRAUD, "analyst", i, f"b{i}", "ann", i)


@settings(max_examples=300, deadline=None, print_blob=True)
@given(st.lists(STEPS, max_size=30))
def test_what_waits_is_what_came_was_not_taken_and_is_not_too_old(steps: list[Any]) -> None:
    labels = WaitingLabels()
    plain: list[tuple[str, Waiting]] = []
    now_us = 0
    for i, (kind, *given_) in enumerate(steps):
        if kind == "add":
            now_us += given_[1]
            plain.append((given_[0], Waiting(fact(i), now_us)))
            labels.add(*plain[-1])
        elif kind == "take":
            assert labels.take(given_[0]) == [it for name, it in plain if name == given_[0]]
            plain = [(name, it) for name, it in plain if name != given_[0]]
        elif kind == "forget":
            labels.forget_before(now_us - given_[0])
            plain = [(name, it) for name, it in plain if it.since_us in (0, *range(now_us - given_[0], 99))]
        else:
            labels = WaitingLabels.from_notes(labels.to_notes())
        assert len(labels) == len(plain)
        for name in "abc":
            held = [it for other, it in plain if other == name]
            assert (name in labels, list(labels.of(name))) == (bool(held), held)


def test_labels_that_were_taken_leave_a_bounded_trace() -> None:
    labels = WaitingLabels()
    for i in range(10 * _SPARE_ENTRIES):
        labels.add(f"t{i}", Waiting(fact(i), 1 + i))
        labels.take(f"t{i}")
        assert len(labels._by_age) <= _SPARE_ENTRIES + 1
    assert len(labels) == 0
