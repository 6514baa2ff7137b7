"""Labels meeting transactions: before, after, withdrawn, too old, forgotten."""

import math
from pathlib import Path

from fraud.features.fold import Coordinates, FeatureFold
from fraud.features.waiting import WaitingLabels
from fraud.records import LabelValue
from tests.features.making import RULE, SECOND, START, card_spec, labels_entry, labels_of, read, rows_of

FRAUD, LEGITIMATE, WITHDRAWN = LabelValue.FRAUD, LabelValue.LEGITIMATE, LabelValue.WITHDRAWN
RATE = "card_fraud_rate_10s_delay_0s"
SPEC = card_spec(fraud_rates=[{"width": "10s", "delay": "0s", "hop": "5s"}])


def fold_of_two() -> tuple[FeatureFold, dict[str, Coordinates]]:
    fold = FeatureFold(SPEC, RULE)
    fold.score(["a", "b"], rows_of((0, 100), (1, 100)))
    fold.advance(2)
    return fold, {name: Coordinates((0,), START + i * SECOND, i + 1) for i, name in enumerate("ab")}


def test_a_standing_fraud_counts_once_however_often_it_is_reported() -> None:
    fold, known = fold_of_two()
    assert fold.take_labels(labels_of(labels_entry(3, ("a", FRAUD))), known, START) == (1, 0)
    assert fold.take_labels(labels_of(labels_entry(4, ("a", FRAUD), source="analyst")), {}, START) == (1, 0)
    assert read(fold.state, RATE, 5) == 0.5


def test_a_withdrawal_takes_the_label_out_exactly() -> None:
    fold, known = fold_of_two()
    untouched, _ = fold_of_two()
    fold.take_labels(labels_of(labels_entry(3, ("a", FRAUD))), known, START)
    fold.take_labels(labels_of(labels_entry(4, ("a", WITHDRAWN, START + 1))), {}, START)
    assert fold.state.equals(untouched.state)


def test_a_better_source_overrules() -> None:
    fold, known = fold_of_two()
    fold.take_labels(labels_of(labels_entry(3, ("a", FRAUD), source="customer")), known, START)
    fold.take_labels(labels_of(labels_entry(4, ("a", LEGITIMATE), source="chargeback")), {}, START)
    assert read(fold.state, RATE, 5) == 0


def test_a_label_that_came_first_joins_right_after_its_transaction() -> None:
    fold = FeatureFold(SPEC, RULE)
    assert fold.take_labels(labels_of(labels_entry(1, ("b", FRAUD), ("z", FRAUD))), {}, START) == (0, 2)
    features = fold.score(["a", "b", "c", "d"], rows_of((0, 100), (1, 100), (5, 100), (5, 100))).features
    assert [None if math.isnan(rate) else rate for rate in features[:, 1].tolist()] == [None, None, 0.5, 0.5]
    assert list(fold.waiting.to_notes()) == ["z"]


def test_a_transaction_that_stands_later_in_the_log_is_not_known_yet() -> None:
    fold = FeatureFold(SPEC, RULE)
    fold.score(["a"], rows_of((0, 100)))
    fold.advance(2)
    later = {"b": Coordinates((0,), START, 3)}
    assert fold.take_labels(labels_of(labels_entry(2, ("b", FRAUD))), later, START) == (0, 1)


def test_a_label_counts_up_to_the_reach_of_the_spec_and_not_beyond() -> None:
    for age_us, expected in ((SPEC.reach_us, {"a"}), (SPEC.reach_us + 1, set())):
        fold, known = fold_of_two()
        fold.score(["c"], rows_of((age_us / SECOND, 100)))
        assert fold.take_labels(labels_of(labels_entry(3, ("a", FRAUD))), known, START) == (1, 0)
        assert set(fold.book.facts) == expected


def test_labels_that_waited_for_the_reach_are_dropped_one_by_one_as_time_goes_on(tmp_path: Path) -> None:
    fold, _ = fold_of_two()
    newest_us = START + SECOND
    fold.take_labels(labels_of(labels_entry(3, ("x", FRAUD), ("y", FRAUD))), {}, START)
    fold.score(["c"], rows_of((11, 100)))
    fold.take_labels(labels_of(labels_entry(4, ("x", FRAUD))), {}, START)
    for age_us, waiting in ((SPEC.reach_us, ["x", "x", "y"]), (SPEC.reach_us + 1, ["x"])):
        fold.score(["later"], rows_of(((newest_us + age_us - START) / SECOND, 100)))
        assert [name for name, held in fold.waiting.to_notes().items() for _ in held] == waiting
        assert len(fold.waiting) == len(waiting)
        assert FeatureFold.load(fold.save(tmp_path), SPEC, RULE).equals(fold)


def test_labels_of_an_older_snapshot_that_have_waited_too_long_are_dropped_on_loading(tmp_path: Path) -> None:
    fold, _ = fold_of_two()
    fold.take_labels(labels_of(labels_entry(3, ("x", FRAUD))), {}, START)
    stale = fold.waiting
    fold.score(["c"], rows_of(((SPEC.reach_us + 2 * SECOND) / SECOND, 100)))
    fold.waiting = WaitingLabels.from_notes({"x": [[1, "analyst", 5, "b", "ann", 5, START + SECOND]]})
    assert (len(stale), len(fold.waiting)) == (0, 1)
    assert len(FeatureFold.load(fold.save(tmp_path), SPEC, RULE).waiting) == 0


def test_forgetting_keeps_what_can_still_change_state() -> None:
    fold, known = fold_of_two()
    fold.take_labels(labels_of(labels_entry(3, ("a", FRAUD), ("b", FRAUD))), known, START)
    fold.forget_before(START + 3_600 * SECOND)
    assert set(fold.book.facts) == set(fold.coordinates) == {"a", "b"}
    fold.score(["c"], rows_of(((SPEC.reach_us + 1) / SECOND, 100)))
    fold.forget_before(START)
    assert set(fold.book.facts) == {"a", "b"}
    fold.forget_before(START + 3_600 * SECOND)
    assert set(fold.book.facts) == set(fold.coordinates) == {"b"}


def test_the_fold_asks_only_for_transactions_it_does_not_know() -> None:
    fold, known = fold_of_two()
    event = labels_of(labels_entry(3, ("a", FRAUD)))
    assert fold.lacking(event) == ["a"]
    fold.take_labels(event, known, START)
    assert fold.lacking(labels_of(labels_entry(4, ("a", WITHDRAWN), ("b", FRAUD)))) == ["b"]
