"""What goes wrong with labels beside the gang's payments, and the operator who mends it.

    a processor's file     approved payments from nine to five come back as chargebacks, all of them
    a bought analyst       see `poisoner`: the gang's frauds come back as "legitimate", day by day
    the operator           trusts the guard: what it froze for is cut out the next evening, and
                           whoever it names is shut out from then on, but for a whole feed;
                           an audit finds the bought account on its day, guard or no guard

The operator uses the service's own calls and nothing else: an exclusion taints what learned from
the labels, rolls back to the last clean champion and asks for a retrain.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fraud.adversary.around import Around
from fraud.adversary.contest import Answers, Defender
from fraud.adversary.gang import Filing
from fraud.adversary.honest import Payments
from fraud.adversary.verdicts import ANALYST, CHARGEBACK
from fraud.client import Client
from fraud.clock import DAY_US, HOUR_US
from fraud.labels.exclusions import FOREVER_US, Exclusion
from fraud.records import Label, LabelValue
from fraud.v1.models_pb2 import Selection

PROCESSOR = "processor"
"""Who hands in the bad file."""
OPERATOR = "operator"
_FROM_US, _TO_US = 9 * HOUR_US, 17 * HOUR_US


class BadFile(Around):
    """A `Defender` that is handed a bad file at the end of one day, around one without.

    All approved payments from nine to five of the day that ends at `file_us` are in it.
    """

    def __init__(self, defender: Defender, file_us: int) -> None:
        super().__init__(defender)
        self._file_us = file_us
        self._labels: list[Label] = []

    def decide(self, ids: Sequence[str], payments: Payments) -> Answers:
        """Pass the defender's answers on, and note what will be in the file."""
        answers = super().decide(ids, payments)
        into_us = payments.event_time_us - (self._file_us - DAY_US)
        inside = (into_us >= _FROM_US) & (into_us < _TO_US) & answers.approved
        self._labels += [
            Label(ids[at], LabelValue.FRAUD, self._file_us) for at in np.flatnonzero(inside).tolist()
        ]
        return answers

    def learn(self, filings: Sequence[Filing], now_us: int) -> None:
        """Hand the labels of the day on; on its day, with the file before all others."""
        bad = now_us == self._file_us and self._labels
        own = [Filing(CHARGEBACK, PROCESSOR, tuple(self._labels))] if bad else []
        super().learn([*own, *filings], now_us)


@dataclass(frozen=True, slots=True)
class Repair:
    """One exclusion by the operator at the end of `day`: labels cut out, versions that had learned of them.

    `before` and `after` are the champions; the same where no rollback was needed.
    """

    day: int
    why: str
    labels: int
    tainted: tuple[str, ...]
    before: str
    after: str


class Operator:
    """Mends data by the service's own calls. An audit finds on `audit_day` that `account` has been bought."""

    def __init__(self, client: Client, model: str, account: str = "", audit_day: int | None = None) -> None:
        self._client = client
        self._model = model
        self._account = account
        self._audit_day = audit_day
        self._frozen_before = False

    def act(self, day: int, *, frozen: bool, suspects: Sequence[tuple[str, Exclusion]]) -> list[Repair]:
        """Do what the evening of a day asks for; a freeze is acted upon on its second evening.

        Raises:
            FraudError: the service refused, or did not answer.
        """
        repairs = []
        if frozen and self._frozen_before:
            chosen = {data: why for why, data in suspects if data.what == "labels"}
            repairs += [
                self._exclude(day, _and_after(data), f"the guard: {why}") for data, why in chosen.items()
            ]
        self._frozen_before = frozen and not repairs
        if day == self._audit_day:
            data = Exclusion("labels", submitter=self._account)
            repairs.append(self._exclude(day, data, f"audit: {self._account} was bought"))
        return repairs

    def _exclude(self, day: int, data: Exclusion, why: str) -> Repair:
        before = self._client.get_champion(self._model).version
        reply = self._client.exclude(selection_of(data), actor=OPERATOR, reason=why)
        after = self._client.get_champion(self._model).intended_version
        return Repair(day, why, reply.labels, tuple(reply.tainted), before, after)


def _and_after(data: Exclusion) -> Exclusion:
    """Return the labels of an account with those to come; other data, feeds' too, as it is."""
    return replace(data, to_us=FOREVER_US) if data.submitter not in ("", ANALYST, CHARGEBACK) else data


def selection_of(data: Exclusion) -> Selection:
    """Return labels to cut out as the call wants them."""
    return Selection(
        batch_id=data.batch_id,
        source=data.source,
        submitter=data.submitter,
        from_us=data.from_us,
        to_us=0 if data.to_us == FOREVER_US else data.to_us,
    )
