"""Rules as values: what their form has to be, and what a digest stands for."""

from typing import Any

import pytest

from fraud.errors import InvalidInput, LimitExceeded
from fraud.policy.rules import RuleSet, rule_set, ruled_version, rules_digest
from fraud.records import Outcome

GIVEN: dict[str, Any] = {"name": "large", "when": "amount > 500", "outcome": "REVIEW"}


def read(*tables: dict[str, Any], rules_max: int = 3, length_max: int = 40) -> RuleSet:
    return rule_set(tables, rules_max=rules_max, length_max=length_max)


def test_a_rule_is_read_as_it_is_written() -> None:
    (rule,) = read(GIVEN | {"stage": "after", "text": "large amount"}).rules
    assert (rule.outcome, rule.stage, rule.text) == (Outcome.REVIEW, "after", "large amount")
    assert read(rule.to_dict()).rules == (rule,)
    assert read(GIVEN).rules[0].text == "rule large"
    assert read(GIVEN).rules[0].stage == "before"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "Large"}, "is not a name"),
        ({"name": "block:card"}, "is not a name"),
        ({"when": "  "}, "rule 'large', when: is missing"),
        ({"outcome": "UNSPECIFIED"}, "give one of APPROVE, CHALLENGE, REVIEW, DECLINE"),
        ({"outcome": ""}, "give one of APPROVE"),
        ({"stage": "between"}, "give one of before, after"),
        ({"when": 3}, "3 is no text"),
        ({"unless": "night = 1"}, "unknown key 'unless'"),
    ],
)
def test_a_rule_of_the_wrong_form_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        read(GIVEN | change)


def test_limits_hold_on_both_sides() -> None:
    named = [GIVEN | {"name": f"rule_{i}"} for i in range(4)]
    assert len(read(*named[:3]).rules) == 3
    with pytest.raises(LimitExceeded, match=r"at most 3 \(rules.rules_max\)"):
        read(*named)
    padded = "amount > 1".ljust(40, "0")
    assert read(GIVEN | {"when": padded}).rules[0].when == padded
    with pytest.raises(LimitExceeded, match=r"rules.expression_length_max"):
        read(GIVEN | {"when": padded + "0"})
    with pytest.raises(LimitExceeded, match="text"):
        read(GIVEN | {"text": "x" * 201})


def test_a_name_stands_once_in_a_set() -> None:
    with pytest.raises(InvalidInput, match="rule 'large': is there twice"):
        read(GIVEN, GIVEN | {"when": "amount > 900"})


def test_the_digest_changes_with_anything_in_the_set_and_names_the_policy() -> None:
    other = GIVEN | {"name": "night"}
    changes = [GIVEN | {"text": "another"}, GIVEN | {"when": "amount > 501"}, GIVEN | {"stage": "after"}]
    digests = {read(GIVEN).digest, read(GIVEN, other).digest, read(other, GIVEN).digest}
    digests |= {read(change).digest for change in changes}
    assert len(digests) == 6
    assert all(len(digest) == 8 for digest in digests)
    assert read().digest == ""
    digest = read(GIVEN).digest
    assert rules_digest(ruled_version("card-7/3fa2c1", digest)) == digest
    assert rules_digest(ruled_version("", digest)) == digest
    assert ruled_version("card-7/3fa2c1", "") == "card-7/3fa2c1"
    assert ruled_version("", "") == ""
