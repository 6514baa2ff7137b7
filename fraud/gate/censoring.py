"""Which rows are evidence: those whose label could arrive whichever side had decided.

A declined payment never earns a label unless exploration let it through. If
only those rows were left out, the champion would lose what it alone catches
(declined: no label) while the challenger kept what it alone would catch (approved:
a chargeback came), and equal or worse challengers would win every time. So
the censoring is mirrored:

    on a day when the deciding side declined D rows (explored ones counted),
    every side would have declined its own top D of the day;
    a row in any of those D is evidence only if exploration's coin shows heads

A row that was let through for exploration shows heads, a decline that was not
shows tails, and for the rest a coin is thrown that comes up with exploration's
rate of that day, from a hash of the transaction id, so it never changes
between looks.
Without declines nothing is mirrored. Imported rows were decided elsewhere and
count as they stand. What a rule or a list decided is no evidence at all: neither
side decides there, so its declines spend nobody's budget, and counted among
those that exploration could not reach they would only dilute its rate.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.evaluation.metrics import Bools, Days, Floats, top_of_day

_COIN = b"fraud gate coin"


def coin(transaction_id: str) -> float:
    """Return a number in [0, 1) that belongs to the transaction.

    >>> coin("a") == coin("a") != coin("b")
    True
    """
    digest = hashlib.blake2b(transaction_id.encode(), digest_size=8, person=_COIN).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def decided_by_rule(rows: pl.DataFrame) -> Bools:
    """Mark the rows that a rule or a list decided, bool[n]: `rule` is given."""
    if "rule" not in rows.columns:
        return np.zeros(len(rows), dtype=np.bool_)
    return (rows["rule"].fill_null("") != "").to_numpy()


def mirrored(declined: Bools, imported: Bools, days: Days, sides: Sequence[Floats]) -> Bools:
    """Mark the rows that some side would have declined, had it declined as many a day.

    `declined` bool[n] holds explored declines too; `sides` are scores
    float64[n]. Imported rows are never marked. Returns bool[n].
    """
    marked = np.zeros(len(days), dtype=np.bool_)
    if not declined.any():
        return marked
    here = np.flatnonzero(~imported)
    _, day = np.unique(days[here], return_inverse=True)
    counts = np.bincount(day, weights=declined[here]).astype(np.int64)
    for scores in sides:
        marked[here] |= top_of_day(scores[here], days[here], counts=counts)
    return marked


def exploration_rates(
    declined: Bools, explored: Bools, propensities: Floats, days: Days, within_cap: Bools
) -> Floats:
    """Return the rate at which exploration let declines through on each row's day, float64[n].

    The log tells it: an explored row carries the rate as its propensity, a
    `declined` one 1 − rate, or 1 where it could not be let through: a budget was
    used up, or its score lay in a band of rate 0. These count, or the coin would
    be kinder than exploration was. Rows above the largest amount explored
    (`within_cap` false) never see the coin and are left out. 0 on days without any.
    """
    rates = np.where(explored, propensities, 1 - propensities)
    rows = np.flatnonzero((explored | declined) & within_cap)
    _, day = np.unique(days, return_inverse=True)
    size = int(day.max()) + 1 if len(day) else 0
    total = np.bincount(day[rows], weights=rates[rows], minlength=size)
    return (total / np.maximum(np.bincount(day[rows], minlength=size), 1))[day]


def heads(
    transaction_ids: Sequence[str], amounts: NDArray[np.int64], rates: Floats, amount_max_minor: int
) -> Bools:
    """Throw the coin, bool[n]: heads at the row's rate, and never above the largest amount explored."""
    tosses = zip(transaction_ids, amounts.tolist(), rates.tolist(), strict=True)
    return np.array(
        [amount <= amount_max_minor and coin(name) < rate for name, amount, rate in tosses], dtype=np.bool_
    )
