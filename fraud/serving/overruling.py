"""What people know goes before and after what the model says.

    block list ─► allow list ─► rules of stage "before" ─► the model's outcome ─► rules of stage "after"

The first that holds decides. The model's score stands beside it all the same,
and what was decided here is never explored. A batch that no list and no rule
concerns costs a look at two empty tables.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import structlog

from fraud.monitoring.scorer_metrics import ScorerMetrics
from fraud.policy.lists import OUTCOMES, Lists, list_of
from fraud.policy.rule_columns import RuleRows
from fraud.policy.rule_language import CompiledRules
from fraud.policy.rules import ruled_version
from fraud.records import Outcome

_log = structlog.get_logger("fraud.serving.overruling")


class Overruled(NamedTuple):
    """The outcome that a list or a rule gives, and what stands as `Decision.rule`."""

    outcome: Outcome
    rule: str


class Overruling:
    """The rules in force, by model. Read by every batch, replaced by a swap."""

    def __init__(self, metrics: ScorerMetrics) -> None:
        self._metrics = metrics
        self._by_model: Mapping[str, CompiledRules] = {}
        self._digests: Mapping[str, str] = {}

    def get(self, model: str) -> CompiledRules | None:
        """Return the rules in force for a model, None for none."""
        return self._by_model.get(model)

    def put(self, model: str, rules: CompiledRules) -> None:
        """Let these rules decide from the next batch on; a set without rules: none."""
        kept = {name: it for name, it in self._by_model.items() if name != model}
        self._by_model = {**kept, model: rules} if rules.order else kept
        self._digests = {**self._digests, model: rules.rules.digest}
        self._metrics.rules_in_force(model, [rule.name for rule in rules.order])

    def policy_version(self, model: str, policy_version: str) -> str:
        """Return the policy version of a model's decisions, given that of its bundle ("" for none)."""
        return ruled_version(policy_version, self._digests.get(model, ""))

    def overrule(
        self, model: str, rows: RuleRows, surrogates: Sequence[tuple[int, ...]], lists: Lists, now_us: int
    ) -> list[Overruled | None] | None:
        """Return what decides in the model's place for each row, in order; None where nothing is in force."""
        rules = self._by_model.get(model)
        if rules is None and lists.empty:
            return None
        found: list[Overruled | None] = [None] * len(surrogates)
        if rules is not None:
            self._ask(model, rules, rows, found)
        if not lists.empty:
            for i, entities in enumerate(surrogates):
                rule = lists.deciding(entities, now_us)
                if rule:
                    found[i] = Overruled(OUTCOMES[list_of(rule)], rule)
        return found

    def _ask(self, model: str, rules: CompiledRules, rows: RuleRows, found: list[Overruled | None]) -> None:
        try:
            deciding = rules.deciding(rows)
        except Exception:  # noqa: BLE001 — a payment is answered whatever a rule runs into
            _log.exception("rules failed on a batch; the model decided alone", model=model)
            self._metrics.rules_failed(model)
            return
        for i in np.flatnonzero(deciding >= 0).tolist():
            rule = rules.order[deciding[i]]
            found[i] = Overruled(rule.outcome, rule.name)
