"""Analysts look at the riskiest approved payments, and say what they are."""

from collections.abc import Sequence

import numpy as np
import pytest

from fraud.adversary.contest import Answers
from fraud.adversary.gang import Filing
from fraud.adversary.honest import Payments
from fraud.adversary.review import Reviewed
from fraud.adversary.verdicts import ANALYST
from fraud.records import Label, LabelValue

NOW_US = 86_400_000_000
CHARGEBACK = Filing("chargeback", "chargeback", (Label("old", LabelValue.FRAUD, 5),))


class Scripted:
    """A defender with fixed answers, which keeps what it is told."""

    name = "scripted"
    retrains = 3

    def __init__(self, approved: Sequence[bool], scores: Sequence[float]) -> None:
        self._answers = Answers(np.array(approved, np.bool_), np.array(scores))
        self.learned: list[list[Filing]] = []

    def decide(self, ids: Sequence[str], payments: Payments) -> Answers:
        del ids, payments
        return self._answers

    def learn(self, filings: Sequence[Filing], now_us: int) -> None:
        assert now_us == NOW_US
        self.learned.append(list(filings))


def _payments(n: int) -> Payments:
    zeros = np.zeros(n, np.int64)
    return Payments(zeros, np.zeros((n, 2), np.int32), zeros, np.empty((n, 0)), np.empty((n, 0), np.int64))


def test_the_riskiest_approved_of_the_day_are_looked_at_and_told_last() -> None:
    inner = Scripted([True, False, True, True], [0.1, 0.9, 0.8, 0.3])
    defender = Reviewed(inner, 3, {"b2"}.__contains__)
    for part in "ab":
        answers = defender.decide([f"{part}{at}" for at in range(4)], _payments(4))
        assert answers.approved.tolist() == [True, False, True, True]
    defender.learn([CHARGEBACK], NOW_US)
    first, own = inner.learned[0]
    assert first is CHARGEBACK
    assert own.source == ANALYST
    told = [(label.transaction_id, label.value, label.label_time_us) for label in own.labels]
    assert told == [
        ("a2", LabelValue.LEGITIMATE, NOW_US),
        ("b2", LabelValue.FRAUD, NOW_US),
        ("a3", LabelValue.LEGITIMATE, NOW_US),
    ]
    assert (defender.name, defender.retrains) == ("scripted", 3)


def test_a_day_is_looked_at_once_and_never_without_scores() -> None:
    inner = Scripted([True, True], [0.5, np.nan])
    defender = Reviewed(inner, 5, lambda _: True)
    defender.decide(["a", "b"], _payments(2))
    defender.learn([], NOW_US)
    defender.learn([CHARGEBACK], NOW_US)
    assert [[label.transaction_id for filing in day for label in filing.labels] for day in inner.learned] == [
        ["a"],
        ["old"],
    ]


def test_nobody_looks_at_fewer_than_no_payments() -> None:
    with pytest.raises(ValueError, match="per_day: -1"):
        Reviewed(Scripted([], []), -1, lambda _: True)
