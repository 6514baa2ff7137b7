"""The rows that a verdict rests on, read again from the archive, and the figures they give.

    verdict's entry: cut and view of the data → history as it was then → judged rows, scored anew
      → the gate's own selection → one row each: fraud or not, amount, both scores

Nothing of it is taken from the verdict, so that a page can show whether both agree.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.evaluation.metrics import Floats, average_precision, recall_at_budget
from fraud.evaluation.resampling import Figures, Sample, bootstrap
from fraud.gate.evidence import ENTITY_PREFIX, LeftOut, gather
from fraud.gate.slices import SliceRules
from fraud.labels.exclusions import View
from fraud.registry.version import Verdict
from fraud.report.folder import Folder
from fraud.retrainer.casework import Casework, Rival
from fraud.training.history import Cut, History


@dataclass(frozen=True)
class Evident:
    """Rows of evidence in log order with each side's scores float64[n], the judged version first.

    `amounts` int64[n] are minor units of the base currency; `alert_share` is the daily budget.
    """

    sample: Sample
    amounts: NDArray[np.int64]
    scores: Mapping[str, Floats]
    left_out: LeftOut
    alert_share: float
    cut: Cut
    since_us: int

    @classmethod
    def read(cls, history: History, folder: Folder, first: Rival, second: Rival | None) -> Self:
        """Select what is evidence for one version, or for two of them alike."""
        casework = Casework(history, folder.bundles)
        rows, rules = casework.scored(first, second)
        rules = replace(rules, slices=SliceRules())
        found = gather(rows, rules)
        # The first entity comes back with the rows that were kept: numbered, it tells which they are.
        card = next(name for name in rows.columns if name.startswith(ENTITY_PREFIX))
        numbered = rows.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias(card))
        kept = gather(numbered, rules).sample.cards
        scores = {first.state.version: found.challenger_scores}
        if second is not None and found.champion_scores is not None:
            scores[second.state.version] = found.champion_scores
        return cls(
            found.sample,
            rows["amount_base_minor"].to_numpy()[kept].astype(np.int64),
            scores,
            found.left_out,
            found.alert_share,
            history.cut,
            rules.since_us,
        )

    @property
    def frauds(self) -> int:
        """Matured frauds."""
        return int(self.sample.is_fraud.sum())

    @property
    def days(self) -> int:
        """Days that carry evidence."""
        return len(np.unique(self.sample.days))

    def average_precision(self, version: str) -> float:
        """Return a side's average precision as the gate defines it; NaN without frauds."""
        return average_precision(self.sample.is_fraud, self.scores[version], self.sample.weights)

    def recall(self, version: str) -> float:
        """Return a side's recall within the daily budget; NaN without frauds."""
        sample = self.sample
        return recall_at_budget(
            sample.is_fraud, self.scores[version], sample.days, self.alert_share, sample.weights
        )

    def bootstrapped(self, rounds: int, seed: int) -> tuple[dict[str, Figures], Figures | None]:
        """Return each side's figures with intervals by card, and the paired difference: first − second."""
        return bootstrap(self.sample, self.scores, self.alert_share, rounds, seed)


def verdict_evidence(folder: Folder, judged: Rival, against: Rival | None, verdict: Verdict) -> Evident:
    """Read what a verdict was reached on; where its entry does not say what, at the version's own cut."""
    said = folder.entry(verdict.seq).body.get("evidence")
    if said is None:
        cut = Cut(judged.state.cut_position, judged.state.cut_time_us)
        view = folder.state.view()
    else:
        cut = Cut(said["cut"]["position"], said["cut"]["time_us"])
        view = View.from_text(said["view"])
    return Evident.read(folder.history(cut, view, verdict.seq), folder, judged, against)


def evidence_now(folder: Folder, first: Rival, second: Rival | None) -> Evident:
    """Read all that is evidence by now."""
    return Evident.read(folder.history_now(), folder, first, second)
