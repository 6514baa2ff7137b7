"""Makes the small tables that the guard judges from the archive's large ones.

    transactions, labels, outcomes of the archive (lazy), a view
      → the last H days of one model, aged from the cut
      → counts by day, feeds by day of event and of arrival, one row a batch

Nothing larger than the labels of H days and a few columns of its transactions
is held at once.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from fraud.clock import DAY_US, HOUR_US
from fraud.guard.data import ALL_SOURCES, Feed, Floats, GuardData, Hours, Ints
from fraud.labels.exclusions import EVERYTHING, View
from fraud.labels.standing import ConflictRule
from fraud.labels.table import rank_of, standing_table
from fraud.records import LabelValue, Outcome
from fraud.settings.guard import Guard

ENTITY, NUMERIC, CATEGORICAL = "entity_", "numeric_", "categorical_"
SLACK_MAX_US = 7 * DAY_US
"""Beyond the maturity, a payment without a label is decided after this at the latest."""
SCORED_MIN = 0.9
"""Share of a day's payments that must have a score, or the scores say nothing of the day."""
_FRAUD = int(LabelValue.FRAUD)
_ORDER = ("position", "row")


@dataclass(frozen=True, slots=True)
class Scope:
    """What to look at: the cut, since when data was not yet judged, and by which rules. µs UTC."""

    cut_time_us: int
    judged_until_us: int
    maturity_us: int
    rules: Guard
    conflict: ConflictRule
    view: View = EVERYTHING
    retracted: tuple[str, ...] = ()

    @property
    def matured(self) -> int:
        """Days after which a payment is decided: the maturity, and as long again, at most a week."""
        return -(-(self.maturity_us + min(self.maturity_us, SLACK_MAX_US)) // DAY_US)

    @property
    def days(self) -> int:
        """Days looked at: the judged ones, and the history behind them."""
        return self.recent + -(-self.rules.history // DAY_US) + self.matured

    @property
    def recent(self) -> int:
        """Days to judge: since the data was last found fit, at least one."""
        return int(max(1, -(-(self.cut_time_us - self.judged_until_us) // DAY_US)))

    @property
    def start_us(self) -> int:
        """The moment before the first that is looked at."""
        return self.cut_time_us - self.days * DAY_US

    def age(self, column: str) -> pl.Expr:
        """Return days from a time to the cut, 0 for the last."""
        return ((self.cut_time_us - pl.col(column)) // DAY_US).cast(pl.Int64)

    def hidden(self) -> pl.Expr:
        """Tell which labels are retracted or excluded; the feed that brought them was not silent."""
        hidden = pl.col("batch_id").is_in(list(self.retracted))
        for exclusion in self.view.labels:
            hidden |= exclusion.label_rows()
        return hidden


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
    verdicts = _verdicts(labels, traffic, scope, entity)
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
        batches=_batches(visible),
        positives=_positives(visible),
        suspects=_suspects(visible),
        missing=_missing(traffic),
        scored=_scored(visible),
        certain=_certain(traffic, verdicts, scope),
        cleared=_cleared(visible, scope),
        foreseen=_foreseen(traffic, days),
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


def _verdicts(labels: pl.LazyFrame, traffic: pl.DataFrame, scope: Scope, entity: str) -> pl.DataFrame:
    """Return the labels that came in, in log order, each beside its transaction and the label before."""
    surrogate = f"{ENTITY}{entity}"
    known = traffic.lazy().select(
        "transaction_id",
        "event_time_us",
        "score",
        event_age="age",
        entity=pl.col(surrogate) if surrogate in traffic.columns else pl.lit(None, pl.Int32),
    )
    inside = pl.col("arrival_time_us").is_between(scope.start_us, scope.cut_time_us, closed="right")
    hidden = scope.hidden()
    same = ["hidden", "transaction_id"]
    return (
        labels.filter(inside)
        .select(
            *(
                "transaction_id",
                "value",
                "source",
                "submitter",
                "batch_id",
                "label_time_us",
                "arrival_time_us",
                *_ORDER,
            ),
            hidden=hidden,
            age=scope.age("arrival_time_us"),
        )
        .join(known, on="transaction_id")
        .with_columns(
            before=pl.col("value").shift(1).over(same, order_by=_ORDER),
            first_batch=pl.col("batch_id").first().over([*same, "source", "value"], order_by=_ORDER),
            first_submitter=pl.col("submitter").first().over([*same, "source", "value"], order_by=_ORDER),
            times=pl.int_range(pl.len()).over([*same, "source", "value"], order_by=_ORDER),
        )
        .sort(*_ORDER)
        .collect()
    )


def _feeds(verdicts: pl.DataFrame, scope: Scope) -> tuple[Feed, ...]:
    """Return the fraud labels of each source, and of all together, by day of event and arrival.

    One that was taken out of the configuration owes nothing any more, so its silence says nothing.
    """
    configured = pl.col("source").is_in(list(scope.conflict.sources))
    frauds = verdicts.filter((pl.col("value") == _FRAUD) & configured).sort(*_ORDER)
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
        .select("transaction_id", *_ORDER, age=scope.age("arrival_time_us"), hidden=pl.lit(value=False))
        .join(traffic.lazy().select("transaction_id", event_age="age"), on="transaction_id")
        .sort(*_ORDER)
        .collect()
    )
    return None if facts.is_empty() else _feed("outcomes", facts, scope)


def _batches(visible: pl.DataFrame) -> pl.DataFrame:
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
    frauds = visible.filter(pl.col("value") == _FRAUD).sort(*_ORDER)
    return frauds.unique(["transaction_id", "source"], keep="first", maintain_order=True)


def _positives(visible: pl.DataFrame) -> pl.DataFrame:
    groups = _first_frauds(visible).group_by("age", "source", "submitter")
    return groups.agg(frauds=pl.len().cast(pl.Int64)).sort("age", "source", "submitter")


def _suspects(visible: pl.DataFrame) -> pl.DataFrame:
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


def _missing(traffic: pl.DataFrame) -> pl.DataFrame:
    fields = [name for name in traffic.columns if name.startswith("missing_")]
    schema = {"age": pl.Int64, "rows": pl.Int64, "field": pl.String, "missing": pl.Int64}
    if not fields:
        return pl.DataFrame(schema=schema)
    counted = traffic.group_by("age").agg(pl.len().alias("rows"), pl.col(fields).sum())
    long = counted.unpivot(on=fields, index=["age", "rows"], variable_name="field", value_name="missing")
    named = long.with_columns(pl.col("field").str.replace("^missing_(numeric|categorical)_", ""))
    return named.select(pl.col(name).cast(dtype) for name, dtype in schema.items()).sort("field", "age")


def _scored(visible: pl.DataFrame) -> pl.DataFrame:
    """Return the last verdict of each source on each transaction."""
    return (
        visible.unique(["transaction_id", "source"], keep="last", maintain_order=True)
        .filter(pl.col("value") != int(LabelValue.WITHDRAWN))
        .select(
            *("transaction_id", "batch_id", "source", "first_submitter", "age"),
            fraud=pl.col("value") == _FRAUD,
            champion=pl.col("score"),
            crossfit=pl.lit(None, pl.Float64),
        )
    )


def _certain(traffic: pl.DataFrame, verdicts: pl.DataFrame, scope: Scope) -> pl.DataFrame:
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


def _cleared(visible: pl.DataFrame, scope: Scope) -> pl.DataFrame:
    """Count by submitter and day what is called legitimate, and what of it a better source says is fraud.

    The last verdict of each submitter counts, against what stands.
    """
    standing = standing_table(visible.lazy(), scope.conflict).select(
        "transaction_id", stands="value", by="source", answer_age=scope.age("arrival_time_us")
    )
    rank = rank_of(scope.conflict)
    overturned = (pl.col("stands") == _FRAUD) & (rank_of(scope.conflict, "by") < rank)
    return (
        visible.lazy()
        .unique(["transaction_id", "source", "submitter"], keep="last", maintain_order=True)
        .filter(pl.col("value") == int(LabelValue.LEGITIMATE), rank > 0)
        .join(standing, on="transaction_id")
        .group_by("source", "submitter", "age")
        .agg(
            rows=pl.len().cast(pl.Int64),
            hits=overturned.sum().cast(pl.Int64),
            fresh=(overturned & (pl.col("answer_age") < scope.recent)).sum().cast(pl.Int64),
        )
        .sort("source", "submitter", "age")
        .collect()
    )
