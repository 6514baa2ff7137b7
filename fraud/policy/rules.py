"""Rules beside the model: what people know, said in one line each.

    name     stands in the decision, in reasons and in metrics
    stage    before: decides in the model's place, also where there is no model
             after: sees the model's answer, and may change it
    when     a condition on the columns of one payment (`fraud.policy.rule_language`)
    outcome  what the payment gets when it holds
    text     what people read

Of each stage the first rule that holds decides; what a rule decided is never
explored. A set is a value: its digest names it in policy versions, so every
decision says which rules it passed.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from fraud.errors import InvalidInput, LimitExceeded
from fraud.records import Outcome

Stage = Literal["before", "after"]
STAGES: tuple[Stage, ...] = get_args(Stage)
TEXT_LENGTH_MAX: Final = 200
_DIGEST_LETTERS: Final = 8
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_OUTCOMES: Final = tuple(outcome.name for outcome in Outcome if outcome is not Outcome.UNSPECIFIED)
_KEYS: Final = ("name", "when", "outcome", "stage", "text")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. Its form is right; whether `when` means anything is another question."""

    name: str
    when: str
    outcome: Outcome
    stage: Stage = "before"
    text: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return the rule as JSON values, as `rule_of` reads it."""
        return {
            "name": self.name,
            "when": self.when,
            "outcome": self.outcome.name,
            "stage": self.stage,
            "text": self.text,
        }


@dataclass(frozen=True, slots=True)
class RuleSet:
    """The rules of one model in order; each name once."""

    rules: tuple[Rule, ...] = ()

    @property
    def digest(self) -> str:
        """Eight hex digits that change with anything in the set; "" for an empty one."""
        if not self.rules:
            return ""
        content = json.dumps([rule.to_dict() for rule in self.rules], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:_DIGEST_LETTERS]

    def rule(self, name: str) -> Rule | None:
        """Return the rule of a name, None for none."""
        return next((rule for rule in self.rules if rule.name == name), None)


def ruled_version(policy_version: str, digest: str) -> str:
    """Return the policy version of decisions made under rules as well; no digest: as it is.

    >>> ruled_version("card-7/3fa2c1", "09ab34cd"), ruled_version("", "09ab34cd")
    ('card-7/3fa2c1+09ab34cd', 'rules+09ab34cd')
    """
    return f"{policy_version or 'rules'}+{digest}" if digest else policy_version


def rules_digest(policy_version: str) -> str:
    """Return the digest of the rules in a policy version, "" when it was made without any.

    >>> rules_digest("card-7/3fa2c1+09ab34cd"), rules_digest("card-7/3fa2c1")
    ('09ab34cd', '')
    """
    return policy_version.partition("+")[2]


def rule_set(given: Sequence[Mapping[str, Any]], *, rules_max: int, length_max: int) -> RuleSet:
    """Read rules from tables of a file, a request or the ledger.

    Raises:
        InvalidInput: a rule lacks a key, has an unknown one, or a value that is none.
        LimitExceeded: there are more than `rules_max`, or a text is too long.
    """
    if len(given) > rules_max:
        raise LimitExceeded(
            "rules", f"are {len(given)}", f"give a model at most {rules_max} (rules.rules_max)"
        )
    rules = tuple(rule_of(table, f"rule {i + 1}", length_max) for i, table in enumerate(given))
    names = [rule.name for rule in rules]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidInput(f"rule {twice[0]!r}", "is there twice", "give each rule its own name")
    return RuleSet(rules)


def rule_of(given: Mapping[str, Any], where: str, length_max: int) -> Rule:
    """Read one rule; `where` names it until it has a name.

    Raises:
        InvalidInput: a key is missing or unknown, or a value is none.
        LimitExceeded: a text is too long.
    """
    for key, value in given.items():
        if key not in _KEYS:
            raise InvalidInput(where, f"has an unknown key {key!r}", f"use {', '.join(_KEYS)}")
        if not isinstance(value, str):
            raise InvalidInput(f"{where}, {key}", f"{value!r} is no text", "put it in quotes")
    name = given.get("name", "")
    if not _NAME.fullmatch(name):
        remedy = "use 1 to 40 of a-z, 0-9 and _, starting with a letter"
        raise InvalidInput(f"{where}, name", f"{name!r} is not a name", remedy)
    where = f"rule {name!r}"
    when, text = given.get("when", "").strip(), given.get("text", "")
    if not when:
        raise InvalidInput(f"{where}, when", "is missing", "give a condition like 'amount > 500'")
    if len(when) > length_max:
        remedy = f"give at most {length_max} (rules.expression_length_max)"
        raise LimitExceeded(f"{where}, when", f"has {len(when)} letters", remedy)
    if len(text) > TEXT_LENGTH_MAX:
        raise LimitExceeded(f"{where}, text", f"has {len(text)} letters", f"give at most {TEXT_LENGTH_MAX}")
    outcome, stage = given.get("outcome", ""), given.get("stage", "before")
    if outcome not in _OUTCOMES:
        raise InvalidInput(f"{where}, outcome", f"{outcome!r} is none", f"give one of {', '.join(_OUTCOMES)}")
    if stage not in STAGES:
        raise InvalidInput(f"{where}, stage", f"{stage!r} is none", f"give one of {', '.join(STAGES)}")
    return Rule(name, when, Outcome[outcome], stage, text or f"rule {name}")
