"""Makes the small tables that the guard judges from the archive's large ones.

    transactions, labels, outcomes of the archive (lazy), a view
      → the last H days of one model, aged from the cut, and what labels of these days say (`verdicts`)
      → counts by day, feeds by day of event and of arrival, one row a batch

Nothing larger than the labels of H days and a few columns of its transactions
is held at once.
"""

import numpy as np
import polars as pl

from fraud.clock import HOUR_US
from fraud.guard.data import ALL_SOURCES, Feed, Floats, GuardData, Hours, Ints
from fraud.guard.scope import Scope
from fraud.guard.verdicts import (
    ENTITY,
    ORDER,
    batches_of,
    certain_of,
    cleared_of,
    positives_of,
    scored_of,
    suspects_of,
    verdicts_of,
)
from fraud.records import LabelValue, Outcome
from fraud.settings.guard import Guard

NUMERIC, CATEGORICAL = "numeric_", "categorical_"
SCORED_MIN = 0.9
"""Share of a day's payments that must have a score, or the scores say nothing of the day."""
_FRAUD = int(LabelValue.FRAUD)


def gather(
    transactions: pl.LazyFrame, labels: pl.LazyFrame, outcomes: pl.LazyFrame, scope: Scope
) -> GuardData:
    """Return what `examine` judges; `scored` lacks cross-fitted scores (null).

    Args:
        transactions: of one model, columns as the archive's `transactions`.
        labels: columns as the archive's `labels`.
        outcomes: columns as the archive's `outcomes`.
        scope: the cut, the view, the rules.
    """
    traffic = _traffic(transactions, scope)
    entity = _entity(traffic, scope.rules)
    verdicts = verdicts_of(labels, transactions, traffic, scope, entity)
    visible = verdicts.filter(~pl.col("hidden"))
    days = scope.days
    scored = traffic["score"].drop_nulls().drop_nans()
    low = None if scored.is_empty() else scored.quantile(scope.rules.implausible_batch.low_share)
    return GuardData(
        cut_time_us=scope.cut_time_us,
        recent=scope.recent,
        matured=scope.matured,
        entity=entity,
        traffic=np.bincount(traffic["age"].to_numpy(), minlength=days)[:days].astype(np.int64),
        hours=_hours(transactions, traffic, scope),
        feeds=_feeds(verdicts, scope),
        outcomes=_outcomes(outcomes, traffic, scope),
        batches=batches_of(visible),
        positives=positives_of(visible),
        suspects=suspects_of(visible),
        missing=_missing(traffic),
        scored=scored_of(visible),
        certain=certain_of(traffic, verdicts, scope),
        cleared=cleared_of(verdicts, scope),
        foreseen=_foreseen(traffic, days),
        best_source=scope.conflict.sources[0] if scope.conflict.sources else "",
        champion_low=None if low is None else float(low),
    )


def recent_traffic(transactions: pl.LazyFrame, scope: Scope) -> pl.LazyFrame:
    """Return the transactions of the days looked at that no exclusion hides."""
    return scope.view.visible_transactions(_known_traffic(transactions, scope))


def _known_traffic(transactions: pl.LazyFrame, scope: Scope) -> pl.LazyFrame:
    inside = pl.col("event_time_us").is_between(scope.start_us, scope.cut_time_us, closed="right")
    return transactions.filter(inside & (pl.col("arrival_time_us") <= scope.cut_time_us))


def _traffic(transactions: pl.LazyFrame, scope: Scope) -> pl.DataFrame:
    """Read the few columns needed of every transaction, each field as whether it is missing."""
    names = transactions.collect_schema().names()
    fields = [name for name in names if name.startswith((NUMERIC, CATEGORICAL))]
    entities = [name for name in names if name.startswith(ENTITY)]
    return (
        recent_traffic(transactions, scope)
        .select(
            "transaction_id",
            "event_time_us",
            "score",
            *entities,
            *[_is_missing(name).alias(f"missing_{name}") for name in fields],
            age=scope.age("event_time_us"),
            declined=(pl.col("outcome") == int(Outcome.DECLINE)) & ~pl.col("explored"),
            let_through=(pl.col("outcome") == int(Outcome.APPROVE)) | pl.col("explored") | pl.col("imported"),
        )
        .collect()
    )


def _hours(transactions: pl.LazyFrame, traffic: pl.DataFrame, scope: Scope) -> Hours:
    """Count by hour; all that came is read again only where an exclusion hides some of it."""
    visible = _by_hour(traffic, scope)
    covered = np.zeros(len(visible), np.bool_)
    if not scope.view.transactions:
        return Hours(visible, visible, covered)
    came = _known_traffic(transactions, scope).select("event_time_us").collect()
    for exclusion in scope.view.transactions:
        if not exclusion.where:
            newest = (scope.cut_time_us - (exclusion.to_us - 1)) // HOUR_US
            oldest = (scope.cut_time_us - exclusion.from_us) // HOUR_US
            covered[max(0, newest) : max(0, oldest + 1)] = True
    return Hours(_by_hour(came, scope), visible, covered)


def _by_hour(traffic: pl.DataFrame, scope: Scope) -> Ints:
    age = (scope.cut_time_us - traffic["event_time_us"].to_numpy()) // HOUR_US
    return np.bincount(age, minlength=scope.days * 24).astype(np.int64)


def _foreseen(traffic: pl.DataFrame, days: int) -> Floats:
    """Sum the scores of payments let through by day; NaN where fewer than `SCORED_MIN` of all were scored."""
    score = pl.col("score").fill_nan(None)
    by_day = traffic.group_by("age").agg(
        scored=score.is_not_null().mean(), frauds=score.filter(pl.col("let_through")).sum()
    )
    foreseen = np.full(days, np.nan)
    told = by_day.filter((pl.col("scored") >= SCORED_MIN) & (pl.col("age") < days))
    foreseen[told["age"].to_numpy()] = told["frauds"].to_numpy()
    return foreseen


def _is_missing(name: str) -> pl.Expr:
    column = pl.col(name)
    if name.startswith(NUMERIC):
        return column.is_null() | column.is_nan().fill_null(value=True)
    return column.is_null() | (column == "").fill_null(value=True)


def _entity(traffic: pl.DataFrame, rules: Guard) -> str:
    """Return the entity whose share of the frauds is watched; "" for none."""
    entities = [name.removeprefix(ENTITY) for name in traffic.columns if name.startswith(ENTITY)]
    if rules.entity_share.entity:
        return rules.entity_share.entity
    return entities[1] if len(entities) > 1 else ""


def _feeds(verdicts: pl.DataFrame, scope: Scope) -> tuple[Feed, ...]:
    """Return the fraud labels of each source, and of all together, by day of event and arrival.

    Of payments of the days looked at: how many labels are due is told from those. One that was taken out
    of the configuration owes nothing any more, so its silence says nothing.
    """
    configured = pl.col("source").is_in(list(scope.conflict.sources))
    recent = pl.col("event_time_us") > scope.start_us
    frauds = verdicts.filter((pl.col("value") == _FRAUD) & configured & recent).sort(*ORDER)
    sources = sorted(frauds["source"].unique().to_list())
    names = [ALL_SOURCES, *sources] if len(sources) > 1 else sources
    return tuple(
        _feed(name, frauds if name == ALL_SOURCES else frauds.filter(pl.col("source") == name), scope)
        for name in names
    )


def _feed(source: str, facts: pl.DataFrame, scope: Scope) -> Feed:
    """Count the first fact of each transaction."""
    visible = facts.filter(~pl.col("hidden"))
    firsts = [frame.unique("transaction_id", keep="first", maintain_order=True) for frame in (facts, visible)]
    return Feed(source, *(_by_days(frame, scope.days) for frame in firsts))


def _by_days(facts: pl.DataFrame, days: int) -> Ints:
    """Count facts by age of the event and of the arrival, int64[H, H]."""
    counts = np.zeros((days, days), np.int64)
    event = np.minimum(facts["event_age"].to_numpy(), days - 1)
    # A fact may come before its transaction: it counts from the transaction on.
    np.add.at(counts, (event, np.minimum(facts["age"].to_numpy(), event)), 1)
    return counts


def _outcomes(outcomes: pl.LazyFrame, traffic: pl.DataFrame, scope: Scope) -> Feed | None:
    inside = pl.col("arrival_time_us").is_between(scope.start_us, scope.cut_time_us, closed="right")
    facts = (
        outcomes.filter(inside)
        .select("transaction_id", *ORDER, age=scope.age("arrival_time_us"), hidden=pl.lit(value=False))
        .join(traffic.lazy().select("transaction_id", event_age="age"), on="transaction_id")
        .sort(*ORDER)
        .collect()
    )
    return None if facts.is_empty() else _feed("outcomes", facts, scope)


def _missing(traffic: pl.DataFrame) -> pl.DataFrame:
    fields = [name for name in traffic.columns if name.startswith("missing_")]
    schema = {"age": pl.Int64, "rows": pl.Int64, "field": pl.String, "missing": pl.Int64}
    if not fields:
        return pl.DataFrame(schema=schema)
    counted = traffic.group_by("age").agg(pl.len().alias("rows"), pl.col(fields).sum())
    long = counted.unpivot(on=fields, index=["age", "rows"], variable_name="field", value_name="missing")
    named = long.with_columns(pl.col("field").str.replace("^missing_(numeric|categorical)_", ""))
    return named.select(pl.col(name).cast(dtype) for name, dtype in schema.items()).sort("field", "age")
