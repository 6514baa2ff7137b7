"""What labels say, each beside its payment: the tables of batches, submitters and scores.

    labels of the days looked at ─ what was said of these payments at any time ─▶ the label before each
      ─ the payments themselves, however old ─▶ verdicts, a row a label ─▶ counts

Whatever came in may teach, so it is judged however old its payment is.
"""

import polars as pl

from fraud.guard.scope import Scope
from fraud.labels.table import rank_of, standing_table
from fraud.records import LabelValue

ENTITY = "entity_"
_FRAUD = int(LabelValue.FRAUD)
ORDER = ("position", "row")
"""Columns that give labels their order in the log."""


def _about(
    named: pl.LazyFrame, transactions: pl.LazyFrame, traffic: pl.DataFrame, scope: Scope, entity: str
) -> pl.LazyFrame:
    """Return the payments of the days looked at, and older ones that `named` has the ids of."""
    surrogate = f"{ENTITY}{entity}"
    columns = (
        *("transaction_id", "event_time_us", "score"),
        (pl.col(surrogate) if surrogate in traffic.columns else pl.lit(None, pl.Int32)).alias("entity"),
        scope.age("event_time_us").alias("event_age"),
    )
    known = traffic.lazy().select(columns)
    missing = named.join(known, on="transaction_id", how="anti").collect()
    if missing.is_empty():
        return known
    older = scope.view.visible_transactions(transactions.filter(pl.col("event_time_us") <= scope.start_us))
    return pl.concat([known, older.join(missing.lazy(), on="transaction_id", how="semi").select(columns)])


def verdicts_of(
    labels: pl.LazyFrame, transactions: pl.LazyFrame, traffic: pl.DataFrame, scope: Scope, entity: str
) -> pl.DataFrame:
    """Return the labels that came in, in log order, each beside its transaction and the label before.

    What was said of a payment before the days looked at is no label that came in, but what it may contradict.
    """
    inside = pl.col("arrival_time_us").is_between(scope.start_us, scope.cut_time_us, closed="right")
    # Read once, for both joins.
    named = labels.filter(inside).select("transaction_id").unique().collect().lazy()
    known = _about(named, transactions, traffic, scope, entity)
    hidden = scope.hidden()
    same = ["hidden", "transaction_id"]
    return (
        labels.filter(pl.col("arrival_time_us") <= scope.cut_time_us)
        .join(named, on="transaction_id", how="semi")
        .select(
            *(
                "transaction_id",
                "value",
                "source",
                "submitter",
                "batch_id",
                "label_time_us",
                "arrival_time_us",
                *ORDER,
            ),
            hidden=hidden,
            excluded=scope.excluded(),
            retracted_us=scope.retracted_us(),
            age=scope.age("arrival_time_us"),
        )
        .with_columns(
            before=pl.col("value").shift(1).over(same, order_by=ORDER),
            first_batch=pl.col("batch_id").first().over([*same, "source", "value"], order_by=ORDER),
            first_submitter=pl.col("submitter").first().over([*same, "source", "value"], order_by=ORDER),
            times=pl.int_range(pl.len()).over([*same, "source", "value"], order_by=ORDER),
        )
        .filter(inside)
        .join(known, on="transaction_id")
        .sort(*ORDER)
        .collect()
    )


def batches_of(visible: pl.DataFrame) -> pl.DataFrame:
    """Count by batch what its labels say, repeat and contradict; columns as `GuardData.batches`."""
    repeated = pl.col("times") > 0
    elsewhere = pl.col("first_batch") != pl.col("batch_id")
    # To withdraw a fraud label hides a fraud as well; to decide after a withdrawal contradicts nobody.
    opposing = (pl.col("before") != pl.col("value")) & (
        (pl.col("before") == _FRAUD)
        | ((pl.col("before") == int(LabelValue.LEGITIMATE)) & (pl.col("value") == _FRAUD))
    )
    return (
        visible.group_by("batch_id", "source", "submitter")
        .agg(
            age=pl.col("age").min(),
            arrival_from_us=pl.col("arrival_time_us").min(),
            arrival_to_us=pl.col("arrival_time_us").max(),
            labels=pl.len().cast(pl.Int64),
            frauds=(pl.col("value") == _FRAUD).sum().cast(pl.Int64),
            legitimates=(pl.col("value") == int(LabelValue.LEGITIMATE)).sum().cast(pl.Int64),
            contradicting=opposing.fill_null(value=False).sum().cast(pl.Int64),
            repeated_within=(repeated & ~elsewhere).sum().cast(pl.Int64),
            repeated_elsewhere=(repeated & elsewhere).sum().cast(pl.Int64),
        )
        .sort("arrival_from_us", "batch_id", "source", "submitter")
    )


def _first_frauds(visible: pl.DataFrame) -> pl.DataFrame:
    frauds = visible.filter(pl.col("value") == _FRAUD).sort(*ORDER)
    return frauds.unique(["transaction_id", "source"], keep="first", maintain_order=True)


def positives_of(visible: pl.DataFrame) -> pl.DataFrame:
    """Count by day, submitter and batch the payments that a source calls fraud for the first time."""
    groups = _first_frauds(visible).group_by("age", "source", "submitter", "batch_id")
    return groups.agg(frauds=pl.len().cast(pl.Int64)).sort("age", "source", "submitter", "batch_id")


def suspects_of(visible: pl.DataFrame) -> pl.DataFrame:
    """Count by day and entity the payments that are called fraud for the first time."""
    frauds = _first_frauds(visible).unique("transaction_id", keep="first", maintain_order=True)
    return (
        frauds.drop_nulls("entity")
        .group_by("age", "entity")
        .agg(
            frauds=pl.len().cast(pl.Int64),
            event_from_us=pl.col("event_time_us").min(),
            event_to_us=pl.col("event_time_us").max(),
        )
        .sort("age", "entity")
    )


def scored_of(visible: pl.DataFrame) -> pl.DataFrame:
    """Return the last verdict of each source on each transaction."""
    return (
        visible.unique(["transaction_id", "source"], keep="last", maintain_order=True)
        .filter(pl.col("value") != int(LabelValue.WITHDRAWN))
        .select(
            *("transaction_id", "batch_id", "source", "first_batch", "first_submitter", "age"),
            fraud=pl.col("value") == _FRAUD,
            champion=pl.col("score"),
            crossfit=pl.lit(None, pl.Float64),
        )
    )


def certain_of(traffic: pl.DataFrame, verdicts: pl.DataFrame, scope: Scope) -> pl.DataFrame:
    """Count payments scored near 1 by when they were decided: labelled, or matured without a label.

    A payment all of whose labels are hidden is not taken for one without.
    """
    visible = verdicts.filter(~pl.col("hidden"))
    last = visible.unique("transaction_id", keep="last", maintain_order=True)
    known = last.filter(pl.col("value") != int(LabelValue.WITHDRAWN)).select(
        "transaction_id", "value", "batch_id", label_age="age"
    )
    silenced = verdicts.filter("hidden").join(visible, on="transaction_id", how="anti")
    high = traffic.filter((pl.col("score") >= scope.rules.near_certain.certain) & ~pl.col("declined"))
    counted = high.join(silenced, on="transaction_id", how="anti")
    decided = counted.join(known, on="transaction_id", how="left").with_columns(
        age=pl.coalesce("label_age", pl.col("age") - scope.matured),
        legitimate=(pl.col("value") != _FRAUD).fill_null(value=True),
    )
    return (
        decided.filter(pl.col("age") >= 0)
        .group_by("age", pl.col("batch_id").fill_null(""))
        .agg(rows=pl.len().cast(pl.Int64), legitimate=pl.col("legitimate").sum().cast(pl.Int64))
        .sort("age", "batch_id")
    )


def cleared_of(verdicts: pl.DataFrame, scope: Scope) -> pl.DataFrame:
    """Count by submitter and day what is called legitimate, and what of it a better source says is fraud.

    The last verdict of each submitter counts, against what stands; where a better source has answered, the
    last before the answer: whoever takes his word back only then, or changes it, has given it all the same.
    """
    visible = verdicts.filter(~pl.col("hidden"))
    standing = standing_table(visible.lazy(), scope.conflict).select(
        "transaction_id",
        stands="value",
        by="source",
        answered_us="arrival_time_us",
        answer_age=scope.age("arrival_time_us"),
    )
    rank, giver = rank_of(scope.conflict), ["transaction_id", "source", "submitter"]
    overturned = (pl.col("stands") == _FRAUD) & (rank_of(scope.conflict, "by") < rank)
    in_force = (pl.col("retracted_us") > pl.col("answered_us")).fill_null(value=True)
    before = overturned & (pl.col("arrival_time_us") < pl.col("answered_us")) & in_force
    return (
        verdicts.lazy()
        .filter(~pl.col("excluded"), rank > 0)
        .join(standing, on="transaction_id")
        .with_columns(before_answer=before)
        .filter(
            pl.when(pl.col("before_answer").any().over(giver))
            .then(pl.col("before_answer"))
            .otherwise(~pl.col("hidden"))
        )
        .sort(*ORDER)
        .unique(giver, keep="last", maintain_order=True)
        .filter(pl.col("value") == int(LabelValue.LEGITIMATE))
        .group_by("source", "submitter", "age")
        .agg(
            rows=pl.len().cast(pl.Int64),
            hits=overturned.sum().cast(pl.Int64),
            fresh=(overturned & (pl.col("answer_age") < scope.recent)).sum().cast(pl.Int64),
        )
        .sort("source", "submitter", "age")
        .collect()
    )
