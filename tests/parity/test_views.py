"""Exclusions and retractions anywhere in a log: online = replay = oracle, and as if it had never been."""

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fraud.features.fold import FeatureFold
from fraud.features.replay import replay, replay_columns
from fraud.features.spec import FeatureSpec
from fraud.labels.exclusions import Exclusion, View
from fraud.records import Applied, BatchRetracted, Entry, LabelsSubmitted, Scored
from tests.features.making import RULE, SECOND, START
from tests.parity.cases import BATCHES, SUBMITTERS, Case, cases, columns_of, decided_of, event_of, same
from tests.parity.oracle import Oracle

thorough = settings(
    max_examples=80, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
TIMES = st.integers(0, 40).map(lambda step: START + step * 60 * SECOND)


@st.composite
def exclusions(draw: st.DrawFn, spec: FeatureSpec, *, labels_only: bool = False) -> Exclusion:
    start, end = sorted((draw(TIMES), draw(TIMES) + 1))
    if labels_only or draw(st.booleans()):
        names = {"batch_id": BATCHES, "source": ("chargeback", "analyst"), "submitter": SUBMITTERS, "": ()}
        name = draw(st.sampled_from(list(names)))
        chosen: dict[str, Any] = {name: draw(st.sampled_from(names[name]))} if name else {}
        return Exclusion("labels", from_us=start, to_us=end, **chosen)
    where: tuple[tuple[str, int], ...] = ()
    if draw(st.booleans()):
        where = ((draw(st.sampled_from(spec.entity_names)), draw(st.integers(0, 2))),)
    return Exclusion("transactions", from_us=start, to_us=end, where=where)


@st.composite
def repaired(draw: st.DrawFn, rows_max: int = 25, *, labels_only: bool = False) -> Case:
    """A log with retractions, and changes of the view, exclusions undone included."""
    case = draw(cases(rows_max))
    events = [(entry.arrival_time_us, entry.event) for entry in case.entries]
    made = draw(st.lists(exclusions(case.spec, labels_only=labels_only), min_size=1, max_size=3))
    for batch in draw(st.lists(st.sampled_from(BATCHES), max_size=2, unique=True)):
        place = draw(st.integers(0, len(events) - 1))
        events.insert(place + 1, (events[place][0], BatchRetracted(batch, "ann", "wrong")))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(events) - 1))
        view = View(tuple(draw(st.lists(st.sampled_from(made), max_size=2))))
        events.insert(place + 1, (events[place][0], Applied(1, "", "", "", view.to_text())))
    return Case(case.spec, [Entry(i, time_us, event) for i, (time_us, event) in enumerate(events, 1)])


def judged(
    case: Case, entries: list[Entry], view: View | None = None
) -> tuple[list[dict[str, float]], Oracle]:
    """What the oracle answers through a fixed view, or (None) through the one in force each time."""
    oracle, answers = Oracle(case.spec, RULE, view), []
    for entry in entries:
        event = entry.event
        if isinstance(event, Scored):
            answers.append(oracle.score(event_of(entry)).features)
        elif isinstance(event, LabelsSubmitted):
            oracle.take_labels(event, entry.arrival_time_us)
        elif isinstance(event, BatchRetracted):
            oracle.retract(event.batch_id)
        elif isinstance(event, Applied) and view is None:
            new = View.from_text(event.label_view)
            if new.transactions == oracle.view.transactions:
                oracle.see(new)
            else:
                oracle = judged(case, case.entries[: entry.position], new)[1]
    return answers, oracle


def matrix(case: Case, answers: list[dict[str, float]]) -> NDArray[np.float32]:
    rows = [[answer[name] for name in case.spec.names] for answer in answers]
    return np.array(rows, np.float32).reshape(len(rows), len(case.spec.names))


def followed(case: Case, fold: FeatureFold, entries: list[Entry]) -> NDArray[np.float32]:
    def rebuild(view: View, position: int) -> FeatureFold:
        made = FeatureFold(case.spec, RULE, view)
        for _ in replay(made, case.entries[:position], case.find):
            pass
        return made

    parts = [features for _, features in replay(fold, entries, case.find, rebuild)]
    return np.concatenate([np.empty((0, len(case.spec.names)), np.float32), *parts])


@settings(thorough, max_examples=200)
@given(repaired())
def test_replay_across_repairs_agrees_with_the_oracle(case: Case) -> None:
    features = followed(case, FeatureFold(case.spec, RULE), case.entries)
    answers, _ = judged(case, case.entries)
    assert same(features, matrix(case, answers))


@thorough
@given(repaired(), st.integers(0, 40), st.data())
def test_a_view_from_the_start_is_as_if_the_hidden_had_never_been(
    case: Case, cut: int, data: st.DataObject
) -> None:
    view = View((data.draw(exclusions(case.spec)),))
    fold = FeatureFold(case.spec, RULE, view)
    parts = [features for _, features in replay(fold, case.entries, case.find)]
    features = np.concatenate([np.empty((0, len(case.spec.names)), np.float32), *parts])
    answers, _ = judged(case, case.entries, view)
    assert same(features, matrix(case, answers))

    columns = FeatureFold(case.spec, RULE, view)
    again = []
    for entries in (case.entries[:cut], case.entries[cut:]):
        rows = [entry for entry in entries if isinstance(entry.event, Scored)]
        scored = [entry.event for entry in rows if isinstance(entry.event, Scored)]
        again.append(
            replay_columns(
                columns,
                np.array([entry.position for entry in rows], np.int64),
                [event.transaction_id for event in scored],
                columns_of(scored),
                [entry for entry in entries if isinstance(entry.event, LabelsSubmitted | BatchRetracted)],
                case.find,
                decided_of(entries),
            )
        )
    assert same(np.concatenate(again), features)


@thorough
@given(repaired(labels_only=True))
def test_labels_hidden_late_leave_the_state_as_if_hidden_from_the_start(case: Case) -> None:
    """True of whatever is still within reach: nothing here is older."""
    spec = replace(case.spec, reach_us=10**12)
    case = Case(spec, case.entries)
    last = [View.from_text(e.event.label_view) for e in case.entries if isinstance(e.event, Applied)][-1]
    late, early = FeatureFold(spec, RULE), FeatureFold(spec, RULE, last)
    followed(case, late, case.entries)
    for _ in replay(early, case.entries, case.find):
        pass
    assert late.state.equals(early.state)


@thorough
@given(repaired(), st.integers(0, 40))
def test_a_snapshot_between_repairs_changes_nothing(case: Case, cut: int) -> None:
    import tempfile
    from pathlib import Path

    first = FeatureFold(case.spec, RULE)
    features = followed(case, first, case.entries)
    fold = FeatureFold(case.spec, RULE)
    early = followed(case, fold, case.entries[:cut])
    with tempfile.TemporaryDirectory() as folder:
        restored = FeatureFold.load(fold.save(Path(folder)), case.spec, RULE)
    late = followed(case, restored, case.entries[cut:])
    assert same(np.concatenate([early, late]), features)
    assert restored.equals(first)
