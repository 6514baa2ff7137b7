"""The columns that rules speak of, and a batch of payments as a table of them.

    amount                     base currency, minor units ÷ 100, whatever the currency has
    currency                   of the payment, e.g. "EUR"
    every feature              by name; a number
    every field of the schema  by name; a number or a word
    score, risk_score,         the model's answer before exploration, in stage "after"; without a
    outcome                    champion there is no score, and the outcome is the configured one

What is missing (NaN, "") is NULL: no comparison with it holds, and only IS NULL
finds it. A number given with the payment is read as it was given, not as the
feature (float32) that is made of it. A name that means two things, and a field
marked personal, cannot be used.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.features.hops import MINOR_PER_MAJOR
from fraud.features.spec import FeatureSpec
from fraud.policy.rules import Stage
from fraud.records import Outcome, Scored, Transaction
from fraud.settings.schema import Schema

Kind = Literal["amount", "currency", "feature", "numeric", "categorical", "score", "risk_score", "outcome"]
_WORDS: frozenset[Kind] = frozenset({"currency", "categorical", "outcome"})
_ANSWER: frozenset[Kind] = frozenset({"score", "risk_score", "outcome"})
_OUTCOME_NAMES = {outcome.value: outcome.name for outcome in Outcome}


@dataclass(frozen=True, slots=True)
class Column:
    """One column: what it holds, and where among the features or fields of its kind."""

    name: str
    kind: Kind
    place: int = 0

    @property
    def dtype(self) -> pl.DataType:
        """Words are String, numbers Float64."""
        return pl.String() if self.kind in _WORDS else pl.Float64()


@dataclass(frozen=True, slots=True)
class RuleRows:
    """The rows of one batch and what the model says of them.

    `features` is float32[n, F]; `scores` float64[n] and `risk_scores` int[n] are
    None without a champion; `outcomes` int[n] are values of `Outcome`.
    """

    transactions: Sequence[Transaction | Scored]
    features: NDArray[np.float32]
    scores: NDArray[np.float64] | None
    risk_scores: NDArray[np.integer] | None
    outcomes: NDArray[np.integer]


class RuleColumns:
    """The columns of one service; `personal` and `ambiguous` are names that no rule may use."""

    def __init__(self, columns: Sequence[Column], personal: Iterable[str] = ()) -> None:
        names = [column.name for column in columns]
        self.personal = frozenset(personal)
        self.ambiguous = frozenset(name for name in names if names.count(name) > 1)
        self._columns = {column.name: column for column in columns}

    @classmethod
    def of(cls, spec: FeatureSpec, schema: Schema) -> Self:
        """Name the columns of a service."""
        own: list[Column] = [Column("amount", "amount"), Column("currency", "currency")]
        own += [Column(name, name) for name in ("score", "risk_score", "outcome")]
        shadowed = ("amount", *schema.numeric_names)
        own += [
            Column(name, "feature", place) for place, name in enumerate(spec.names) if name not in shadowed
        ]
        own += [Column(name, "numeric", i) for i, name in enumerate(schema.numeric_names)]
        own += [Column(name, "categorical", i) for i, name in enumerate(schema.categorical_names)]
        return cls(own, schema.personal_names)

    def names(self, stage: Stage) -> tuple[str, ...]:
        """Return the names that a rule of a stage may use, in order."""
        barred = self.personal | self.ambiguous
        return tuple(
            name
            for name, column in self._columns.items()
            if name not in barred and (stage == "after" or column.kind not in _ANSWER)
        )

    def known(self, name: str) -> bool:
        """Tell whether there is a column of this name, usable or not."""
        return name in self._columns

    def schema(self, names: Iterable[str]) -> dict[str, pl.DataType]:
        """Return the types of columns."""
        return {name: self._columns[name].dtype for name in names}

    def frame(self, names: Sequence[str], rows: RuleRows) -> pl.DataFrame:
        """Return the named columns of a batch, a row each in order."""
        return pl.DataFrame([self._series(self._columns[name], rows) for name in names])

    def archived(self, name: str) -> pl.Expr | None:
        """Return a column of the archive's transactions; None for the model's outcome, which has none."""
        column = self._columns[name]
        match column.kind:
            case "amount":
                found = pl.col("amount_base_minor").map_batches(_major, return_dtype=pl.Float64)
            case "feature":
                found = pl.col(f"f_{name}").cast(pl.Float64).fill_nan(None)
            case "numeric" | "categorical":
                found = pl.col(f"{column.kind}_{name}")
            case "outcome":
                return None
            case _:
                found = pl.col(name)
        missing = pl.when(found != "").then(found) if column.kind in _WORDS else found.cast(pl.Float64)
        return missing.alias(name)

    def _series(self, column: Column, rows: RuleRows) -> pl.Series:
        name, place = column.name, column.place
        match column.kind:
            case "feature":
                values = rows.features[:, place].astype(np.float64)
                return pl.Series(name, values, nan_to_null=True)
            case "amount":
                minor = [it.amount_base_minor for it in rows.transactions]
                return _major(pl.Series(name, minor, dtype=pl.Int64))
            case "numeric":
                given = np.array([it.numerics[place] for it in rows.transactions], np.float64)
                return pl.Series(name, given, nan_to_null=True)
            case "categorical":
                words = [it.categoricals[place] or None for it in rows.transactions]
                return pl.Series(name, words, dtype=pl.String)
            case "currency":
                return pl.Series(name, [it.currency or None for it in rows.transactions], dtype=pl.String)
            case "outcome":
                words = [_OUTCOME_NAMES[value] for value in rows.outcomes.tolist()]
                return pl.Series(name, words, dtype=pl.String)
            case "score" | "risk_score":
                answer = rows.scores if column.kind == "score" else rows.risk_scores
                if answer is None:
                    return pl.Series(name, [None] * len(rows.transactions), dtype=pl.Float64)
                return pl.Series(name, answer.astype(np.float64), nan_to_null=True)


def _major(minor: pl.Series) -> pl.Series:
    """Return amounts ÷ 100; not by Polars, which multiplies by 0.01 and misses 19.99 by a hair."""
    return pl.Series(minor.name, minor.to_numpy() / MINOR_PER_MAJOR)
