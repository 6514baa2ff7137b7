"""Analysts beside a defender: they look at the riskiest payments of a day that were approved.

    decide ─▶ approved, by score ─▶ the n riskiest of the day ─ looked at ─▶ labels, the same evening

An analyst who looks sees the truth; what is looked at is up to the defender's scores, so a
model that is blind to an attack sends analysts to the wrong payments.
"""

from collections.abc import Callable, Sequence

import numpy as np

from fraud.adversary.around import Around
from fraud.adversary.contest import Answers, Defender
from fraud.adversary.gang import Filing
from fraud.adversary.honest import Bools, Floats, Payments
from fraud.adversary.verdicts import ANALYST
from fraud.records import Label, LabelValue


class Reviewed(Around):
    """A `Defender` with analysts, around one without.

    `per_day` payments are looked at, none of those that came without a score. `is_fraud` tells
    the truth about an id of the day.
    """

    def __init__(self, defender: Defender, per_day: int, is_fraud: Callable[[str], bool]) -> None:
        if per_day < 0:
            raise ValueError(f"per_day: {per_day} payments cannot be looked at; give 0 or more")
        super().__init__(defender)
        self._per_day = per_day
        self._is_fraud = is_fraud
        self._today: list[tuple[Sequence[str], Bools, Floats]] = []

    def decide(self, ids: Sequence[str], payments: Payments) -> Answers:
        """Pass the defender's answers on, and note them."""
        answers = super().decide(ids, payments)
        self._today.append((ids, answers.approved, answers.scores))
        return answers

    def learn(self, filings: Sequence[Filing], now_us: int) -> None:
        """Add what analysts found today to what has come in, last."""
        queue = self._queue()
        self._today = []
        found = tuple(
            Label(name, LabelValue.FRAUD if self._is_fraud(name) else LabelValue.LEGITIMATE, now_us)
            for name in queue
        )
        own = [Filing(ANALYST, ANALYST, found)] if found else []
        super().learn([*filings, *own], now_us)

    def _queue(self) -> list[str]:
        """Return the riskiest approved payments of the day, riskiest first."""
        if not self._today:
            return []
        ids = [name for names, _, _ in self._today for name in names]
        approved = np.concatenate([each for _, each, _ in self._today])
        scores = np.concatenate([each for _, _, each in self._today])
        eligible = np.flatnonzero(approved & ~np.isnan(scores))
        riskiest = eligible[np.argsort(-scores[eligible], kind="stable")]
        return [ids[at] for at in riskiest[: self._per_day].tolist()]
