from collections.abc import Sequence

import numpy as np
import pytest

from fraud.adversary.contest import Answers
from fraud.adversary.economy import Economy
from fraud.adversary.gang import Filing
from fraud.adversary.honest import Payments
from fraud.adversary.incident import PROCESSOR, BadFile, selection_of
from fraud.adversary.verdicts import CHARGEBACK
from fraud.clock import DAY_US, HOUR_US
from fraud.labels.exclusions import FOREVER_US, Exclusion
from fraud.records import Label, LabelValue
from tests.adversary.streams import SMALL

ECONOMY = Economy(SMALL)
DAY = 3
FILE_US = ECONOMY.start_us + (DAY + 1) * DAY_US


class EveryOther:
    """A defender that approves every other payment, and keeps what it is told."""

    name = "every other"
    retrains = 0

    def __init__(self) -> None:
        self.learned: list[tuple[int, Sequence[Filing]]] = []

    def decide(self, ids: Sequence[str], payments: Payments) -> Answers:
        del payments
        return Answers(np.arange(len(ids)) % 2 == 0, np.zeros(len(ids)))

    def learn(self, filings: Sequence[Filing], now_us: int) -> None:
        self.learned.append((now_us, filings))


def test_the_bad_file_comes_once_and_holds_the_approved_payments_of_eight_hours() -> None:
    inner = EveryOther()
    defender = BadFile(inner, FILE_US)
    honest = Filing("chargeback", "chargeback", (Label("x", LabelValue.FRAUD, 1),))
    for index in range(DAY + 3):
        day = ECONOMY.day(index)
        defender.decide([f"{index}-{row}" for row in range(len(day))], day)
        defender.learn([honest], ECONOMY.start_us + (index + 1) * DAY_US)
    others = [filings for now_us, filings in inner.learned if now_us != FILE_US]
    assert others == [[honest]] * (DAY + 2)
    ((bad, kept),) = [filings for now_us, filings in inner.learned if now_us == FILE_US]
    assert kept == honest
    assert (bad.source, bad.submitter) == (CHARGEBACK, PROCESSOR)
    into_us = ECONOMY.day(DAY).event_time_us - (FILE_US - DAY_US)
    expected = [
        f"{DAY}-{row}"
        for row, at in enumerate(into_us.tolist())
        if 9 * HOUR_US <= at < 17 * HOUR_US and row % 2 == 0
    ]
    assert len(expected) > 10
    assert [label.transaction_id for label in bad.labels] == expected
    assert {label.value for label in bad.labels} == {LabelValue.FRAUD}


@pytest.mark.parametrize(
    "data",
    [
        Exclusion("labels", batch_id="b-1"),
        Exclusion("labels", submitter="jane"),
        Exclusion("labels", source="chargeback", from_us=5, to_us=9),
    ],
)
def test_what_the_guard_suspects_is_what_the_call_cuts_out(data: Exclusion) -> None:
    given = selection_of(data)
    assert not given.transactions
    until_us = given.to_us or FOREVER_US
    back = Exclusion("labels", given.batch_id, given.source, given.submitter, given.from_us, until_us)
    assert back == data
