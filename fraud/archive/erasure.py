"""Where a person stands in the archive, as rows to look at and predicates to blank by.

    transactions with the entity's surrogate   → fields marked personal
    labels on those transactions               → comments

Surrogates, ids and positions are never blanked, so looking again finds the same
rows: whoever goes on with an erasure that was broken off has all it needs here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

IDS_PER_COMMIT = 500
"""Transactions named in one predicate."""


@dataclass(frozen=True, slots=True)
class Traces:
    """Where one entity stands, and what of it is to be blanked.

    `transactions` are the positions of its transactions and `ids` their ids;
    `labels` are the positions of labels on them. `fields` counts personal values
    in the transactions, `comments` are (position, transaction id) of commented labels.
    """

    transactions: tuple[int, ...]
    ids: frozenset[str]
    labels: tuple[int, ...]
    fields: int
    comments: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Linked:
    """Entities of another kind that stand beside an erased one, by surrogate.

    `own` stand nowhere else and go with it; `shared` is how many others stay.
    """

    entity: str
    own: tuple[int, ...]
    shared: int


def traces_of(transactions: pl.LazyFrame, labels: pl.LazyFrame, fields: Sequence[str]) -> Traces:
    """Return the traces of an entity whose `transactions` these are; `fields` are columns of them."""
    rows = transactions.select("position", "transaction_id", *fields).sort("position").collect()
    given = [rows[name].count() for name in fields]
    on_them = (
        labels.join(rows.lazy().select("transaction_id"), on="transaction_id", how="semi")
        .select("position", "transaction_id", commented=pl.col("comment") != "")
        .sort("position")
        .collect()
    )
    comments = on_them.filter("commented").select("position", "transaction_id")
    return Traces(
        tuple(rows["position"].to_list()),
        frozenset(rows["transaction_id"].to_list()),
        tuple(on_them["position"].unique(maintain_order=True).to_list()),
        sum(given),
        tuple(comments.iter_rows()),
    )


def linked_to(
    transactions: pl.LazyFrame, entity: str, surrogate: int, other: str, gone: Sequence[int]
) -> tuple[tuple[int, ...], int]:
    """Return the surrogates in column `other` that stand with one entity only, and how many stand elsewhere.

    `gone` are surrogates of column `entity` that were erased before: they are nobody.
    """
    named = transactions.filter(pl.col(other).is_not_null())
    beside = named.filter(pl.col(entity) == surrogate).select(other).unique().collect()
    nobody = [surrogate, *gone]
    elsewhere = named.filter(pl.col(entity).is_null() | ~pl.col(entity).is_in(nobody))
    shared = elsewhere.join(beside.lazy(), on=other, how="semi").select(other).unique().collect()
    own = beside.join(shared, on=other, how="anti")
    return tuple(own[other].sort().to_list()), shared.height


def fields_predicate(entity: str, surrogate: int, upto: int, fields: Sequence[str]) -> str:
    """Return the SQL predicate of transactions to blank; names are columns, checked by the schema."""
    given = " OR ".join(f"{name} IS NOT NULL" for name in fields)
    return f"{entity} = {surrogate} AND position <= {upto} AND ({given})"


def comment_predicates(comments: Sequence[tuple[int, str]]) -> Iterator[str]:
    """Yield SQL predicates that together cover the labels to blank.

    >>> list(comment_predicates([(7, "it's")]))
    ["position IN (7) AND transaction_id IN ('it''s') AND comment <> ''"]
    """
    for start in range(0, len(comments), IDS_PER_COMMIT):
        part = comments[start : start + IDS_PER_COMMIT]
        positions = ", ".join(map(str, dict.fromkeys(position for position, _ in part)))
        ids = ", ".join("'" + name.replace("'", "''") + "'" for name in dict.fromkeys(n for _, n in part))
        yield f"position IN ({positions}) AND transaction_id IN ({ids}) AND comment <> ''"
