"""Counts what a batch was decided: outcomes, scores, limits, rules, exploration."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from fraud.features.state import ScoredRows
from fraud.monitoring.scorer_metrics import ScorerMetrics
from fraud.records import Decision, Scored


def count_decisions(metrics: ScorerMetrics, scored: Sequence[Scored], rows: ScoredRows) -> None:
    """Count the rows of a batch that was logged; `rows` are their features."""
    if not metrics.counting:
        return
    metrics.batch_rows.observe(len(scored))
    late = int(rows.is_late.sum())
    if late:
        metrics.late_events.inc(late)
    by_model: dict[str, list[Decision]] = {}
    for row in scored:
        by_model.setdefault(row.model, []).append(row.decision)
    for limit, count in Counter(limit for row in scored for limit in row.decision.limits).items():
        metrics.limit(limit, count)
    for model, decisions in by_model.items():
        scores = [decision.score for decision in decisions if decision.score is not None]
        metrics.models[model].decided(
            [decision.outcome.value for decision in decisions], np.array(scores) if scores else None
        )
    ruled = Counter((row.model, row.decision.rule) for row in scored if row.decision.rule)
    for (model, rule), count in ruled.items():
        metrics.ruled(model, rule, count)
    explored = [row for row in scored if row.decision.explored]
    for model in {row.model for row in explored}:
        amounts = [row.amount_base_minor for row in explored if row.model == model]
        metrics.explored(model, len(amounts), sum(amounts))
