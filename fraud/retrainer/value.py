"""Whether fraud value is found no more, by labels that may move a trigger, and by no submitter alone.

    judged rows, scored ─ verdicts of labels that may not: taken back ─ frauds drawn by cluster
      ─▶ `fraud.monitoring.quality_fall`
      an alarm? ─ again without each submitter who gave few of the frauds before, without strangers, and
                  without as many as together gave few ─▶ it has to stand every time

So large amounts in the hands of bought analysts do not start a retrain: without them nothing was lost. Nor
do they when they call large frauds honest that were found. What remains: whoever always gave most of the
verdicts on what is held back can say that nothing of it is fraud any more, and gains a retrain; and anybody
at a desk can hide a fall, by calling dear payments that were held back frauds.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import polars as pl

from fraud.evaluation.days import day_start_us
from fraud.monitoring.quality import QualityRules, judged_rows
from fraud.monitoring.quality_fall import Fall, value_fall
from fraud.retrainer.misses import below_share, by_cluster
from fraud.retrainer.trusting import STRANGER_CARDS, Trust, held_back, only_trusted
from fraud.settings.triggers import ValueFall
from fraud.training.history import History

SUBMITTERS_MAX: Final = 10
"""Left out one by one, those with the largest amounts first; all further ones count as strangers."""


def fall_seen(
    scored: pl.DataFrame, history: History, rules: QualityRules, trust: Trust, wanted: ValueFall
) -> Fall | None:
    """Return how value detection fell; alarming only if it is without any submitter who may not move it.

    `scored` are a model's rows as `judged_rows` takes them, with every entity and the champion's scores.
    """
    newest_us = day_start_us(rules.last_day + 1 - min(rules.windows), rules.zone)
    told = _with_submitters(only_trusted(scored, history, trust), history, newest_us)
    fall = _fall(told, rules, wanted)
    if fall is None or not fall.alarming:
        return fall
    for held, group in minor_submitters(told, history.settings.training.triggers.submitter_share_max):
        theirs = (held_back() == held) & pl.col("submitter").is_in(group).fill_null(value=False)
        without = _fall(told.with_columns(is_fraud=pl.when(~theirs).then(pl.col("is_fraud"))), rules, wanted)
        if without is None or not without.alarming:
            return replace(fall, alarming=False)
    return fall


def _fall(told: pl.DataFrame, rules: QualityRules, wanted: ValueFall) -> Fall | None:
    return value_fall(judged_rows(by_cluster(told), rules), rules, wanted)


def _with_submitters(trusted: pl.DataFrame, history: History, newest_us: int) -> pl.DataFrame:
    """Say who gave the standing label, null for none, and whether it tells of what was `before`.

    Of what was held back it does only where it came before, too: there any source is believed, and nobody
    makes himself a past by what he says now of old payments.
    """
    givers = (
        history.labels()
        .select("submitter", label_position=pl.col("position"), in_time=pl.col("arrival_time_us") < newest_us)
        .unique("label_position")
        .collect()
    )
    before = (pl.col("event_time_us") < newest_us) & (pl.col("in_time") | ~held_back())
    joined = trusted.join(givers, on="label_position", how="left", maintain_order="left")
    return joined.with_columns(before=before.fill_null(value=False))


def minor_submitters(told: pl.DataFrame, share_max: float) -> Iterator[tuple[bool, tuple[str, ...]]]:
    """Yield groups of submitters who had given less than a share of the frauds before, and of which payments.

    Each is held against those who speak of the same: of what was let through (False), or held back (True).
    Columns submitter, before, is_fraud (null: not believed, which makes nobody minor), outcome, explored and
    amount_base_minor.
    """
    believed = told.filter(pl.col("submitter").is_not_null() & pl.col("is_fraud").is_not_null())
    for held in (False, True):
        groups = _minor(believed.filter(held_back() == held), share_max)
        yield from ((held, group) for group in dict.fromkeys(groups))


def _minor(told: pl.DataFrame, share_max: float) -> Iterator[tuple[str, ...]]:
    """Yield the groups among those who speak of the same payments.

    Amounts are those of the payments that one said anything of. The last group are as many as stay below the
    share together, the largest amounts first.
    """
    found = (
        told.group_by("submitter")
        .agg(
            past=(pl.col("before") & pl.col("is_fraud")).sum(),
            amount=pl.col("amount_base_minor").sum(),
        )
        .sort(["amount", "submitter"], descending=[True, False])
    )
    total = int(found["past"].sum())
    minor = [
        (submitter, past)
        for submitter, past, amount in found.iter_rows()
        if amount and (not total or past / total < share_max)
    ]
    strangers: list[str] = []
    alone = 0
    for submitter, past in minor:
        if past < STRANGER_CARDS or alone == SUBMITTERS_MAX:
            strangers.append(submitter)
        else:
            alone += 1
            yield (submitter,)
    yield from (tuple(group) for group in (strangers, below_share(minor, total, share_max)) if group)
