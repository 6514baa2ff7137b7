"""Labels that models do not believe: by batch, by submitter, and scores near 1 that turn out legitimate.

    a FRAUD label is implausible on a row scored below most of traffic,
    a LEGITIMATE label on a row scored near 1:
      by the champion at the time, and by models fitted without that row
    share implausible in a batch against the source's batches before
    share of a submitter's FRAUD labels in four weeks that is implausible against others', and before

Either model alone errs: the champion knows no new attack, and models fitted
with polluted labels half believe them. A new attack is implausible to the
champion and not to cross-fitted models, which have seen the rest of it; a
flood of false frauds is implausible to both, as long as it does not teach the
second itself (`fraud.guard.floods`). Cross-fitting costs, so it is done only for
what the champion doubts (`doubted`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from fraud.clock import DAY_US
from fraud.evaluation.counts import correlation, larger_share, past_share
from fraud.guard.data import GuardData
from fraud.guard.drip import SLOW_DAYS, SLOW_RISE, slow
from fraud.guard.finding import Finding, effect_of
from fraud.guard.submitters import GIVER, stand_out, suspect_of
from fraud.labels.batches import IMPORTER
from fraud.labels.exclusions import Exclusion
from fraud.settings.guard import Guard

PAST_LABELS_MIN = 50
"""Labels of a source, of the judged value, before the judged days."""
CROSSFIT_CERTAIN = 0.5
"""From here on a cross-fitted model takes a row for fraud; it is not calibrated."""
NOBODY_KNOWS = 1.0
"""Share of implausible frauds that is usual where nobody knows what the frauds of a source look like."""
FIRST_TIME = 0.1
"""Share of implausible labels granted to a source that never gave this value before."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """A batch whose labels of one value are implausible: how many of how many, and what is usual."""

    batch_id: str
    source: str
    fraud: bool
    hits: int
    rows: int
    usual: float
    chance: float


def doubted(data: GuardData, rules: Guard) -> tuple[str, ...]:
    """Return the batches and submitters to cross-fit models for: those the champion doubts.

    Without a champion's scores every batch of the judged days is looked at.
    """
    if data.seen < rules.history_min // DAY_US:
        return ()
    marked = _marked(data, rules, ("champion",))
    return (*_doubted_batches(marked, data, rules), *_doubted_submitters(marked, data, rules))


def _doubted_batches(marked: pl.DataFrame, data: GuardData, rules: Guard) -> tuple[str, ...]:
    check = rules.implausible_batch
    if check.action == "off":
        return ()
    recent = data.scored.filter(pl.col("age") < data.recent)
    blind = recent.group_by("batch_id").agg(
        rows=pl.len(), known=pl.col("champion").is_not_null().mean() >= 0.5
    )
    unknown = blind.filter(~pl.col("known") & (pl.col("rows") >= check.labels_min))["batch_id"].to_list()
    doubts = [doubt.batch_id for doubt in _doubts(marked, data, rules) if doubt.chance <= check.suspicion]
    return tuple(sorted({*unknown, *doubts}))


def implausible(data: GuardData, rules: Guard) -> Iterator[Finding]:
    """Find batches that neither the champion nor cross-fitted models believe."""
    check = rules.implausible_batch
    if check.action == "off" or data.crossfit_low is None or data.seen < rules.history_min // DAY_US:
        return
    marked = _marked(data, rules, ("champion", "crossfit"))
    for doubt in _doubts(marked, data, rules):
        risen = doubt.hits / doubt.rows - doubt.usual
        if risen < check.rise or doubt.chance > rules.p_value:
            continue
        value, scored = ("FRAUD", "low") if doubt.fraud else ("LEGITIMATE", "near 1")
        text = (
            f"batch {doubt.batch_id} of {doubt.source}: champion and cross-fitted models score "
            f"{doubt.hits:,} of its {doubt.rows:,} {value} labels {scored}, {doubt.usual:.0%} before"
        )
        suspect = Exclusion("labels", batch_id=doubt.batch_id)
        yield Finding(
            "implausible_batch", doubt.batch_id, risen, check.rise, text, effect_of(check.action), suspect
        )


def unbelieved(data: GuardData, rules: Guard) -> Iterator[Finding]:
    """Find submitters of whose FRAUD labels neither the champion nor cross-fitted models believe many.

    Few false disputes a day make no batch that could be judged; four weeks of them do.
    """
    check = rules.implausible_submitter
    if check.action == "off" or data.crossfit_low is None or data.seen < rules.history_min // DAY_US:
        return
    counts = _frauds_by_submitter(_marked(data, rules, ("champion", "crossfit")), data)
    for it in stand_out(counts, _slow_days(data), check.labels_min, check.rise, rules.p_value, NOBODY_KNOWS):
        text = (
            f"champion and cross-fitted models score {it.hits:,} of the {it.rows:,} FRAUD labels low that "
            f"{it.submitter} ({it.source}) gave in {_slow_days(data)} d, where {it.usual:.0%} are usual"
        )
        suspect = suspect_of(it, data)
        yield Finding(
            "implausible_submitter",
            it.submitter,
            it.risen,
            check.rise,
            text,
            effect_of(check.action),
            suspect,
        )


def _slow_days(data: GuardData) -> int:
    """Return the days judged together; what was never judged must not judge."""
    return max(SLOW_DAYS, data.recent)


def _doubted_submitters(marked: pl.DataFrame, data: GuardData, rules: Guard) -> tuple[str, ...]:
    """Return who could stand out beside others of his source, or does against his own past.

    Chargebacks are frauds that the champion let through, so it doubts honest ones as well: it only
    tells for whom models are worth their cost.
    """
    check = rules.implausible_submitter
    if check.action == "off":
        return ()
    counts = _frauds_by_submitter(marked, data)
    lately = counts.filter(pl.col("age") < _slow_days(data)).group_by(GIVER).agg(pl.col("rows", "hits").sum())
    beside = lately.filter(pl.len().over("source") > 1, pl.col("rows") >= check.labels_min)
    could = beside.filter(pl.col("hits") >= check.rise * pl.col("rows"))["submitter"]
    rise, suspicion = check.rise / 2, rules.implausible_batch.suspicion
    turned = stand_out(counts, _slow_days(data), check.labels_min, rise, suspicion, NOBODY_KNOWS)
    return tuple(sorted({*could, *(it.submitter for it in turned)}))


def _frauds_by_submitter(marked: pl.DataFrame, data: GuardData) -> pl.DataFrame:
    """Count FRAUD labels and the implausible ones by source, who gave them first, and day.

    Who repeats what others said earns nothing by it. Labels of an imported history are nobody's.
    """
    named = marked.filter("about", pl.col("first_submitter") != IMPORTER)
    news = pl.col("implausible") & (pl.col("age") < data.recent)
    return named.group_by("source", "age", submitter="first_submitter").agg(
        rows=pl.len().cast(pl.Int64),
        hits=pl.col("implausible").sum().cast(pl.Int64),
        fresh=news.sum().cast(pl.Int64),
    )


def _marked(data: GuardData, rules: Guard, models: tuple[str, ...]) -> pl.DataFrame:
    """Return the labels that can be judged, with `implausible`: every model that is asked says so.

    A model is asked when it scored half of the judged labels, and then of every
    label, so that present and past are judged alike. Of LEGITIMATE labels only
    those on rows near 1 stay, with the FRAUD labels there: the share of these
    rows that is called LEGITIMATE is what is judged.
    """
    check = rules.implausible_batch
    lows = {"champion": data.champion_low, "crossfit": data.crossfit_low}
    highs = {"champion": check.certain, "crossfit": CROSSFIT_CERTAIN}
    judged = data.scored.filter(pl.col("age") < data.recent)
    usable = [
        name for name in models if lows[name] is not None and 2 * judged[name].count() >= len(judged) > 0
    ]
    if not usable:
        return data.scored.clear().with_columns(implausible=pl.lit(value=False), about=pl.lit(value=True))
    known = data.scored.drop_nulls(usable)
    low = pl.all_horizontal(pl.col(name) < lows[name] for name in usable)
    high = pl.all_horizontal(pl.col(name) >= highs[name] for name in usable)
    frauds = known.filter("fraud").with_columns(implausible=low, about=pl.lit(value=True))
    certain = known.filter(high).with_columns(implausible=~pl.col("fraud"), about=pl.lit(value=False))
    return pl.concat([frauds, certain])


def _doubts(marked: pl.DataFrame, data: GuardData, rules: Guard) -> Iterator[Doubt]:
    """Compare each judged batch with the source's labels before; `about`: FRAUD, or rows near 1."""
    labels_min = rules.implausible_batch.labels_min
    batches = (
        marked.group_by("about", "source", "batch_id")
        .agg(
            rows=pl.len().cast(pl.Int64),
            hits=pl.col("implausible").sum().cast(pl.Int64),
            age=pl.col("age").min(),
        )
        .sort("about", "source", "batch_id")
    )
    # Few rows are near 1, and each of them says more.
    enough = pl.when("about").then(labels_min).otherwise(labels_min // 2)
    judged = batches.filter(pl.col("age") < data.recent, pl.col("rows") >= enough)
    for row in judged.iter_rows(named=True):
        past = batches.filter(
            pl.col("about") == row["about"], pl.col("source") == row["source"], pl.col("age") >= data.recent
        )
        rows = float(past["rows"].sum())
        if rows < PAST_LABELS_MIN:
            if row["about"]:
                continue  # nobody knows what frauds of this source look like
            usual, rho = FIRST_TIME, 0.0
        else:
            usual = past_share(float(past["hits"].sum()), rows)
            rho = correlation(past["hits"].to_numpy(), past["rows"].to_numpy(), usual)
            if not row["about"]:
                usual = max(usual, FIRST_TIME)
        chance = larger_share(row["hits"], row["rows"], usual, rho)
        yield Doubt(row["batch_id"], row["source"], row["about"], row["hits"], row["rows"], usual, chance)


def disproved(data: GuardData, rules: Guard) -> Iterator[Finding]:
    """Find that payments scored near 1 turn out legitimate more often than before."""
    check = rules.near_certain
    days = data.certain.group_by("age").agg(pl.col("rows", "legitimate").sum()).sort("age")
    past, now = days.filter(pl.col("age") >= data.recent), days.filter(pl.col("age") < data.recent)
    if check.action == "off" or past["rows"].sum() < PAST_LABELS_MIN:
        return
    if len(past) < rules.history_min // DAY_US:
        return
    share = past_share(float(past["legitimate"].sum()), float(past["rows"].sum()))
    rho = correlation(past["legitimate"].to_numpy(), past["rows"].to_numpy(), share)
    spans = [(age, 1, rows, hits) for age, rows, hits in now.iter_rows()]
    spans.append((0, data.recent, int(now["rows"].sum()), int(now["legitimate"].sum())))
    for age, length, rows, hits in spans:
        if rows < check.rows_min or hits / rows - share < check.rise:
            continue
        if larger_share(hits, rows, share, rho) <= rules.p_value:
            text = (
                f"{hits:,} of {rows:,} payments scored {check.certain} or more turned out legitimate "
                f"in {length} d, {share:.0%} before; these labels err, or the champion does"
            )
            risen = hits / rows - share
            suspect = _culprit(data.certain.filter(pl.col("age").is_between(age, age + length - 1)), hits)
            action = effect_of(check.action)
            yield Finding("near_certain", "scores near 1", risen, check.rise, text, action, suspect)
            return
    yield from _dripping(data, rules)


def _dripping(data: GuardData, rules: Guard) -> Iterator[Finding]:
    """Note LEGITIMATE labels near 1 that are few each day and many in weeks; too slow to name a culprit."""
    days = (
        data.certain.filter(pl.col("batch_id") != "").group_by("age").agg(pl.col("rows", "legitimate").sum())
    )
    drip = slow(days.sort("age"), "legitimate", "rows", rules.near_certain.rows_min, rules)
    if drip is not None:
        what = f"{drip.hits:,} of {drip.rows:,} labels near 1 of {SLOW_DAYS} d say legitimate"
        text = f"{what}, {drip.usual:.1%} before"
        yield Finding("near_certain", "labels near 1", drip.share, SLOW_RISE * drip.usual, text, "note")


def _culprit(decided: pl.DataFrame, hits: int) -> Exclusion | None:
    """Return the batch that calls most of them legitimate; None when it is no one batch, or silence."""
    batches = decided.group_by("batch_id").agg(pl.col("legitimate").sum())
    batch_id, legitimate = batches.sort(["legitimate", "batch_id"], descending=[True, False]).row(0)
    return Exclusion("labels", batch_id=batch_id) if batch_id and 2 * legitimate > hits else None
