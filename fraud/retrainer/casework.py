"""Makes the gate's case for one challenger: evidence, traffic, age, attempts.

history at the cut, as training sees it → judged rows since the challenger was frozen
→ scored by challenger and champion from the logged features → evidence
the last week of all traffic → outcomes by each side's own thresholds and by the champion's alone,
  shares at or above the clients' cut-offs on the risk score; a sample of it → scoring time, as a ratio
the sentinels, wherever they stand → how many of each pattern each side alerts on
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.bundle.bundle import Bundle
from fraud.bundle.store import BundleStore
from fraud.clock import DAY_US
from fraud.errors import Damaged
from fraud.gate.checks import OutcomeCounts
from fraud.gate.evidence import EvidenceRules, gather
from fraud.gate.sentinels import SentinelCount
from fraud.gate.verdict import Case, Champion
from fraud.gate.volume import RiskCount
from fraud.records import Outcome
from fraud.registry.sentinels import SentinelSet
from fraud.registry.version import VersionState
from fraud.training.history import History

TRAFFIC_US = 7 * DAY_US
"""Recent traffic on which outcome rates are predicted."""


@dataclass(frozen=True, slots=True)
class Rival:
    """A version with its bundle: a challenger, or the champion it is held against."""

    state: VersionState
    bundle: Bundle

    @property
    def evidence_from_us(self) -> int:
        """Events at or after this were not seen by fitting, calibration or selection."""
        return int(self.bundle.manifest["spans"]["evidence_us"][0])


class Casework:
    """Builds cases at one cut of history; reads each model's rows once.

    `sentinels` are the sets in force; the archive holds their rows, also those behind the cut.
    """

    def __init__(self, history: History, bundles: BundleStore, sentinels: Sequence[SentinelSet] = ()) -> None:
        self._history = history
        self._settings = history.settings
        self._bundles = bundles
        self._sentinels = sentinels
        self._cut = history.cut
        self._rows: dict[tuple[str, int], pl.DataFrame] = {}
        self._frozen: dict[tuple[str, str], pl.DataFrame] = {}
        self._traffic: dict[tuple[str, int], pl.DataFrame] = {}

    def case(self, challenger: Rival, champion: Rival | None) -> Case:
        """Return the case of a challenger against the champion, or for a first version."""
        model = challenger.bundle.model
        since_us = challenger.evidence_from_us
        if champion is not None:
            since_us = max(since_us, champion.evidence_from_us)
        rows = self._judged(model, since_us)
        scored = rows.with_columns(
            pl.Series("challenger_score", self._scores(challenger.bundle, rows), pl.Float64),
            pl.Series("champion_score", self._scores(champion.bundle, rows), pl.Float64)
            if champion is not None
            else pl.lit(None, pl.Float64).alias("champion_score"),
        )
        rules = EvidenceRules.of(self._settings, model, cut_time_us=self._cut.time_us, since_us=since_us)
        ok, text = self._self_test(challenger)
        return Case(
            evidence=gather(scored, rules),
            champion=None if champion is None else self._champion(champion),
            challengers=challenger.state.challengers,
            attempt=challenger.state.attempt,
            bundle_bytes=self._bundles.size(challenger.state.digest),
            self_test_ok=ok,
            self_test_text=text,
            traffic=self._outcomes(challenger.bundle, self._cut.time_us),
            seed=self._settings.training.seed,
            sentinels=tuple(
                self._count(each, challenger, champion) for each in self._sentinels if each.model == model
            ),
        )

    def _count(self, sentinels: SentinelSet, challenger: Rival, champion: Rival | None) -> SentinelCount:
        rows = self._rows_of(sentinels)
        return SentinelCount(
            pattern=sentinels.pattern,
            rows=len(sentinels),
            challenger=alerts_on(challenger.bundle, rows),
            champion=None if champion is None else alerts_on(champion.bundle, rows),
            then=sentinels.caught_rows,
            kept_share=self._settings.sentinels.kept_share,
        )

    def _rows_of(self, sentinels: SentinelSet) -> pl.DataFrame:
        key = (sentinels.model, sentinels.pattern)
        if key not in self._frozen:
            own = pl.col("position").is_in(list(sentinels.positions))
            found = self._history.source.transactions().filter(own)
            self._frozen[key] = self._history.with_present_features(found).collect()
        rows = self._frozen[key]
        if len(rows) != len(sentinels):
            raise Damaged(
                f"{len(sentinels) - len(rows)} of the {len(sentinels)} sentinels {sentinels.pattern!r} of "
                f"{sentinels.model!r} are not in the archive; restore it from a copy, or retire the set"
            )
        return rows

    def _champion(self, champion: Rival) -> Champion:
        cut_us = int(champion.bundle.manifest["cut"]["time_us"])
        return Champion(
            age_us=self._cut.time_us - cut_us,
            traffic=self._outcomes(champion.bundle, self._cut.time_us),
            promised=self._outcomes(champion.bundle, cut_us),
        )

    def _self_test(self, challenger: Rival) -> tuple[bool, str]:
        """Read the bundle back from the store, as a scorer would, and test it."""
        try:
            self._bundles.read(challenger.state.digest).self_test()
        except Damaged as error:
            return False, str(error)
        return True, "read back from the store, margins equal bit for bit"

    def _judged(self, model: str, since_us: int) -> pl.DataFrame:
        """Return rows since a moment with what is known of them, unexplored declines included."""
        key = (model, since_us)
        if key not in self._rows:
            rows = self._history.judged(model, since_us)
            declined = (pl.col("outcome") == int(Outcome.DECLINE)) & ~pl.col("explored")
            kept = rows.filter(pl.col("is_fraud").is_not_null() | declined)
            filled = kept.with_columns(pl.col("is_fraud").fill_null(value=False))
            self._rows[key] = filled.sort("position").collect()
        return self._rows[key]

    def _outcomes(self, bundle: Bundle, until_us: int) -> OutcomeCounts:
        """Count what a bundle's thresholds make of the week before a moment."""
        key = (bundle.model, until_us)
        if key not in self._traffic:
            week = pl.col("event_time_us").is_between(until_us - TRAFFIC_US, until_us)
            self._traffic[key] = self._history.transactions(bundle.model).filter(week).collect()
        scores = self._scores(bundle, self._traffic[key])
        return OutcomeCounts.of(bundle.thresholds.outcomes(scores))

    def _scores(self, bundle: Bundle, rows: pl.DataFrame) -> NDArray[np.float64]:
        return bundle.scores(bundle.margins(matrix_of(bundle, rows)))


def alerts_on(bundle: Bundle, rows: pl.DataFrame) -> int:
    """Count the archived rows that a bundle's own thresholds alert on, by their logged features."""
    scores = bundle.scores(bundle.margins(matrix_of(bundle, rows)))
    return OutcomeCounts.of(bundle.thresholds.outcomes(scores)).alerts


def matrix_of(bundle: Bundle, rows: pl.DataFrame) -> NDArray[np.float32]:
    """Return a bundle's matrix, float32[n, d], of archived rows with their logged features."""
    features = np.empty((len(rows), len(bundle.feature_names)), np.float32)
    for column, name in enumerate(bundle.feature_names):
        features[:, column] = rows[f"f_{name}"].cast(pl.Float32).fill_null(float("nan")).to_numpy()
    words = rows.select(pl.col(f"categorical_{name}").fill_null("") for name in bundle.categorical_names)
    return bundle.matrix(features, np.arange(len(bundle.feature_names)), words.rows() or [()] * len(rows))
