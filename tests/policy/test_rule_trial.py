"""What rules would have done is counted from what they hold on."""

import polars as pl

from fraud.policy.rule_language import CompiledRules
from fraud.policy.rule_trial import trial
from fraud.policy.rules import Rule, RuleSet
from fraud.records import Outcome
from tests.policy.rule_cases import COLUMNS

PAYMENTS = pl.DataFrame(
    {
        "amount": [5.0, 50.0, 500.0, 600.0, 700.0],
        "channel": ["web", None, "web", "shop", "web"],
        "amount_base_minor": [500, 5_000, 50_000, 60_000, 70_000],
        "is_fraud": [False, None, True, None, False],
        "alerted": [False, None, True, False, True],
    }
)


def test_each_rule_has_a_line_and_the_set_one() -> None:
    rules = RuleSet(
        (
            Rule("large", "amount >= 500", Outcome.REVIEW),
            Rule("web", "channel = 'web'", Outcome.DECLINE),
            Rule("none", "amount > 9000", Outcome.DECLINE),
        )
    )
    found = trial(CompiledRules.of(rules, COLUMNS), PAYMENTS)
    assert (found.rows, found.frauds) == (5, 1)
    large, web, none = found.lines
    assert (large.rows, large.decides, large.judged, large.frauds) == (3, 3, 2, 1)
    assert (large.amount_minor, large.alerted, large.precision) == (180_000, 2, 0.5)
    assert (web.rows, web.decides, web.judged, web.frauds, web.alerted) == (3, 1, 3, 1, 2)
    assert (none.rows, none.decides, none.precision) == (0, 0, None)
    assert (found.whole.rows, found.whole.decides, found.whole.frauds) == (4, 4, 1)


def test_no_rules_hit_nothing() -> None:
    found = trial(CompiledRules.of(RuleSet(), COLUMNS), PAYMENTS)
    assert (found.lines, found.whole.rows, found.rows) == ((), 0, 5)
