"""Which labels may move a trigger: fewer than may be learned from, for here nobody has judged them yet.

    labels that count (not excluded, not retracted)
      − those of sources that are not trusted with it          `training.triggers.sources`
      − those of a batch, submitter or source that the guard found odd, lately or in its last report

Of a payment that was held back every source is believed: of what was never taken nothing is charged back, so
the desk that looked at it is the only one to say that fraud was found.

A burst of real misses looks odd, too. So the guard's findings that name a day or a payment (`fraud_rate`,
`entity_share`) do not count against labels here, nor does a share that rises of whoever always gave most of
the trusted frauds: where the champion is blind, desks fall silent and chargebacks are all there is.
"""

from collections.abc import Container, Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Self

import polars as pl

from fraud.guard.data import GuardData
from fraud.guard.examine import examine
from fraud.guard.finding import Finding
from fraud.labels.exclusions import Exclusion
from fraud.records import LabelValue, Outcome
from fraud.registry.guard_reports import GuardReport
from fraud.retrainer.guarding import flow_of
from fraud.training.history import History

ODD: Final = (
    *("source_share", "submitter_share", "batch_size"),
    *("contradictions", "overturned", "duplicates"),
    *("implausible_batch", "implausible_submitter"),
)
"""Checks of the guard that tell who gave odd labels."""
SHARES: Final = MappingProxyType({"source_share": "source", "submitter_share": "submitter"})
"""Those that hold a giver against the others, and what they call one."""
STRANGER_CARDS: Final = 5
"""Whoever gave frauds of fewer cards before is a stranger; strangers count as one submitter."""


@dataclass(frozen=True, slots=True)
class Trust:
    """Sources whose labels may move a trigger, and labels that may not whoever gave them."""

    sources: tuple[str, ...]
    odd: tuple[Exclusion, ...] = ()

    @classmethod
    def of(
        cls,
        sources: Iterable[str],
        report: GuardReport | None,
        findings: Iterable[Finding],
        usual: Container[tuple[str, str]] = (),
    ) -> Self:
        """Take what the guard said of a model last, and what it finds now; `usual` as of `usual_givers`."""
        found = list(findings)
        if report is not None:
            found += [Finding.from_dict(dict(it)) for it in report.findings]
        counted = (it for it in found if it.check in ODD and (it.check, it.subject) not in usual)
        odd = [it.suspect for it in counted if it.suspect is not None]
        if report is not None:
            odd += [exclusion for _, exclusion in report.dropped]
        return cls(tuple(sources), tuple(dict.fromkeys(it for it in odd if it.what == "labels")))

    def rows(self, *, of_any_source: bool = False) -> pl.Expr:
        """Return the filter of the labels that may; on a table of labels."""
        trusted = pl.lit(value=True) if of_any_source else pl.col("source").is_in(list(self.sources))
        for exclusion in self.odd:
            trusted &= ~exclusion.label_rows()
        return trusted


def trust_in(history: History, model: str, report: GuardReport | None) -> Trust:
    """Look at a model's label feeds since they were last found fit; no model is fitted for it."""
    settings = history.settings
    data = flow_of(history, model, 0 if report is None else report.fit_until_us)
    sources = settings.trigger_sources
    usual = usual_givers(data, sources, settings.training.triggers.submitter_share_max)
    return Trust.of(sources, report, examine(data, settings.guard), usual)


def usual_givers(data: GuardData, sources: Iterable[str], share_min: float) -> frozenset[tuple[str, str]]:
    """Return who gave so much of the trusted frauds before the judged days, by the check that asks for it.

    A stranger is none of them, however few there were.
    """
    before = data.positives.filter((pl.col("age") >= data.recent) & pl.col("source").is_in(list(sources)))
    total = int(before["frauds"].sum())
    found = set()
    for check, giver in SHARES.items():
        for name, given in before.group_by(giver).agg(pl.col("frauds").sum()).iter_rows():
            if given >= max(share_min * total, STRANGER_CARDS):
                found.add((check, str(name)))
    return frozenset(found)


def confirmed(history: History, trust: Trust) -> pl.LazyFrame:
    """Return the payments that are frauds as known now and by a trusted label, in no promised order.

    Columns: transaction_id, known_us, submitter: of the first label that may move a trigger. One sent
    again later is no news.
    """
    fraud = int(LabelValue.FRAUD)
    first = (
        history.labels()
        .filter((pl.col("value") == fraud) & trust.rows())
        .sort("position", "row")
        .unique("transaction_id", keep="first", maintain_order=True)
        .select("transaction_id", "submitter", known_us=pl.col("arrival_time_us"))
    )
    standing = history.standing().filter(pl.col("value") == fraud).select("transaction_id")
    return first.join(standing, on="transaction_id", how="semi")


def held_back() -> pl.Expr:
    """Return the filter of payments that were not simply let through; most are never taken."""
    return (pl.col("outcome") != int(Outcome.APPROVE)) & ~pl.col("explored")


def only_trusted(rows: pl.DataFrame, history: History, trust: Trust) -> pl.DataFrame:
    """Take back the verdict of judged rows whose label may not move a trigger: nobody knows what they were.

    Columns is_fraud bool, label_position i64 (null: no label), outcome integer and explored bool; others
    are kept.
    """
    labels = history.labels().select("position", trusted=trust.rows(), fair=trust.rows(of_any_source=True))
    fair = labels.filter("fair").unique().collect()
    label = pl.col("label_position")
    believed = label.is_in(fair.filter("trusted")["position"].implode())
    believed |= held_back() & label.is_in(fair["position"].implode())
    return rows.with_columns(is_fraud=pl.when(label.is_null() | believed).then(pl.col("is_fraud")))
