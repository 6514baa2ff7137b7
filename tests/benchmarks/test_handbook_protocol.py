import numpy as np

from benchmarks.handbook_protocol import (
    FIRST_DAY,
    WEEK,
    Payments,
    Split,
    assessment_folds,
    day_number,
    single,
    validation_folds,
)

DAYS = 60


def _payments(frauds: dict[int, int]) -> Payments:
    """Ten cards pay once a day for 60 days; `frauds` names the card that is defrauded on a day."""
    days = np.repeat(np.arange(DAYS, dtype=np.int32), 10)
    cards = np.tile(np.arange(10, dtype=np.int64), DAYS)
    is_fraud = np.array([frauds.get(int(day)) == card for day, card in zip(days, cards, strict=True)])
    return Payments(np.zeros((len(days), 1), np.float32), is_fraud, cards, days)


def test_the_test_week_starts_a_delay_after_training_and_nothing_lies_in_between() -> None:
    payments = _payments({})
    split = single(20)
    assert set(payments.days[split.train_rows(payments, 7)]) == set(range(20, 27))
    assert set(payments.days[split.train_rows(payments, 14)]) == set(range(13, 27))
    assert set(payments.days[split.test_rows(payments)]) == set(range(34, 41))


def test_a_card_with_fraud_in_the_week_of_training_is_not_tested() -> None:
    payments = _payments({22: 3, 15: 4})
    tested = payments.cards[single(20).test_rows(payments)]
    assert set(tested) == set(range(10)) - {3}


def test_a_card_leaves_the_test_once_its_fraud_is_known() -> None:
    payments = _payments({29: 5})
    rows = single(20).test_rows(payments)
    days = payments.days[rows[payments.cards[rows] == 5]]
    assert set(days) == {34, 35, 36}, "fraud of day 29 is known for the test of day 37"


def test_validation_ends_before_the_first_test_day() -> None:
    last = max(split.test_start + WEEK for split in validation_folds())
    first = min(split.test_start for split in assessment_folds())
    assert last <= first == day_number(FIRST_DAY) + 2 * WEEK
    assert single(day_number(FIRST_DAY)) in assessment_folds()
    assert len(set(assessment_folds())) == len(set(validation_folds())) == 4
    assert isinstance(assessment_folds()[0], Split)
