"""Puts the rules that the ledger intends in force, on one scorer.

    RulesSet → do its conditions fit this configuration? → on the scoring thread: swapped, and
               Applied into the event log with the policy version that decisions have from here on

A set that does not fit stays out: the one before it decides on, after a start
none does. The log of the process and a metric say so, and `GetRules` says why.
"""

import structlog

from fraud.errors import InvalidInput
from fraud.features.spec import FeatureSpec
from fraud.monitoring.scorer_metrics import ScorerMetrics
from fraud.policy.rule_columns import RuleColumns
from fraud.policy.rule_language import CompiledRules
from fraud.policy.rules import RuleSet
from fraud.registry.rules import RulesEntry
from fraud.serving.overruling import Overruling
from fraud.settings import Settings

_log = structlog.get_logger("fraud.serving.ruling")


class Ruling:
    """Follows the rules of every model; called from one thread at a time."""

    def __init__(
        self, settings: Settings, spec: FeatureSpec, overruling: Overruling, metrics: ScorerMetrics
    ) -> None:
        self.columns = RuleColumns.of(spec, settings.schema_)
        self.overruling = overruling
        self._metrics = metrics
        self._settled: dict[str, int] = {}
        self._refused: dict[str, str] = {}

    def due(self, intended: RulesEntry) -> CompiledRules | None:
        """Return rules that wait to be put in force, None for none; one refusal is told of once."""
        model = intended.model
        if self._settled.get(model) == intended.seq:
            return None
        try:
            return CompiledRules.of(intended.rules, self.columns)
        except InvalidInput as error:
            self._settled[model] = intended.seq
            self._refused[model] = str(error)
            self._metrics.rules_refused(model, refused=True)
            _log.error("rules refused", model=model, ledger_seq=intended.seq, why=error)
            return None

    def put(self, intended: RulesEntry, rules: CompiledRules) -> None:
        """Let rules decide from the next batch on; on the scoring thread."""
        self.overruling.put(intended.model, rules)
        self._settled[intended.model] = intended.seq
        self._refused.pop(intended.model, None)
        names = [rule.name for rule in rules.order]
        _log.info("rules in force", model=intended.model, ledger_seq=intended.seq, rules=names)

    def refused(self, model: str) -> str:
        """Return why the rules intended for a model are not in force, "" where they are."""
        return self._refused.get(model, "")

    def check(self, rules: RuleSet) -> None:
        """Refuse rules that do not fit this configuration.

        Raises:
            InvalidInput: a rule does not, by its name.
        """
        CompiledRules.of(rules, self.columns)
