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
shows tails, and for the rest a coin is thrown that comes up with the rate that
exploration had that day for the decline of the same rank, from a hash of the
transaction id, so it never changes between looks.
Without declines nothing is mirrored.

What was challenged or sent to review is held: its label comes at a rate that
nobody set. A fraud that fails its challenge leaves no trace, one that was approved
comes back as a chargeback, so what is held is mirrored as well, one outcome at a
time and the severest first:

    on a day when the deciding side sent R rows to review, every side would have
    sent the R below its own top D; a row in any of those R is evidence only if the
    coin of reviews shows heads
    the same of the C challenged below D + R, with a coin of their own

A held row with a label shows heads, one without tails. For the rest the coin comes
up at the rate at which rows of that outcome got their labels, as the scores and the
challenges reported as failed estimate it (`told_rates`): that of frauds for a fraud
and that of honest rows for an honest one, for challenges that stop the one and let
the other pass leave the champion nothing but false alarms. While every row of an
outcome has a label nothing is mirrored for it: where analysts answer each review,
what a challenger would send them counts.

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

EXPLORATION_COIN = b"fraud gate coin"
LABEL_COINS = {Outcome.REVIEW: b"gate review coin", Outcome.CHALLENGE: b"gate challenge"}
"""The coin of each outcome after which a label may come or not, the severest first."""


def held_as(*outcomes: Outcome) -> pl.Expr:
    """Return the filter of rows that got one of the outcomes for their score, by the deciding side."""
    return pl.col("outcome").is_in([int(it) for it in outcomes]) & ~pl.col("explored") & ~pl.col("imported")


HELD = held_as(*LABEL_COINS)
"""Rows whose label may come or not."""


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


def mirrored_below(held: Bools, above: Bools, imported: Bools, days: Days, sides: Sequence[Floats]) -> Bools:
    """Mark the rows that some side would have held, had it held as many a day below as many severer ones.

    `held` bool[n] got one outcome, `above` bool[n] a severer one, explored declines too; the rest as for
    `mirrored`. Returns bool[n].
    """
    marked = np.zeros(len(days), dtype=np.bool_)
    if not held.any():
        return marked
    for scores in sides:
        stopped = mirrored(above | held, imported, days, [scores])
        marked |= stopped & ~mirrored(above, imported, days, [scores])
    return marked


def told_rates(
    held: Bools, told: Bools, is_fraud: Bools, failed: Bools, days: Days, sides: Sequence[Floats]
) -> Floats:
    """Return the rate at which held rows of each row's kind had got their labels by its day, float64[n].

    Frauds are a kind, honest rows the other; `told` bool[n] have a label, and `is_fraud` bool[n] says which.
    How many of those without a label are frauds the scores float64[n] say: of the side that expects more,
    Σ scores of all that was held − known frauds, none at least and all of them at most. They are no fewer
    than `failed` bool[n], rows without a label whose challenge was failed: a model that was calibrated on
    what got a label behind challenges expects few frauds there. 1 where nothing of the kind was held. Days
    add up, and later ones change no earlier rate.
    """
    _, day = np.unique(days, return_inverse=True)
    size = int(day.max()) + 1 if len(day) else 0

    def so_far(weights: NDArray[np.generic]) -> Floats:
        total: Floats = np.cumsum(np.bincount(day[held], weights=weights[held], minlength=size))
        return total

    frauds, honest, untold = so_far(told & is_fraud), so_far(told & ~is_fraud), so_far(~told)
    expected = np.max([so_far(scores) for scores in sides], axis=0) - frauds
    hidden = np.clip(np.maximum(expected, so_far(~told & failed)), 0, untold)
    of_frauds, of_honest = _share(frauds, hidden), _share(honest, untold - hidden)
    return np.where(is_fraud, of_frauds[day], of_honest[day])


def _share(known: Floats, hidden: Floats) -> Floats:
    total = known + hidden
    return np.divide(known, total, out=np.ones(len(total)), where=total > 0)


def exploration_rates(
    declined: Bools, met: Floats, within_cap: Bools, imported: Bools, days: Days, sides: Sequence[Floats]
) -> Floats:
    """Return the rate at which exploration would have let each row through, float64[n].

    A row that some side would have declined as its i-th of the day meets the rate that the i-th decline of
    that day has `met`, by the scores of the last side, who decided: with a rate for each band of scores,
    declines near the threshold come through more often than certain ones, and sides differ near it. Of two
    sides the lower rate holds; 1 where no side would decline.

    `declined` bool[n] holds explored declines too. `met` float64[n] is theirs by the log: an explored
    row's propensity, 1 − propensity of another, 0 where it could not be let through for its band or a
    budget that was used up. These count, or the coin would be kinder than exploration was. Rows above the
    largest amount explored (`within_cap` false) never see the coin and are left out.
    """
    rates = np.ones(len(days))
    for day in np.unique(days[declined]):
        here = np.flatnonzero((days == day) & ~imported)
        own = here[declined[here]]
        ranked = own[np.argsort(-sides[-1][own], kind="stable")]
        known = met[ranked[within_cap[ranked]]]
        places = np.arange(len(own)) * len(known) // len(own)
        for scores in sides:
            top = here[np.argsort(-scores[here], kind="stable")][: len(own)]
            rates[top] = np.minimum(rates[top], known[places] if len(known) else 0.0)
    return rates


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
