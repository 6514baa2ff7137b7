"""Who gives the frauds: one source, submitter, entity or batch far beyond its part so far.

positives by day and giver: share in the judged days against its share before
largest share of an entity in a span against the largest of equal spans before
frauds in a batch against the source's batches before, and its backlog
"""

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.clock import DAY_US
from fraud.evaluation.counts import correlation, dispersion, larger_share, more, past_share
from fraud.guard.data import GuardData
from fraud.guard.finding import Finding, effect_of
from fraud.labels.batches import IMPORTER
from fraud.labels.exclusions import Exclusion
from fraud.settings.guard import Guard, Share

PAST_FRAUDS_MIN = 50
"""Frauds before the judged days that a share needs."""
BEYOND = 1.5
"""A share also rises when the others fall silent: the giver itself must give so many times its usual."""
PAST_BATCHES_MIN = 8
BACKLOG_BATCHES = 4
"""Batches that one may stand for, at most, when the feed had stopped."""


def by_source(data: GuardData, rules: Guard) -> Iterator[Finding]:
    """Find sources that give more of the frauds than they used to."""
    yield from _givers(data, rules, rules.source_share, "source")


def by_submitter(data: GuardData, rules: Guard) -> Iterator[Finding]:
    """Find submitters that give more of the frauds than they used to.

    Who gave the labels of an imported history is not known, so the first live
    submitter is not new beside it.
    """
    yield from _givers(data, rules, rules.submitter_share, "submitter")


def _givers(data: GuardData, rules: Guard, check: Share, giver: str) -> Iterator[Finding]:
    if check.action == "off":
        return
    positives = data.positives
    if giver == "submitter":
        positives = positives.filter(pl.col("submitter") != IMPORTER)
    days = positives.group_by("age").agg(rows=pl.col("frauds").sum())
    past = days.filter(pl.col("age") >= data.recent)
    if past["age"].n_unique() < rules.history_min // DAY_US or past["rows"].sum() < PAST_FRAUDS_MIN:
        return
    names = positives.filter(pl.col("age") < data.recent)[giver].unique().sort().to_list()
    for name in names:
        own = positives.filter(pl.col(giver) == name).group_by("age").agg(hits=pl.col("frauds").sum())
        both = days.join(own, on="age", how="left").with_columns(pl.col("hits").fill_null(0)).sort("age")
        before = both.filter(pl.col("age") >= data.recent)
        share = past_share(float(before["hits"].sum()), float(before["rows"].sum()))
        rho = correlation(before["hits"].to_numpy(), before["rows"].to_numpy(), share)
        # Since its first day, or one that is new among givers would seem to have risen all the time.
        oldest = int(own["age"].to_numpy().max())
        usual = float(before["hits"].sum()) / max(1, oldest - data.recent + 1)
        now = both.filter(pl.col("age") < data.recent)
        # Each judged day, then all of them.
        spans = [(int(age), 1, hits, rows) for age, rows, hits in now.iter_rows()]
        spans.append((0, data.recent, int(now["hits"].sum()), int(now["rows"].sum())))
        for age, length, hits, rows in spans:
            risen = hits / rows - share
            enough = hits >= check.frauds_min and hits >= BEYOND * usual * length
            if enough and risen >= check.rise and larger_share(hits, rows, share, rho) <= rules.p_value:
                text = (
                    f"{giver} {name} gave {hits:,} of {rows:,} frauds in {length} d, "
                    f"{share:.0%} of them before"
                )
                suspect = Exclusion(
                    "labels",
                    source=name if giver == "source" else "",
                    submitter=name if giver == "submitter" else "",
                    from_us=data.start_us(age + length - 1),
                    to_us=data.end_us(age),
                )
                yield Finding(
                    f"{giver}_share", name, risen, check.rise, text, effect_of(check.action), suspect
                )
                break


def by_entity(data: GuardData, rules: Guard) -> Iterator[Finding]:
    """Find the entity that gives much of the frauds of the judged days."""
    check = rules.entity_share
    if check.action == "off" or not data.entity:
        return
    spans = data.suspects.with_columns(span=pl.col("age") // data.recent)
    totals = (
        spans.group_by("span").agg(rows=pl.col("frauds").sum()).filter(pl.col("rows") >= check.frauds_min)
    )
    largest = (
        spans.group_by("span", "entity")
        .agg(
            hits=pl.col("frauds").sum(),
            from_us=pl.col("event_from_us").min(),
            to_us=pl.col("event_to_us").max(),
        )
        .join(totals, on="span")
        .with_columns(share=pl.col("hits") / pl.col("rows"))
        .sort(["span", "share", "entity"], descending=[False, True, False])
        .unique("span", keep="first", maintain_order=True)
    )
    now = largest.filter(pl.col("span") == 0)
    before = largest.filter(pl.col("span") > 0)
    enough = before["rows"].sum() >= PAST_FRAUDS_MIN and before.height * data.recent >= 2
    if now.is_empty() or not enough or data.seen < rules.history_min // DAY_US:
        return
    row = now.row(0, named=True)
    usual = float(np.max(before["share"].to_numpy()))
    if row["share"] >= check.share and row["share"] >= 2 * usual:
        text = (
            f"{data.entity} {row['entity']} gave {row['hits']:,} of {row['rows']:,} frauds in "
            f"{data.recent} d; none gave more than {usual:.0%} before"
        )
        suspect = Exclusion(
            "transactions",
            from_us=row["from_us"],
            to_us=row["to_us"] + 1,
            where=((data.entity, int(row["entity"])),),
        )
        subject = f"{data.entity} {row['entity']}"
        yield Finding(
            "entity_share", subject, row["share"], check.share, text, effect_of(check.action), suspect
        )


def by_batch(data: GuardData, rules: Guard) -> Iterator[Finding]:
    """Find batches with far more frauds than the batches of their source, and than it owes after a pause."""
    check = rules.batch_size
    if check.action == "off":
        return
    for (source,), held in data.batches.sort("arrival_from_us", "batch_id").group_by(
        "source", maintain_order=True
    ):
        past = held.filter(pl.col("age") >= data.recent)["frauds"].to_numpy()
        if len(past) < PAST_BATCHES_MIN or data.seen < rules.history_min // DAY_US:
            continue
        mean = float(past.mean())
        alpha = dispersion(past, np.full(len(past), mean))
        ages = held["age"].unique().sort().to_numpy()
        for row in held.filter(pl.col("age") < data.recent).iter_rows(named=True):
            frauds = row["frauds"]
            pause = int(ages[ages > row["age"]][0]) - row["age"]
            expected = mean * min(BACKLOG_BATCHES, max(1.0, pause / _spacing(ages[ages >= data.recent])))
            ratio = frauds / max(expected, 1.0)
            if frauds < check.frauds_min or ratio < check.jump:
                continue
            if more(frauds, expected, alpha) <= rules.p_value:
                text = (
                    f"batch {row['batch_id']} of {source} brings {frauds:,} frauds {pause} d after the one "
                    f"before; usual are {expected:,.0f}"
                )
                suspect = Exclusion("labels", batch_id=row["batch_id"])
                yield Finding(
                    "batch_size", row["batch_id"], ratio, check.jump, text, effect_of(check.action), suspect
                )


def _spacing(ages: NDArray[np.int64]) -> float:
    """Return the usual days between days with batches, of their ages ascending; infinite for one day."""
    return float(ages[-1] - ages[0]) / (len(ages) - 1) if len(ages) > 1 else float("inf")
