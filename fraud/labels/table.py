"""The verdict that stands, for a whole table of labels at once, and the facts that make it stand.

    labels: one row a fact (position, row = log order)
      → the latest fact of each (transaction, source)
      → withdrawn ones go; one fact a transaction by the conflict rule      `standing_table`
      → with the withdrawals above it, or all votes                         `standing_facts`

The same rule as `fraud.labels.standing.ConflictRule`, which says it row by row.
"""

import polars as pl

from fraud.labels.standing import ConflictRule
from fraud.records import LabelValue

_FRAUD = int(LabelValue.FRAUD)
_LOG_ORDER = ("position", "row")
_BEST_FIRST = ("transaction_id", "rank", "source")
_IS_VERDICT = pl.col("value") != int(LabelValue.WITHDRAWN)


def standing_table(labels: pl.LazyFrame, rule: ConflictRule) -> pl.LazyFrame:
    """Return one row for each transaction with a verdict that stands.

    Args:
        labels: transaction_id str, source str, value int (`LabelValue`),
            label_time_us, arrival_time_us, position and row int; cut it to what
            was known (arrival ≤ T) before.
        rule: the conflict policy and its sources.

    Returns:
        transaction_id, value (1 fraud, 2 legitimate; int32), source,
        label_time_us, arrival_time_us, position: of the fact that carries the verdict. By
        majority that is the best source that agrees with it. Sorted by
        transaction_id.
    """
    verdicts = _latest(_facts(labels), rule).filter(_IS_VERDICT)
    if rule.policy == "MAJORITY_VOTE":
        verdicts = _winners(verdicts)
    return (
        _best_first(verdicts, rule)
        .unique("transaction_id", keep="first", maintain_order=True)
        .select("transaction_id", "value", "source", "label_time_us", "arrival_time_us", "position")
        .sort("transaction_id")
    )


def standing_facts(labels: pl.LazyFrame, rule: ConflictRule) -> pl.LazyFrame:
    """Return the facts without which something else might stand, also where nothing does now.

    They are the fact that carries the verdict and, above it, each withdrawal of what its source
    had said; by majority every vote and every such withdrawal. Whatever is left out may go,
    and the same stands.

    Returns:
        transaction_id, value (int32, `LabelValue`) and position, in no promised order.
    """
    spoken = _IS_VERDICT.any().over("transaction_id", "source")
    facts = _latest(_facts(labels).with_columns(spoken=spoken), rule).filter("spoken")
    if rule.policy != "MAJORITY_VOTE":
        verdict = _IS_VERDICT.cast(pl.Int32)
        above = verdict.cum_sum().over("transaction_id") - verdict
        facts = _best_first(facts, rule).filter(above == 0)
    return facts.select("transaction_id", "value", "position")


def rank_of(rule: ConflictRule, column: str = "source") -> pl.Expr:
    """Return the place of a column of sources, int32, 0 the best; unknown ones come last."""
    ranks = list(range(len(rule.sources)))
    return pl.col(column).replace_strict(list(rule.sources), ranks, default=len(ranks), return_dtype=pl.Int32)


def _facts(labels: pl.LazyFrame) -> pl.LazyFrame:
    return labels.select(
        "transaction_id",
        pl.col("value").cast(pl.Int32),
        "source",
        "label_time_us",
        "arrival_time_us",
        *_LOG_ORDER,
    )


def _latest(facts: pl.LazyFrame, rule: ConflictRule) -> pl.LazyFrame:
    """Return the latest fact of each source on each transaction, with the source's rank."""
    return (
        facts.sort("transaction_id", "source", "label_time_us", *_LOG_ORDER)
        .unique(["transaction_id", "source"], keep="last", maintain_order=True)
        .with_columns(rank=rank_of(rule))
    )


def _winners(verdicts: pl.LazyFrame) -> pl.LazyFrame:
    """Return the verdicts of the majority; a tie leaves everybody in, so the best source decides."""
    votes = pl.len().over("transaction_id")
    frauds = (pl.col("value") == _FRAUD).sum().over("transaction_id")
    for_fraud = pl.col("value") == _FRAUD
    loses = pl.when(2 * frauds == votes).then(pl.lit(False)).otherwise(for_fraud != (2 * frauds > votes))
    return verdicts.filter(~loses)


def _best_first(facts: pl.LazyFrame, rule: ConflictRule) -> pl.LazyFrame:
    """Sort so that the fact that stands comes first within its transaction."""
    if rule.policy == "LAST_WRITE_WINS":
        latest_first = ("transaction_id", "label_time_us", *_LOG_ORDER)
        return facts.sort(latest_first, descending=[False, True, True, True])
    return facts.sort(_BEST_FIRST)
