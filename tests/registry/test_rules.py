"""Rules in the ledger: the last set is intended, all of them stay known."""

from pathlib import Path

import pytest

from fraud.errors import InvalidInput
from fraud.policy.rules import Rule, RuleSet
from fraud.records import Outcome
from fraud.registry.rules import RULES_SET, rules_by_digest, rules_of
from fraud.registry.store import LedgerStore

FIRST = RuleSet((Rule("large", "amount > 500", Outcome.REVIEW, text="large amount"),))
SECOND = RuleSet((*FIRST.rules, Rule("night", "night = 1", Outcome.DECLINE, "after", text="at night")))


def test_the_last_set_is_intended_and_each_stays_known_by_digest(tmp_path: Path) -> None:
    store = LedgerStore.open(tmp_path / "ledger.db")

    def set_(model: str, rules: RuleSet) -> int:
        body = {"model": model, "rules": [rule.to_dict() for rule in rules.rules]}
        return store.append(RULES_SET, body, actor="ann", reason="gift cards", time_us=1).seq

    assert rules_of(store.state(), "card") is None
    set_("card", FIRST)
    seq = set_("card", SECOND)
    state = store.state()
    intended = rules_of(state, "card")
    assert intended is not None
    assert (intended.seq, intended.rules, intended.actor) == (seq, SECOND, "ann")
    assert rules_by_digest(state, "card", FIRST.digest) == FIRST
    assert rules_by_digest(state, "transfer", FIRST.digest) is None
    set_("card", RuleSet())
    emptied = rules_of(store.state(), "card")
    assert emptied is not None
    assert emptied.rules == RuleSet()


@pytest.mark.parametrize("rules", ["large", [1], [{"name": "large"}], [{"name": "Large", "when": "x"}]])
def test_what_are_no_rules_never_enters_the_ledger(tmp_path: Path, rules: object) -> None:
    store = LedgerStore.open(tmp_path / "ledger.db")
    with pytest.raises(InvalidInput):
        store.append(RULES_SET, {"model": "card", "rules": rules}, actor="a", reason="b", time_us=1)
    assert store.head() == 0
