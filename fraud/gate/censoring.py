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
Without declines nothing is mirrored.

What was challenged or sent to review is held: its label comes at a rate that
nobody set. A fraud that fails its challenge leaves no trace, one that was approved
comes back as a chargeback, so what is held is mirrored as well:

    on a day when the deciding side held H rows, every side would have held the H
    below its own top D; a row in any of those H is evidence only if a second
    coin shows heads

A held row with a label shows heads, one without tails. For the rest the coin comes
up at the rate at which what was held got its labels, as the scores estimate it
(`told_rates`): that of frauds for a fraud and that of honest rows for an honest one,
for challenges that stop the one and let the other pass leave the champion
nothing but false alarms. While every held row has a label nothing is mirrored.

Imported rows were decided elsewhere and count as they stand. What a rule or a
list decided is no evidence at all: neither side decides there, so its declines
spend nobody's budget, and counted among those that exploration could not reach
they would only dilute its rate.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.evaluation.metrics import Bools, Days, Floats, top_of_day
from fraud.records import Outcome

HELD = (
    pl.col("outcome").is_in([int(Outcome.CHALLENGE), int(Outcome.REVIEW)])
    & ~pl.col("explored")
    & ~pl.col("imported")
)
"""Rows whose label may come or not."""
EXPLORATION_COIN = b"fraud gate coin"
LABEL_COIN = b"gate label coin"


def coin(transaction_id: str, which: bytes = EXPLORATION_COIN) -> float:
    """Return a number in [0, 1) that belongs to the transaction, for either coin.

    >>> coin("a") == coin("a") != coin("b")
    True
    """
    digest = hashlib.blake2b(transaction_id.encode(), digest_size=8, person=which).digest()
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


def mirrored_below(
    held: Bools, declined: Bools, imported: Bools, days: Days, sides: Sequence[Floats]
) -> Bools:
    """Mark the rows that some side would have held, had it held as many a day below as many declines.

    `held` bool[n] were challenged or sent to review; the rest as for `mirrored`. Returns bool[n].
    """
    marked = np.zeros(len(days), dtype=np.bool_)
    if not held.any():
        return marked
    for scores in sides:
        stopped = mirrored(declined | held, imported, days, [scores])
        marked |= stopped & ~mirrored(declined, imported, days, [scores])
    return marked


def told_rates(held: Bools, told: Bools, is_fraud: Bools, days: Days, sides: Sequence[Floats]) -> Floats:
    """Return the rate at which held rows of each row's kind had got their labels by its day, float64[n].

    Frauds are a kind, honest rows the other; `told` bool[n] have a label, and `is_fraud` bool[n] says which.
    How many of those without a label are frauds the scores float64[n] say: of the side that expects more,
    Σ scores of all that was held − known frauds, none at least and all of them at most. 1 where nothing
    of the kind was held. Days add up, and later ones change no earlier rate.
    """
    _, day = np.unique(days, return_inverse=True)
    size = int(day.max()) + 1 if len(day) else 0

    def so_far(weights: NDArray[np.generic]) -> Floats:
        total: Floats = np.cumsum(np.bincount(day[held], weights=weights[held], minlength=size))
        return total

    frauds, honest, untold = so_far(told & is_fraud), so_far(told & ~is_fraud), so_far(~told)
    hidden = np.clip(np.max([so_far(scores) for scores in sides], axis=0) - frauds, 0, untold)
    of_frauds, of_honest = _share(frauds, hidden), _share(honest, untold - hidden)
    return np.where(is_fraud, of_frauds[day], of_honest[day])


def _share(known: Floats, hidden: Floats) -> Floats:
    total = known + hidden
    return np.divide(known, total, out=np.ones(len(total)), where=total > 0)


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
    within_cap = amounts <= amount_max_minor
    return within_cap & toss(transaction_ids, rates, EXPLORATION_COIN)


def toss(transaction_ids: Sequence[str], rates: Floats, which: bytes) -> Bools:
    """Throw a coin, bool[n]: heads at the row's rate."""
    tosses = zip(transaction_ids, rates.tolist(), strict=True)
    return np.array([coin(name, which) < rate for name, rate in tosses], dtype=np.bool_)
