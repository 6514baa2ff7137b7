"""Floods: batches that hold more frauds than their source gave in a fortnight. They teach no judge.

    frauds by batch and day ─▶ a batch of the judged days against its source's 14 days before
      ─▶ floods ─▶ payments of which floods alone speak: scored by cross-fitted models, never learned

Cross-fitting deals the rows of a batch out to all folds, so half of a flood teaches the models that
judge the other half, and whatever is large and of one kind becomes plausible by its own word.
"""

import polars as pl

from fraud.guard.data import GuardData
from fraud.labels.batches import IMPORTER
from fraud.settings.guard import Guard

FLOOD_DAYS = 14
"""Days of its source that a batch is held against."""


def floods(data: GuardData, rules: Guard) -> tuple[str, ...]:
    """Return batches of the judged days with more frauds than their source gave in 14 days before, sorted.

    Counted is what the source had not called fraud before, so to send old labels again makes no
    flood and hides none. A batch too small to be judged as implausible is none. An earlier flood does
    not count as the past of a later one: two do not vouch for each other, however long a freeze lasts.

    A source without a past gives a flood when its first batch is large enough: nobody knows yet what
    is much for it, and `implausible` cannot judge it either, so until it was found fit it should not
    decide what is believed of others. An imported history is none, and is the past of what follows.
    """
    is_recent = pl.col("age") < data.recent
    batches = (
        data.positives.filter(is_recent, pl.col("submitter") != IMPORTER)
        .group_by("source", "batch_id")
        .agg(pl.col("frauds").sum(), oldest=pl.col("age").max())
        .filter(pl.col("frauds") >= rules.implausible_batch.labels_min)
        .sort("oldest", "source", "batch_id", descending=[True, False, False])
    )
    found: list[str] = []
    for source, batch_id, frauds, oldest in batches.iter_rows():
        before = data.positives.filter(
            pl.col("source") == source,
            pl.col("age").is_between(oldest, oldest + FLOOD_DAYS, closed="right"),
            ~(is_recent & pl.col("batch_id").is_in(found)),
        )
        if frauds > before["frauds"].sum():
            found.append(batch_id)
    return tuple(sorted(found))


def told_by_floods(data: GuardData, rules: Guard) -> pl.Series:
    """Return the payments of floods that nobody confirmed, transaction ids, distinct.

    Another source that calls one fraud confirms it, though it be in a flood of its own, for a wave of
    attack swells all sources; so does an earlier batch of the same source. A later one does not: a
    source that repeats itself would confirm whatever it says.
    """
    flooding = pl.col("first_batch").is_in(floods(data, rules)) & (pl.col("age") < data.recent)
    sources = pl.col("source").filter("fraud").n_unique().over("transaction_id")
    confirmed = (~flooding & pl.col("fraud")).any().over("transaction_id") | (sources > 1)
    return data.scored.filter(flooding & ~confirmed)["transaction_id"].unique(maintain_order=True)
