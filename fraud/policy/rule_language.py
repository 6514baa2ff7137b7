"""What a rule's condition may say, and a set of rules made ready for batches.

    text → words and signs ─ each allowed? ─► columns ─ each known? ─► expression of Polars
         → on a table without rows: is it a condition (boolean)?
         → on a small sample: is every row's answer its own?
         → CompiledRules: one look at a batch, bool[n, R]

The language is SQL as Polars speaks it, kept to what looks at one payment and
cannot fail on any: comparisons, AND, OR, NOT, IN, BETWEEN, LIKE, IS NULL, CASE,
arithmetic and the functions of `FUNCTIONS`. A division is by a number or by
NULLIF(x, 0): 0 ÷ 0 is not missing to Polars but larger than any number. The
check of the sample repeats what the list of words should have seen to.
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.errors import InvalidInput
from fraud.policy.rule_columns import RuleColumns, RuleRows
from fraud.policy.rules import Rule, RuleSet

FUNCTIONS: Final = frozenset(
    {"abs", "ceil", "coalesce", "ends_with", "floor", "greatest", "least", "length", "lower", "nullif"}
    | {"round", "starts_with", "upper"}
)
_KEYWORDS: Final = frozenset(
    {"and", "or", "not", "in", "is", "null", "between", "like", "ilike", "case", "when", "then", "else"}
    | {"end", "true", "false"}
)
_TOKEN: Final = re.compile(
    r"""(?P<space>\s+) | (?P<comment>--) | (?P<string>'(?:[^']|'')*') | "(?P<quoted>[^"]+)"
    | (?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)? | \.\d+(?:[eE][+-]?\d+)?)
    | (?P<word>[A-Za-z_]\w*) | (?P<sign><=|>=|<>|!=|[-+*/%(),<>=])""",
    re.VERBOSE,
)
_SAMPLE_NUMBERS: Final = (None, 0.0, 1.0, -1.0, 0.5, 7.0, 1e3, 1e12, 0.001, 23.0, 365.0)
_SAMPLE_WORDS: Final = (None, "web", "EUR", "DECLINE", "a", "0", "ß")
_SAMPLE_ROWS: Final = 24
_REFUSALS: Final = (pl.exceptions.PolarsError, pl.exceptions.PanicException)


@dataclass(frozen=True, slots=True)
class CompiledRules:
    """The rules of one model, ready; `order` is how they are asked: stage before, then after."""

    rules: RuleSet
    order: tuple[Rule, ...]
    columns: tuple[str, ...]
    _source: RuleColumns
    _conditions: tuple[pl.Expr, ...]

    @classmethod
    def of(cls, rules: RuleSet, columns: RuleColumns) -> Self:
        """Make rules ready for a service's columns.

        Raises:
            InvalidInput: a rule does not fit them, by its name, with what to write instead.
        """
        order = tuple(sorted(rules.rules, key=lambda rule: rule.stage == "after"))
        used = [_columns_used(rule, columns) for rule in order]
        conditions = [
            _condition(rule, names, columns).fill_null(False).alias(rule.name)
            for rule, names in zip(order, used, strict=True)
        ]
        names = tuple(dict.fromkeys(name for each in used for name in each))
        return cls(rules, order, names, columns, tuple(conditions))

    def deciding(self, rows: RuleRows) -> NDArray[np.intp]:
        """Return which of `order` decides each row, intp[n]; −1 for none."""
        held = self.holding(self._source.frame(self.columns, rows))
        return np.where(held.any(axis=1), held.argmax(axis=1), -1)

    def holding(self, frame: pl.DataFrame) -> NDArray[np.bool_]:
        """Return which of `order` hold on each row of a table of `columns`, bool[n, R]."""
        return frame.select_seq(self._conditions).to_numpy()


def check_one(rule: Rule, columns: RuleColumns) -> None:
    """Refuse a rule that does not fit a service's columns.

    Raises:
        InvalidInput: naming the rule and what to write instead.
    """
    _condition(rule, _columns_used(rule, columns), columns)


def _columns_used(rule: Rule, columns: RuleColumns) -> tuple[str, ...]:
    """Return the columns of a condition, each once, after a look at every word of it."""
    tokens = _tokens(rule)
    found = []
    for i, (kind, text) in enumerate(tokens):
        following = tokens[i + 1] if i + 1 < len(tokens) else ("", "")
        if text in ("/", "%") and kind == "sign":
            _check_divisor(rule, tokens[i + 1 :])
        if kind == "quoted":
            found.append(text)
        elif kind == "word" and text.lower() not in _KEYWORDS:
            if following == ("sign", "("):
                if text.lower() not in FUNCTIONS:
                    remedy = f"a rule looks at one payment alone, with {', '.join(sorted(FUNCTIONS))}"
                    raise _wrong(rule, f"{text!r} is no function here", remedy)
                continue
            found.append(text)
    for name in found:
        _check_column(rule, name, columns)
    if not found:
        raise _wrong(rule, "looks at no column", f"use one of {_some(columns.names(rule.stage))}")
    return tuple(dict.fromkeys(found))


def _tokens(rule: Rule) -> list[tuple[str, str]]:
    tokens = []
    at = 0
    while at < len(rule.when):
        match = _TOKEN.match(rule.when, at)
        if match is None or match.lastgroup == "comment":
            raise _wrong(
                rule,
                f"{rule.when[at : at + 12]!r} cannot stand there",
                "write a condition like \"amount > 500 AND channel = 'web'\"",
            )
        at = match.end()
        if match.lastgroup is not None and match.lastgroup != "space":
            tokens.append((match.lastgroup, match.group(match.lastgroup)))
    return tokens


def _check_divisor(rule: Rule, following: Sequence[tuple[str, str]]) -> None:
    kind, text = following[0] if following else ("", "")
    safe = (kind == "number" and float(text) != 0) or _is_nullif_zero(following)
    if not safe:
        raise _wrong(rule, "divides by what may be 0", "divide by a number or by NULLIF(x, 0)")


def _is_nullif_zero(tokens: Sequence[tuple[str, str]]) -> bool:
    """Tell whether tokens begin with NULLIF(…, 0): nothing else keeps a 0 away."""
    if [kind for kind, _ in tokens[:1]] != ["word"] or tokens[0][1].lower() != "nullif":
        return False
    depth = 0
    for end, token in enumerate(tokens):
        depth += (token == ("sign", "(")) - (token == ("sign", ")"))
        if end and not depth:
            (kind, text), comma = tokens[end - 1], tokens[end - 2]
            return comma == ("sign", ",") and kind == "number" and float(text) == 0
    return False


def _check_column(rule: Rule, name: str, columns: RuleColumns) -> None:
    usable = columns.names(rule.stage)
    if name in usable:
        return
    if name in columns.personal:
        raise _wrong(
            rule,
            f"{name!r} is marked personal",
            "a rule stays on record for ever: put the person's entity on a list instead",
        )
    if name in columns.ambiguous:
        remedy = "rename the field in [schema] to use it in rules"
        raise _wrong(rule, f"{name!r} is the name of a field and of something else", remedy)
    if columns.known(name):
        raise _wrong(rule, f"{name!r} is the model's answer", "give the rule stage = 'after'")
    near = difflib.get_close_matches(name.lower(), usable, n=3)
    remedy = f"did you mean {' or '.join(near)}?" if near else f"use one of {_some(usable)}"
    raise _wrong(rule, f"{name!r} is no column", remedy)


def _condition(rule: Rule, names: Sequence[str], columns: RuleColumns) -> pl.Expr:
    """Return the condition as an expression that was tried on a table of its columns."""
    schema = columns.schema(names)
    try:
        condition = pl.sql_expr(rule.when).alias(rule.name)
        dtype = pl.DataFrame(schema=schema).select(condition).schema[rule.name]
        if dtype != pl.Boolean:
            remedy = "compare it with something, e.g. 'amount > 500'"
            raise _wrong(rule, f"is no condition but a value ({dtype})", remedy)
        sample = _sample(schema)
        together = sample.select_seq(condition)
        apart = pl.concat([sample[i].select_seq(condition) for i in range(len(sample))])
    except _REFUSALS as error:
        problem = str(error).strip().partition("\n")[0]
        raise _wrong(rule, f"cannot be read: {problem}", "mend the condition") from None
    if len(together) != len(sample) or not together.equals(apart):
        raise _wrong(rule, "does not look at one payment alone", "compare columns of the payment itself")
    return condition


def _sample(schema: dict[str, pl.DataType]) -> pl.DataFrame:
    """Return rows with everything missing at first, then values that go through all pairs unevenly."""
    columns = []
    for place, (name, dtype) in enumerate(schema.items()):
        values: Sequence[object] = _SAMPLE_WORDS if dtype == pl.String else _SAMPLE_NUMBERS
        picked = [values[row * (place + 1) % len(values)] for row in range(_SAMPLE_ROWS)]
        columns.append(pl.Series(name, picked, dtype=dtype))
    return pl.DataFrame(columns)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _wrong(rule: Rule, problem: str, remedy: str) -> InvalidInput:
    return InvalidInput(f"rule {rule.name!r}, when", problem, remedy)
