"""Which labels may move a trigger: fewer than may be learned from, for here nobody has judged them yet.

    labels that count (not excluded, not retracted)
      − those of sources that are not trusted with it          `training.triggers.sources`
      − those of a batch, submitter or source that the guard found odd, lately or in its last report

The guard's findings that name a day or a payment (`fraud_rate`, `entity_share`) do not count against
labels here: a burst of real misses looks like them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

import polars as pl

from fraud.guard.examine import examine
from fraud.guard.finding import Finding
from fraud.labels.exclusions import Exclusion
from fraud.records import LabelValue
from fraud.registry.guard_reports import GuardReport
from fraud.retrainer.guarding import flow_of
from fraud.training.history import History

ODD: Final = (
    *("source_share", "submitter_share", "batch_size"),
    *("contradictions", "overturned", "duplicates"),
    *("implausible_batch", "implausible_submitter"),
)
"""Checks of the guard that tell who gave odd labels."""


@dataclass(frozen=True, slots=True)
class Trust:
    """Sources whose labels may move a trigger, and labels that may not whoever gave them."""

    sources: tuple[str, ...]
    odd: tuple[Exclusion, ...] = ()

    @classmethod
    def of(cls, sources: Iterable[str], report: GuardReport | None, findings: Iterable[Finding]) -> Self:
        """Take what the guard said of a model last, and what it finds now."""
        found = list(findings)
        if report is not None:
            found += [Finding.from_dict(dict(it)) for it in report.findings]
        odd = [it.suspect for it in found if it.check in ODD and it.suspect is not None]
        if report is not None:
            odd += [exclusion for _, exclusion in report.dropped]
        return cls(tuple(sources), tuple(dict.fromkeys(it for it in odd if it.what == "labels")))

    def rows(self) -> pl.Expr:
        """Return the filter of the labels that may; on a table of labels."""
        trusted = pl.col("source").is_in(list(self.sources))
        for exclusion in self.odd:
            trusted &= ~exclusion.label_rows()
        return trusted


def trust_in(history: History, model: str, report: GuardReport | None) -> Trust:
    """Look at a model's label feeds since they were last found fit; no model is fitted for it."""
    data = flow_of(history, model, 0 if report is None else report.fit_until_us)
    return Trust.of(history.settings.trigger_sources, report, examine(data, history.settings.guard))


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


def only_trusted(rows: pl.DataFrame, history: History, trust: Trust) -> pl.DataFrame:
    """Take back the verdict of judged rows whose label may not move a trigger: nobody knows what they were.

    Columns is_fraud bool and label_position i64 (null: no label), others are kept.
    """
    trusted = history.labels().filter(trust.rows()).select("position").unique().collect()["position"]
    known = pl.col("label_position").is_null() | pl.col("label_position").is_in(trusted.implode())
    return rows.with_columns(is_fraud=pl.when(known).then(pl.col("is_fraud")))
