"""A transaction as it is logged, and the answer when its id comes again."""

import math

import numpy as np

from fraud.errors import Conflict, FraudError
from fraud.records import Decision, Entry, Scored, Transaction, as_long
from fraud.serving.batcher import Answer
from fraud.serving.dictionary import EntityDictionary


def logged(
    transaction: Transaction, surrogates: tuple[int, ...], features: bytes, decision: Decision
) -> Scored:
    """Return a decided transaction as the log holds it."""
    return Scored(
        transaction.transaction_id,
        transaction.event_time_us,
        transaction.model,
        surrogates,
        transaction.amount_minor,
        transaction.currency,
        transaction.amount_base_minor,
        transaction.numerics,
        transaction.categoricals,
        features,
        decision,
    )


def repeated(transaction: Transaction, entry: Entry, dictionary: EntityDictionary) -> Answer | FraudError:
    """Return the stored answer of an id that came before, or a conflict if the record differs.

    A field appended to the schema in between was not given before.
    """
    scored = entry.event
    assert isinstance(scored, Scored)
    numerics = as_long(scored.numerics, len(transaction.numerics), math.nan)
    same = (
        transaction.event_time_us == scored.event_time_us
        and transaction.model == scored.model
        and dictionary.peek(transaction.entities) == scored.surrogates
        and transaction.amount_minor == scored.amount_minor
        and transaction.currency == scored.currency
        and transaction.amount_base_minor == scored.amount_base_minor
        and transaction.categoricals == as_long(scored.categoricals, len(transaction.categoricals), "")
        and np.array_equal(transaction.numerics, numerics, equal_nan=True)
    )
    if same:
        return Answer(scored, entry.arrival_time_us, position=entry.position or None)
    return Conflict(
        f"transaction_id {transaction.transaction_id!r} was scored before with another record; "
        "an id stands for one payment: send a new id, or the same record to get the stored answer"
    )
