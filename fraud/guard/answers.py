"""What labels say about each other: batches that contradict or repeat, submitters who are overturned.

    contradictions   a batch against earlier labels, whoever was right; or a submitter, whose batches are
                     each too small to be judged
    overturned       what a submitter calls legitimate against better sources, whichever came first

A bought analyst who clears frauds is contradicted only later, by honest chargebacks, and few at a time:
batch by batch the chargebacks look guilty, if anybody does. So verdicts are held against what stands by
the word of a better source, a submitter at a time, as raters are in crowdsourcing (Dawid and Skene
1979). Only sources of a better rank can overturn: who floods a worse one, or buys one analyst to
discredit another, accuses nobody. Whoever can make a better source lie can accuse: so a person decides.
"""

from collections.abc import Iterator

import polars as pl

from fraud.clock import DAY_US
from fraud.evaluation.counts import correlation, larger_share, past_share
from fraud.guard.data import GuardData
from fraud.guard.drip import SLOW_DAYS, SLOW_RISE, slow
from fraud.guard.finding import Finding, effect_of
from fraud.guard.submitters import stand_out, suspect_of
from fraud.labels.exclusions import Exclusion
from fraud.settings.guard import Guard

PAST_LABELS_MIN = 100
"""Labels before the judged days that a share needs."""
UNKNOWN = 0.25
"""Share of what is called legitimate that may be fraud where nothing is known of submitter and source."""
OVERTURNED_DAYS = 7
"""Days of verdicts judged together, beyond those that better sources may take to speak."""


def contradicting(data: GuardData, rules: Guard) -> Iterator[Finding]:
    """Find batches that say the opposite of earlier labels more often than labels did before."""
    check = rules.contradictions
    past = data.batches.filter(pl.col("age") >= data.recent)
    if check.action == "off" or not _enough(data, past, rules):
        return
    share = past_share(float(past["contradicting"].sum()), float(past["labels"].sum()))
    rho = correlation(past["contradicting"].to_numpy(), past["labels"].to_numpy(), share)
    found = False
    for row in data.batches.filter(pl.col("age") < data.recent).iter_rows(named=True):
        hits, rows = row["contradicting"], row["labels"]
        risen = hits / rows - share
        # Half as many contradictions as labels needed: a batch half of which turns over others is enough.
        if rows < check.labels_min or 2 * hits < check.labels_min or risen < check.rise:
            continue
        if larger_share(hits, rows, share, rho) <= rules.p_value:
            text = (
                f"batch {row['batch_id']} of {row['source']} contradicts earlier labels in {hits:,} of its "
                f"{rows:,}, {share:.1%} of labels did before"
            )
            suspect = Exclusion("labels", batch_id=row["batch_id"])
            yield Finding(
                "contradictions", row["batch_id"], risen, check.rise, text, effect_of(check.action), suspect
            )
            found = True
    if not found:
        given = list(_piecemeal(data, rules))
        yield from given or _dripping(data, rules)


def _piecemeal(data: GuardData, rules: Guard) -> Iterator[Finding]:
    """Find submitters whose labels of the judged days contradict earlier ones, however they are cut up.

    The best source is left out: it comes to contradict the others.
    """
    check = rules.contradictions
    fresh = pl.when(pl.col("age") < data.recent).then(pl.col("hits")).otherwise(0)
    counts = (
        data.batches.filter(pl.col("source") != data.best_source)
        .group_by("source", "submitter", "age")
        .agg(rows=pl.col("labels").sum(), hits=pl.col("contradicting").sum())
        .with_columns(fresh=fresh)
    )
    for it in stand_out(counts, data.recent, check.labels_min, check.rise, rules.p_value, UNKNOWN):
        if 2 * it.hits < check.labels_min:
            continue
        text = (
            f"{it.hits:,} of the {it.rows:,} labels that {it.submitter} ({it.source}) gave in "
            f"{data.recent} d contradict earlier ones, where {it.usual:.1%} are usual"
        )
        yield Finding(
            "contradictions",
            it.submitter,
            it.risen,
            check.rise,
            text,
            effect_of(check.action),
            suspect_of(it, data),
        )


def _dripping(data: GuardData, rules: Guard) -> Iterator[Finding]:
    """Note contradictions that are few in each batch and many in weeks; too slow to name a culprit."""
    days = data.batches.group_by("age").agg(pl.col("contradicting", "labels").sum()).sort("age")
    drip = slow(days, "contradicting", "labels", rules.contradictions.labels_min // 2, rules)
    if drip is not None:
        what = f"{drip.hits:,} of {drip.rows:,} labels of {SLOW_DAYS} d contradict earlier ones"
        text = f"{what}, {drip.usual:.1%} before"
        yield Finding("contradictions", "all", drip.share, SLOW_RISE * drip.usual, text, "note")


def overturned(data: GuardData, rules: Guard) -> Iterator[Finding]:
    """Find submitters who call legitimate what better sources say is fraud, far more often than is usual.

    Better sources take up to `matured` days to speak, so that many days and a week are judged together.
    """
    check = rules.overturned
    if check.action == "off" or data.seen < rules.history_min // DAY_US:
        return
    span = data.matured + max(OVERTURNED_DAYS, data.recent)
    for it in stand_out(data.cleared, span, check.labels_min, check.rise, rules.p_value, UNKNOWN):
        text = (
            f"better sources say fraud of {it.hits:,} of the {it.rows:,} payments that {it.submitter} "
            f"({it.source}) called legitimate in {span} d, where {it.usual:.1%} are usual"
        )
        suspect = suspect_of(it, data)
        yield Finding(
            "overturned", it.submitter, it.risen, check.rise, text, effect_of(check.action), suspect
        )


def _enough(data: GuardData, past: pl.DataFrame, rules: Guard) -> bool:
    return bool(past["labels"].sum() >= PAST_LABELS_MIN) and data.seen >= rules.history_min // DAY_US


def repeating(data: GuardData, rules: Guard) -> Iterator[Finding]:
    """Find batches that repeat labels of others, or their own; the latter teaches nothing false."""
    check = rules.duplicates
    if check.action == "off":
        return
    past = data.batches.filter(pl.col("age") >= data.recent)
    for row in data.batches.filter(pl.col("age") < data.recent).iter_rows(named=True):
        of_source = past.filter(pl.col("source") == row["source"])
        for where in ("elsewhere", "within"):
            hits, rows = row[f"repeated_{where}"], row["labels"]
            usual = past_share(float(of_source[f"repeated_{where}"].sum()), float(of_source["labels"].sum()))
            # A doubled file repeats one half of itself.
            bound = check.share if where == "elsewhere" else check.share / 2
            if rows < check.labels_min or hits / rows < max(bound, 2 * usual if len(of_source) else 0.0):
                continue
            other = "an earlier batch" if where == "elsewhere" else "the batch itself"
            what = f"{hits:,} of the {rows:,} labels of batch {row['batch_id']} ({row['source']})"
            text = f"{what} repeat {other}"
            whole = where == "elsewhere" and hits == rows
            suspect = Exclusion("labels", batch_id=row["batch_id"]) if whole else None
            effect = effect_of(check.action)
            # Without a part to leave out there is no harm either: repeated verdicts count once.
            action = "note" if suspect is None and effect == "drop" else effect
            yield Finding("duplicates", row["batch_id"], hits / rows, bound, text, action, suspect)
