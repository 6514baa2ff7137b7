"""What rules would have done to payments of the past: hits, frauds among them, and what the model did there.

    table of columns and answers → which rules hold, bool[n, R] → one line a rule, one for the set

A rule's line counts every row on which it holds; `decides` of them it would have
decided, because no rule before it did. Precision is among rows whose label is
known, and a declined payment earns none, so it says little of what was always
declined.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.policy.rule_language import CompiledRules

NEEDED = ("amount_base_minor", "is_fraud", "alerted")


@dataclass(frozen=True, slots=True)
class TrialLine:
    """What one rule, or the whole set (`name` ""), would have hit; amounts in base currency minor units.

    `judged` rows have a known label, `frauds` of them are frauds; the model alone
    had alerted on `alerted`.
    """

    name: str
    rows: int
    decides: int
    judged: int
    frauds: int
    amount_minor: int
    alerted: int

    @property
    def precision(self) -> float | None:
        """Frauds among the rows whose label is known; None without any."""
        return self.frauds / self.judged if self.judged else None


@dataclass(frozen=True, slots=True)
class Trial:
    """The lines of a trial on `rows` payments: one a rule in the order they are asked, and the set's."""

    rows: int
    frauds: int
    lines: tuple[TrialLine, ...]
    whole: TrialLine


def trial(rules: CompiledRules, payments: pl.DataFrame) -> Trial:
    """Ask rules about payments of the past.

    `payments` has the rules' columns and `NEEDED`: amount_base_minor i64, is_fraud
    bool (null: not known), alerted bool (null: no model answered).
    """
    held = np.zeros((len(payments), 0), np.bool_)
    if rules.order:
        held = rules.holding(payments.select(rules.columns))
    first = held & (np.cumsum(held, axis=1) == 1)
    any_held = np.asarray(held.any(axis=1))
    lines = tuple(
        _line(rule.name, payments, held[:, i], int(first[:, i].sum())) for i, rule in enumerate(rules.order)
    )
    whole = _line("", payments, any_held, int(any_held.sum()))
    return Trial(len(payments), int(payments["is_fraud"].sum()), lines, whole)


def _line(name: str, payments: pl.DataFrame, held: NDArray[np.bool_], decides: int) -> TrialLine:
    hit = payments.filter(pl.Series(held))
    return TrialLine(
        name,
        rows=len(hit),
        decides=decides,
        judged=len(hit) - hit["is_fraud"].null_count(),
        frauds=int(hit["is_fraud"].sum()),
        amount_minor=int(hit["amount_base_minor"].sum()),
        alerted=int(hit["alerted"].sum()),
    )
