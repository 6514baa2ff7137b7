"""A condition means what it says of one payment, and what could mean anything else is refused."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraud.errors import InvalidInput
from fraud.policy.rule_columns import RuleRows
from fraud.policy.rule_language import CompiledRules, check_one
from fraud.policy.rules import Rule, RuleSet, Stage
from fraud.records import Outcome
from tests.policy.rule_cases import COLUMNS, Condition, conditions, part, payments, seen

ROWS = payments()


def rule(when: str, stage: Stage = "before", name: str = "it") -> Rule:
    return Rule(name, when, Outcome.REVIEW, stage, "text")


def compiled(*rules: Rule) -> CompiledRules:
    return CompiledRules.of(RuleSet(rules), COLUMNS)


@settings(max_examples=60)
@given(st.lists(st.tuples(conditions, st.sampled_from(["before", "after"])), min_size=1, max_size=4), ROWS)
def test_a_batch_is_decided_as_a_naive_look_at_each_payment_would(
    given_rules: list[tuple[Condition, Stage]], rows: RuleRows
) -> None:
    rules = [rule(it.text, stage, f"rule_{i}") for i, (it, stage) in enumerate(given_rules)]
    ready = compiled(*rules)
    deciding = ready.deciding(rows).tolist()
    means = {made.name: it for made, (it, _) in zip(rules, given_rules, strict=True)}
    ordered = [*(it for it in rules if it.stage == "before"), *(it for it in rules if it.stage == "after")]
    assert list(ready.order) == ordered
    for i, found in enumerate(deciding):
        naive = [k for k, it in enumerate(ordered) if means[it.name].holds(seen(rows, i)) is True]
        assert found == (naive[0] if naive else -1)
        assert ready.deciding(part(rows, i)).tolist() == [found], "a batch of n is n batches of one"


@given(ROWS)
def test_after_the_score_a_rule_sees_the_models_answer(rows: RuleRows) -> None:
    ready = compiled(rule("score >= 0.5 AND outcome = 'DECLINE' AND risk_score < 900", "after"))
    assert rows.scores is not None
    wanted = (rows.scores >= 0.5) & (rows.outcomes == 4) & (rows.scores * 999 < 900)
    assert np.array_equal(ready.deciding(rows) == 0, wanted)
    without = RuleRows(rows.transactions, rows.features, None, None, rows.outcomes)
    assert not (ready.deciding(without) >= 0).any(), "without a champion there is no score to compare"


@pytest.mark.parametrize(
    ("when", "problem"),
    [
        ("amount > AVG(amount)", "'AVG' is no function here"),
        ("amount > MAX(amount) OVER (PARTITION BY channel)", "'MAX' is no function here"),
        ("ROW_NUMBER() > 1 AND amount > 1", "'ROW_NUMBER' is no function here"),
        ("amount > (SELECT 1)", "'SELECT' is no column"),
        ("COUNT(*) > 1", "'COUNT' is no function here"),
        ("CAST(channel AS INT) > 1", "'CAST' is no function here"),
        ("channel::int > 1", "'::int > 1' cannot stand there"),
        ("amount > 1 -- 5", "cannot stand there"),
        ("amount > 1; DROP", "cannot stand there"),
        ("1 = 1", "looks at no column"),
        ("amount", "is no condition but a value"),
        ("NOT channel", "cannot be read"),
        ("channel > 3", "cannot be read"),
        ("((amount > 3", "cannot be read"),
        ("amount / night > 3", "divides by what may be 0"),
        ("amount / 0 > 3", "divides by what may be 0"),
        ("amount > 3 AND hour = 3", "'hour' is the name of a field and of something else"),
        ("email = 'ann@example.org'", "'email' is marked personal"),
        ("amuont > 3", "'amuont' is no column; did you mean amount"),
        ("Card_Count_1h > 3", "did you mean card_count_1h"),
        ("xyz > 3", "use one of amount, currency"),
        ("score > 0.5", "'score' is the model's answer; give the rule stage = 'after'"),
        ("outcome = 'DECLINE'", "give the rule stage = 'after'"),
    ],
)
def test_what_is_no_condition_on_one_payment_is_refused_by_name(when: str, problem: str) -> None:
    with pytest.raises(InvalidInput, match="rule 'it', when") as refusal:
        check_one(rule(when), COLUMNS)
    assert problem in str(refusal.value)


@pytest.mark.parametrize(
    "when",
    [
        "amount BETWEEN 10 AND 20 AND channel LIKE 'w%'",
        "CASE WHEN channel = 'web' THEN amount > 10 ELSE amount > 20 END",
        "amount / NULLIF(card_count_1h, 0) > 3 AND amount % 2 = 0",
        "amount / NULLIF(COALESCE(card_count_1h, 0), 0.0) > 3",
        "amount / nullif((card_count_1h + 1) * 2, 0) > 3",
        "COALESCE(distance, 0) > 5 OR GREATEST(amount, distance) > 100",
        "LENGTH(channel) = 3 AND UPPER(channel) <> 'WEB'",
        "\"amount\" > 3 AND channel = 'it''s'",
    ],
)
def test_what_looks_at_one_payment_is_taken(when: str) -> None:
    check_one(rule(when), COLUMNS)


@pytest.mark.parametrize(
    "divisor",
    [
        "NULLIF(card_count_1h, 1)",
        "NULLIF(0, 5)",
        "NULLIF(card_count_1h, distance)",
        "NULLIF(card_count_1h, 0 + 1)",
        "NULLIF(NULLIF(card_count_1h, 0), 1)",
        "card_count_1h",
        "0",
    ],
)
def test_what_may_be_0_divides_nothing(divisor: str) -> None:
    with pytest.raises(InvalidInput, match="divides by what may be 0"):
        check_one(rule(f"amount / {divisor} > 3"), COLUMNS)


def test_nothing_divided_by_nothing_is_missing() -> None:
    ready = compiled(rule("amount / NULLIF(card_count_1h, 0) > 3"))
    table = pl.DataFrame({"amount": [0.0, 5.0, 5.0], "card_count_1h": [0.0, 0.0, 1.0]})
    assert ready.holding(table)[:, 0].tolist() == [False, False, True]


def test_a_refused_rule_refuses_the_set() -> None:
    with pytest.raises(InvalidInput, match="rule 'second'"):
        compiled(rule("amount > 1", name="first"), rule("amonut > 1", name="second"))
