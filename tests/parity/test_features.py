"""Online = replay = oracle, on random specs and random logs."""

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fraud.features.fold import FeatureFold
from fraud.features.replay import replay, replay_columns
from fraud.features.state import ScoredRows
from fraud.records import Entry, LabelsSubmitted, Scored
from tests.features.making import RULE
from tests.parity.cases import Case, cases, columns_of, decided_of, declined_of, event_of, same
from tests.parity.oracle import Answer, Oracle

thorough = settings(
    max_examples=60, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)


def online(case: Case, cuts: list[int] | None = None) -> tuple[FeatureFold, list[ScoredRows]]:
    """Drive the fold as the server does: one call per run of transactions, cut further at `cuts`.

    A call has one arrival, so a run is cut where that changes.
    """
    fold = FeatureFold(case.spec, RULE)
    answers, batch = [], list[Entry]()

    def score() -> None:
        scored = [entry.event for entry in batch if isinstance(entry.event, Scored)]
        if scored:
            fold.settle(batch[0].arrival_time_us)
            rows = columns_of(scored)
            answers.append(fold.score([event.transaction_id for event in scored], rows))
            fold.take_declines(rows, declined_of(scored), batch[0].arrival_time_us)
        batch.clear()

    for entry in case.entries:
        if isinstance(entry.event, LabelsSubmitted):
            score()
            fold.advance(entry.position)
            fold.take_labels(entry.event, case.find(fold.lacking(entry.event)), entry.arrival_time_us)
            continue
        if batch and batch[0].arrival_time_us != entry.arrival_time_us:
            score()
        batch.append(entry)
        if cuts is None or entry.position in cuts:
            score()
        fold.advance(entry.position)
    score()
    return fold, answers


def replayed(fold: FeatureFold, case: Case, entries: list[Entry]) -> NDArray[np.float32]:
    parts = [features for _, features in replay(fold, entries, case.find)]
    return np.concatenate([np.empty((0, len(case.spec.names)), np.float32), *parts])


def whole(case: Case) -> tuple[FeatureFold, NDArray[np.float32]]:
    fold = FeatureFold(case.spec, RULE)
    return fold, replayed(fold, case, case.entries)


def judged(case: Case) -> list[Answer]:
    oracle, answers = Oracle(case.spec, RULE), []
    for entry in case.entries:
        if isinstance(entry.event, Scored):
            answers.append(oracle.score(event_of(entry)))
        elif isinstance(entry.event, LabelsSubmitted):
            oracle.take_labels(entry.event)
    return answers


@settings(thorough, max_examples=150)
@given(cases())
def test_kernel_and_oracle_agree_on_every_feature_and_flag(case: Case) -> None:
    _, parts = online(case)
    for part, answer in zip(parts, judged(case), strict=True):
        expected = np.array([[answer.features[name] for name in case.spec.names]], np.float32)
        wrong = [
            (name, float(part.features[0, i]), float(expected[0, i]))
            for i, name in enumerate(case.spec.names)
            if not same(part.features[:, i], expected[:, i])
        ]
        assert not wrong
        assert part.is_new.tolist() == [answer.is_new]
        assert part.is_late.tolist() == [answer.is_late]


@thorough
@given(cases(rows_max=40), st.sets(st.integers(1, 48)))
def test_any_partition_into_batches_gives_what_replay_gives(case: Case, cuts: set[int]) -> None:
    fold, parts = online(case, sorted(cuts))
    again, features = whole(case)
    assert same(np.concatenate([part.features for part in parts]), features)
    assert fold.equals(again)


@thorough
@given(cases(rows_max=40), st.integers(0, 48))
def test_a_snapshot_in_the_middle_changes_nothing(case: Case, cut: int) -> None:
    first, features = whole(case)
    fold = FeatureFold(case.spec, RULE)
    early = replayed(fold, case, case.entries[:cut])
    with tempfile.TemporaryDirectory() as folder:
        restored = FeatureFold.load(fold.save(Path(folder)), case.spec, RULE)
    assert restored.equals(fold)
    late = replayed(restored, case, case.entries[cut:])
    assert same(np.concatenate([early, late]), features)
    assert restored.equals(first)


@thorough
@given(cases(rows_max=40), st.integers(0, 48))
def test_cutting_the_log_changes_no_feature_before_the_cut(case: Case, cut: int) -> None:
    _, features = whole(case)
    fold = FeatureFold(case.spec, RULE)
    early = replayed(fold, case, case.entries[:cut])
    assert same(early, features[: len(early)])


@thorough
@given(cases(rows_max=40), st.integers(0, 40))
def test_columns_replay_as_entries_do(case: Case, cut: int) -> None:
    again, features = whole(case)
    fold = FeatureFold(case.spec, RULE)
    parts = []
    for entries in (case.entries[:cut], case.entries[cut:]):
        rows = [entry for entry in entries if isinstance(entry.event, Scored)]
        scored = [entry.event for entry in rows if isinstance(entry.event, Scored)]
        parts.append(
            replay_columns(
                fold,
                np.array([entry.position for entry in rows], np.int64),
                [event.transaction_id for event in scored],
                columns_of(scored),
                [entry for entry in entries if isinstance(entry.event, LabelsSubmitted)],
                case.find,
                decided_of(entries),
            )
        )
    assert same(np.concatenate(parts), features)
    assert fold.equals(again)


@thorough
@given(cases(rows_max=40), st.integers(0, 48), st.integers(0, 10**7))
def test_forgetting_at_any_moment_changes_no_feature(case: Case, moment: int, age_us: int) -> None:
    again, features = whole(case)
    fold = FeatureFold(case.spec, RULE)
    early = replayed(fold, case, case.entries[:moment])
    fold.forget_before(fold.state.newest_us + age_us)
    late = replayed(fold, case, case.entries[moment:])
    assert same(np.concatenate([early, late]), features)
    assert fold.waiting.to_notes() == again.waiting.to_notes()
