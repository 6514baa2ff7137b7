"""What may be learned from at a cut, under a view: one definition for training, gate and monitoring.

    archive up to (position, time)
      transactions   − those the view hides, − sentinels      features as logged, or refolded (below)
      labels         − those the view hides, − retracted batches
      outcomes
        → judged rows: the verdict that stands, what is known of the payment (`fraud.labels.maturity`)

Features were logged under the view that was in force then. Rows that were logged
under another one than now have learned from data that is hidden now (or lack what
counts again): their features are folded anew, from the start of history, through
the present view. Rows before the first of the data are the same either way. Rows from
before a feature existed are folded anew, too, so that it is missing only where it would
have been. Nothing is folded for rows of which none is outdated.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.features.fold import FeatureFold
from fraud.features.rebuild import Past, fold_past
from fraud.features.spec import FeatureSpec
from fraud.labels.exclusions import EVERYTHING, Exclusion, View
from fraud.labels.maturity import judged
from fraud.labels.standing import ConflictRule
from fraud.labels.table import standing_facts, standing_table
from fraud.records import LabelValue
from fraud.settings import Settings

Spans = list[tuple[int, int]]
"""Spans of positions, first and last included."""


class Source(Past, Protocol):
    """What history is read from: the archive, or frames of the same columns."""

    def labels(self, upto: int | None = None) -> pl.LazyFrame:
        """Return labels with position ≤ `upto`."""
        ...

    def outcomes(self, upto: int | None = None) -> pl.LazyFrame:
        """Return payment outcomes with position ≤ `upto`."""
        ...

    def retractions(self, upto: int | None = None) -> pl.LazyFrame:
        """Return retracted batches with position ≤ `upto`."""
        ...

    def applied(self, upto: int | None = None) -> pl.LazyFrame:
        """Return what the scorer put into effect, with position ≤ `upto`."""
        ...

    def features_changed(self, names: Sequence[str]) -> int:
        """Return the last position that was logged before one of the features existed; 0 for none."""
        ...


@dataclass(frozen=True, slots=True)
class Cut:
    """The prefix of the event log that is known: its last position, and the moment."""

    position: int
    time_us: int


@dataclass(frozen=True)
class History:
    """The past at one cut, seen through one view; `without` are transactions kept aside (sentinels)."""

    source: Source
    spec: FeatureSpec
    settings: Settings
    cut: Cut
    view: View = EVERYTHING
    without: AbstractSet[str] = frozenset()

    def transactions(
        self, model: str, where: pl.Expr | None = None, *, with_features: bool = True
    ) -> pl.LazyFrame:
        """Return a model's transactions that count, those `where` it holds, columns as the archive's.

        Without `with_features` these stand as they were logged, which costs nothing.
        """
        own = self.source.transactions(self.cut.position).filter(
            (pl.col("model") == model) & (pl.col("arrival_time_us") <= self.cut.time_us)
        )
        visible = self.view.visible_transactions(own if where is None else own.filter(where))
        if self.without:
            visible = visible.filter(~pl.col("transaction_id").is_in(list(self.without)))
        return self.with_present_features(visible) if with_features else visible

    def labels(self) -> pl.LazyFrame:
        """Return the labels that count, columns as the archive's."""
        known = pl.col("arrival_time_us") <= self.cut.time_us
        retracted = self.source.retractions(self.cut.position).filter(known).select("batch_id")
        labels = self.source.labels(self.cut.position).filter(known)
        return self.view.visible_labels(labels).join(retracted, on="batch_id", how="anti")

    def standing(self, among: pl.LazyFrame | None = None) -> pl.LazyFrame:
        """Return the verdicts that stand, as `standing_table` does: of transactions `among` names, or all.

        Which of many labels stands is worked out in memory, so whoever wants a window names it.
        """
        return standing_table(_about(self.labels(), among), ConflictRule.of(self.settings.labels))

    def standing_facts(self, among: pl.LazyFrame) -> pl.LazyFrame:
        """Return the labels that make them stand, as `standing_facts` does, of the transactions named."""
        return standing_facts(_about(self.labels(), among), ConflictRule.of(self.settings.labels))

    def judged(
        self,
        model: str,
        since_us: int = 0,
        *,
        older_frauds: bool = False,
        with_features: bool = True,
        silence_us: int | None = None,
    ) -> pl.LazyFrame:
        """Return a model's transactions since a moment, with what `fraud.labels.maturity.judged` adds.

        With `older_frauds` those that are usable and fraud come from before the moment, too.
        """
        taken = wanted = pl.col("event_time_us") >= since_us
        if older_frauds:
            # Chosen before the join, or it would hold the features of all that ever was.
            is_fraud = pl.col("value") == int(LabelValue.FRAUD)
            called = self.labels().filter(is_fraud).select("transaction_id")
            frauds = self.standing(called).filter(is_fraud).select("transaction_id")
            taken = wanted | pl.col("transaction_id").is_in(frauds.collect()["transaction_id"].implode())
            wanted |= pl.col("is_fraud")
        among = self.transactions(model, taken, with_features=False).select("transaction_id").collect().lazy()
        known = pl.col("arrival_time_us") <= self.cut.time_us
        rows = judged(
            self.transactions(model, taken, with_features=with_features),
            self.standing(among),
            _about(self.source.outcomes(self.cut.position).filter(known), among),
            self.settings.labels,
            self.cut.time_us,
            silence_us=silence_us,
        )
        return rows.filter(wanted) if older_frauds else rows

    def with_present_features(self, transactions: pl.LazyFrame) -> pl.LazyFrame:
        """Give archived rows the features that the present view gives; in no promised order."""
        if not self._outdated:
            return transactions
        outdated = pl.any_horizontal(pl.col("position").is_between(*span) for span in self._outdated)
        if transactions.filter(outdated).select("position").head(1).collect().is_empty():
            return transactions
        refolded = self._refolded
        names = refolded.columns[1:]
        order = list(self.source.transactions(0).collect_schema())
        renewed = transactions.join(refolded.lazy().select("position"), on="position", how="semi")
        kept = transactions.join(refolded.lazy().select("position"), on="position", how="anti")
        renewed = renewed.drop(names).join(refolded.lazy(), on="position", how="left").select(order)
        return pl.concat([kept.select(order), renewed])

    @cached_property
    def _refolded(self) -> pl.DataFrame:
        """Positions of outdated rows with their features through the present view."""
        fold = FeatureFold(self.spec, ConflictRule.of(self.settings.labels), self.view)
        positions, features = [], []
        for part in fold_past(fold, self.source, max(last for _, last in self._outdated)):
            inside = np.zeros(len(part.positions), np.bool_)
            for first, last in self._outdated:
                inside |= (part.positions >= first) & (part.positions <= last)
            positions.append(part.positions[inside])
            features.append(part.features[inside])
        columns: dict[str, NDArray[Any]] = {"position": np.concatenate(positions)}
        matrix = np.concatenate(features)
        columns |= {f"f_{name}": matrix[:, i] for i, name in enumerate(self.spec.names)}
        return pl.DataFrame(columns)

    @cached_property
    def _outdated(self) -> Spans:
        """Spans of the log that lack a feature, or whose features another view shaped to any effect."""
        changes = self.source.applied(self.cut.position).select("position", "label_view").sort("position")
        # A numeric field that was not there yet was not given: nothing would come of folding it.
        folded = [name for name in self.spec.names if name not in self.spec.numeric_names]
        changed = min(self.source.features_changed(folded), self.cut.position)
        spans: Spans = [(1, changed)] if changed else []
        start, view = 1, EVERYTHING
        for position, text in [*changes.collect().iter_rows(), (self.cut.position + 1, "")]:
            differing = set(view.exclusions) ^ set(self.view.exclusions)
            first = min((self._first(it) for it in differing), default=None)
            if first is not None and max(start, first) < position:
                spans.append((max(start, first), position - 1))
            start, view = position, View.from_text(text)
        return spans

    def _first(self, exclusion: Exclusion) -> int:
        """Return the position of the first of the data; after the cut when no feature shows it."""
        beyond = self.cut.position + 1
        if exclusion.what == "labels":
            if not self.spec.label_fed:
                return beyond
            rows = self.source.labels(self.cut.position).filter(exclusion.label_rows())
        else:
            rows = self.source.transactions(self.cut.position).filter(exclusion.transaction_rows())
        found = rows.select(pl.col("position").min()).collect().item()
        return beyond if found is None else int(found)


def _about(rows: pl.LazyFrame, among: pl.LazyFrame | None) -> pl.LazyFrame:
    """Return the rows about the transactions that `among` names; all without."""
    return rows if among is None else rows.join(among, on="transaction_id", how="semi")
