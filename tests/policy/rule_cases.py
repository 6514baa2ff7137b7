"""Conditions with what they mean, row by row and in plain Python; and payments to ask them about."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from fraud.policy.rule_columns import Column, RuleColumns, RuleRows
from fraud.records import Outcome, Transaction

Row = Mapping[str, float | str | None]
COLUMNS = RuleColumns(
    [
        Column("amount", "amount"),
        Column("currency", "currency"),
        Column("score", "score"),
        Column("risk_score", "risk_score"),
        Column("outcome", "outcome"),
        Column("card_count_1h", "feature", 0),
        Column("night", "feature", 1),
        Column("distance", "numeric", 0),
        Column("channel", "categorical", 0),
        Column("email", "categorical", 1),
        Column("hour", "feature", 0),
        Column("hour", "categorical", 0),
    ],
    personal=["email"],
)
NUMBERS = ("amount", "card_count_1h", "night", "distance")
WORDS = ("currency", "channel")
_SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Condition:
    """SQL text, and the same as a function of one row: True, False, or None for NULL."""

    text: str
    holds: Callable[[Row], bool | None]


def _compared(name: str, sign: str, value: float | str) -> Condition:
    def holds(row: Row) -> bool | None:
        return None if row[name] is None else _SIGNS[sign](row[name], value)

    return Condition(f"{name} {sign} {_literal(value)}", holds)


def _missing(name: str, negated: bool) -> Condition:
    return Condition(
        f"{name} IS {'NOT ' if negated else ''}NULL", lambda row: (row[name] is None) is not negated
    )


def _among(name: str, values: list[float | str]) -> Condition:
    listed = ", ".join(map(_literal, values))
    return Condition(f"{name} IN ({listed})", lambda row: None if row[name] is None else row[name] in values)


def _not(inner: Condition) -> Condition:
    def holds(row: Row) -> bool | None:
        found = inner.holds(row)
        return None if found is None else not found

    return Condition(f"NOT ({inner.text})", holds)


def _and(left: Condition, right: Condition) -> Condition:
    def holds(row: Row) -> bool | None:
        found = {left.holds(row), right.holds(row)}
        return False if False in found else None if None in found else True

    return Condition(f"({left.text}) AND ({right.text})", holds)


def _or(left: Condition, right: Condition) -> Condition:
    def holds(row: Row) -> bool | None:
        found = {left.holds(row), right.holds(row)}
        return True if True in found else None if None in found else False

    return Condition(f"({left.text}) OR ({right.text})", holds)


def _literal(value: float | str) -> str:
    return f"'{value}'" if isinstance(value, str) else repr(value)


_NUMBER = st.sampled_from([0.0, 1.0, 2.0, 12.5, 100.0])
_WORD = st.sampled_from(["web", "shop", "EUR", "USD"])
_simple = st.one_of(
    st.builds(_compared, st.sampled_from(NUMBERS), st.sampled_from(sorted(_SIGNS)), _NUMBER),
    st.builds(_compared, st.sampled_from(WORDS), st.sampled_from(["=", "<>"]), _WORD),
    st.builds(_missing, st.sampled_from(NUMBERS + WORDS), st.booleans()),
    st.builds(_among, st.sampled_from(NUMBERS), st.lists(_NUMBER, min_size=1, max_size=3)),
    st.builds(_among, st.sampled_from(WORDS), st.lists(_WORD, min_size=1, max_size=3)),
)
conditions = st.recursive(
    _simple,
    lambda inner: st.one_of(
        st.builds(_not, inner), st.builds(_and, inner, inner), st.builds(_or, inner, inner)
    ),
    max_leaves=5,
)


@st.composite
def payments(draw: st.DrawFn) -> RuleRows:
    """A batch of 1 to 12 payments, values often missing and often equal to what rules compare with."""
    count = draw(st.integers(1, 12))
    number = st.one_of(_NUMBER, st.just(float("nan")))
    features = np.array([[draw(number), draw(number)] for _ in range(count)], np.float32)
    transactions = tuple(
        Transaction(
            f"t{i}",
            1_000,
            "card",
            ("c1",),
            100,
            draw(st.sampled_from(["EUR", "USD"])),
            draw(st.sampled_from([0, 100, 1250, 10_000])),
            (draw(number),),
            (draw(st.sampled_from(["", "web", "shop"])), ""),
        )
        for i in range(count)
    )
    outcomes = np.array([draw(st.sampled_from([1, 3, 4])) for _ in range(count)], np.int64)
    scores = np.array([draw(st.sampled_from([0.1, 0.5, 0.9])) for _ in range(count)])
    return RuleRows(transactions, features, scores, (scores * 999).astype(np.int32), outcomes)


def seen(rows: RuleRows, i: int) -> Row:
    """What a rule sees of one payment, by name."""
    payment = rows.transactions[i]
    numbers = {
        "amount": payment.amount_base_minor / 100,
        "card_count_1h": float(rows.features[i, 0]),
        "night": float(rows.features[i, 1]),
        "distance": payment.numerics[0],
        "score": float("nan") if rows.scores is None else float(rows.scores[i]),
    }
    known: dict[str, float | str | None] = {
        name: None if np.isnan(value) else value for name, value in numbers.items()
    }
    words = {"currency": payment.currency, "channel": payment.categoricals[0] or None}
    return {**known, **words, "outcome": Outcome(int(rows.outcomes[i])).name}


def part(rows: RuleRows, i: int) -> RuleRows:
    """The batch of one payment alone."""
    assert rows.scores is not None
    assert rows.risk_scores is not None
    one = slice(i, i + 1)
    return RuleRows(
        rows.transactions[one],
        rows.features[one],
        rows.scores[one],
        rows.risk_scores[one],
        rows.outcomes[one],
    )
