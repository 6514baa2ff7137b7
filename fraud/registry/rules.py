"""The rules beside each model, in the ledger: every set there ever was, the last one intended.

    RulesSet   model rules [{name when outcome stage text}]      (no rules: none from here on)

An entry says what people want; whether its conditions fit the configuration of
a service is seen by whoever writes it, and again by the scorer that takes it.
Earlier sets stay known by digest, so a decision of last year can be explained.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fraud.errors import InvalidInput
from fraud.policy.rules import RuleSet, rule_set
from fraud.registry.chain import LedgerEntry
from fraud.settings.rules import LETTERS_BOUND, RULES_BOUND

if TYPE_CHECKING:
    from fraud.registry.ledger import RegistryState

RULES_SET = "RulesSet"


@dataclass(frozen=True, slots=True)
class RulesEntry:
    """The rules that entry `seq` set for a model, by whom and why; time is µs UTC."""

    seq: int
    model: str
    rules: RuleSet
    time_us: int
    actor: str
    reason: str


def rules_of(state: "RegistryState", model: str) -> RulesEntry | None:
    """Return the rules intended for a model now, None where nobody has set any."""
    entries = state.rule_sets.get(model)
    return entries[-1] if entries else None


def rules_by_digest(state: "RegistryState", model: str, digest: str) -> RuleSet | None:
    """Return the newest set of a model with a digest, None for none."""
    for entry in reversed(state.rule_sets.get(model, ())):
        if entry.rules.digest == digest:
            return entry.rules
    return None


def _set(state: "RegistryState", entry: LedgerEntry) -> None:
    model, given = entry.body["model"], entry.body["rules"]
    if not isinstance(given, list) or not all(isinstance(table, dict) for table in given):
        raise InvalidInput("body.rules", "is no list of rules", "give a table for each rule")
    rules = rule_set(given, rules_max=RULES_BOUND, length_max=LETTERS_BOUND)
    made = RulesEntry(entry.seq, model, rules, entry.time_us, entry.actor, entry.reason)
    state.rule_sets.setdefault(model, []).append(made)


FOLDS: dict[str, Callable[["RegistryState", LedgerEntry], None]] = {RULES_SET: _set}
