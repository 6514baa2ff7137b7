"""Makes the gate's case for one challenger: evidence, traffic, age, attempts.

history at the cut, as training sees it → judged rows since the challenger was frozen
→ scored by challenger and champion from the logged features → evidence
the last week of all traffic → outcomes by each side's own thresholds and by the champion's alone
the newest traffic when the challenger was made, and now (`fraud.retrainer.newest`)
  → shares at or above the clients' cut-offs on the risk score; scoring time, as a ratio
the sentinels, wherever they stand → how many of each pattern each side alerts on
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.bundle.bundle import Bundle
from fraud.bundle.store import BundleStore
from fraud.clock import DAY_US
from fraud.errors import ConfigError, Damaged, NotFound, OtherFormat
from fraud.features.spec import FeatureSpec
from fraud.gate.attacks import AttackRule
from fraud.gate.censoring import HELD
from fraud.gate.checks import OutcomeCounts, label_delay
from fraud.gate.evidence import EvidenceRules, gather
from fraud.gate.sentinels import SentinelCount
from fraud.gate.verdict import Case, Champion
from fraud.gate.volume import RiskCount
from fraud.guard.delays import LabelDelay
from fraud.records import Outcome
from fraud.registry.attacks import Attack
from fraud.registry.sentinels import SentinelSet
from fraud.registry.version import VersionState
from fraud.retrainer.evading import Evading
from fraud.retrainer.matrices import READABLE, Matrices, matrix_of, unseen_margins, unseen_of, unseen_scores
from fraud.retrainer.newest import NewestTraffic
from fraud.retrainer.timing import ROWS_MAX, scoring_ratio
from fraud.training.history import History
from fraud.training.unseen import Unseen

TRAFFIC_US = 7 * DAY_US
"""Recent traffic on which outcome rates are predicted."""


@dataclass(frozen=True, slots=True)
class Rival:
    """A version with its bundle: a challenger, or the champion it is held against.

    `tainted`: it learned from data that is excluded now. `unreadable`: why it cannot be scored any
    more, its bundle or a feature that it reads being gone; "" for one that can. Nothing can be held
    against that.
    """

    state: VersionState
    held: Bundle | None
    tainted: bool = False
    unreadable: str = ""

    @classmethod
    def readable(cls, version: VersionState, bundles: BundleStore, spec: FeatureSpec) -> Self:
        """Read the bundle of a version for a service that has the features of `spec`.

        Raises:
            ConfigError: it reads features that are gone or mean something else now.
            Damaged: the bundle is not what was written.
            NotFound: the bundle is gone.
            Unavailable: it cannot be read now.
        """
        bundle = bundles.read(version.digest)
        try:
            spec.indices(bundle.feature_names, bundle.feature_definitions)
        except ConfigError as error:
            raise ConfigError(f"{version.version}: {error}") from None
        return cls(version, bundle)

    @classmethod
    def read(
        cls, version: VersionState, bundles: BundleStore, spec: FeatureSpec, *, tainted: bool = False
    ) -> Self:
        """Read it as `readable` does; what will not pass by itself makes it `unreadable`.

        Raises:
            OtherFormat: another release has written the bundle.
            Unavailable: it cannot be read now.
        """
        try:
            return replace(cls.readable(version, bundles, spec), tainted=tainted)
        except OtherFormat:
            raise
        except (ConfigError, Damaged, NotFound) as error:
            return cls(version, None, tainted, str(error))

    @property
    def bundle(self) -> Bundle:
        """The bundle; ask for that of an `unreadable` one never."""
        assert self.held is not None, self.unreadable
        return self.held

    @property
    def unseen(self) -> Unseen:
        """The payments that fitting, calibration and selection have not seen."""
        return unseen_of(self.bundle)


class Casework:
    """Builds cases at one cut of history; reads each model's rows once.

    `sentinels` are the sets in force; the archive holds their rows, also those behind the cut.
    `attacks` are those in force, of any model, `delays` those of the model's labels.
    """

    def __init__(
        self,
        history: History,
        bundles: BundleStore,
        sentinels: Sequence[SentinelSet] = (),
        attacks: Sequence[Attack] = (),
        delays: Sequence[LabelDelay] = (),
    ) -> None:
        self._history = history
        self._settings = history.settings
        self._bundles = bundles
        self._sentinels = sentinels
        self._attacks = attacks
        self._delays = delays
        self._cut = history.cut
        self._rows: dict[tuple[str, int], pl.DataFrame] = {}
        self._frozen: dict[tuple[str, str], pl.DataFrame] = {}
        self._evading = Evading(history)
        self._traffic: dict[str, pl.DataFrame] = {}
        self._newest = NewestTraffic(history)
        self._matrices = Matrices()
        self._margins: dict[tuple[str, str, int], NDArray[np.float32]] = {}

    def case(self, challenger: Rival, champion: Rival | None) -> Case:
        """Return the case of a challenger against the champion, or for a first version.

        A champion that is unreadable is none.
        """
        champion = None if champion is None or champion.unreadable else champion
        model = challenger.bundle.model
        scored, rules = self.scored(challenger, champion)
        ok, text = self._self_test(challenger)
        theirs = None if champion is None else champion.bundle
        return Case(
            evidence=gather(scored, rules),
            champion=None if champion is None else self._champion(champion),
            challengers=challenger.state.challengers,
            attempt=challenger.state.attempt,
            bundle_bytes=self._bundles.size_served(challenger.state.digest),
            self_test_ok=ok,
            self_test_text=text,
            traffic=self._outcomes(challenger.bundle),
            seed=self._settings.training.seed,
            sentinels=tuple(
                self._count(each, challenger, champion) for each in self._sentinels if each.model == model
            ),
            unadjusted=None if champion is None else self._unadjusted(challenger.bundle, champion.bundle),
            risk=self._risk(challenger.bundle, theirs, challenger.state.cut_position),
            risk_now=self._risk(challenger.bundle, theirs, self._cut.position),
            scoring_ratio=None if champion is None else self._ratio(challenger.bundle, champion.bundle),
            extra_checks=self._evading.checks(challenger.bundle, theirs, rules.since_us),
            notes=tuple(
                label_delay(it.source, it.frauds, it.median_days, it.quantile_days, rules.maturity_us)
                for it in self._delays
            ),
        )

    def scored(
        self, challenger: Rival, champion: Rival | None, since_us: int = 0
    ) -> tuple[pl.DataFrame, EvidenceRules]:
        """Return what evidence is gathered from, columns as `gather` takes them, and the rules.

        Events before `since_us`, or that either side may have learned from, are left out.
        """
        model = challenger.bundle.model
        both = [each.unseen for each in (challenger, champion) if each is not None]
        since_us = max(since_us, *(unseen.from_us for unseen in both))
        rows = self._judged(model, since_us)
        for unseen in both:
            rows = unseen.of(rows)
        scored = rows.with_columns(
            pl.Series("challenger_score", unseen_scores(challenger.bundle, rows), pl.Float64),
            pl.Series("champion_score", unseen_scores(champion.bundle, rows), pl.Float64)
            if champion is not None
            else pl.lit(None, pl.Float64).alias("champion_score"),
        )
        attacks = tuple(rule_of(attack) for attack in self._attacks if attack.model == model)
        rules = EvidenceRules.of(
            self._settings, model, cut_time_us=self._cut.time_us, since_us=since_us, attacks=attacks
        )
        return scored, rules

    def _unadjusted(self, challenger: Bundle, champion: Bundle) -> OutcomeCounts:
        """Count what the champion's thresholds make of the challenger's scores."""
        scores = challenger.scores(self._week(challenger))
        return OutcomeCounts.of(champion.thresholds.outcomes(scores))

    def _risk(self, challenger: Bundle, champion: Bundle | None, upto: int) -> tuple[RiskCount, ...]:
        """Count the newest traffic up to a position at or above the clients' cut-offs."""
        margins = self._newest.margins(challenger, upto)
        mine = challenger.risk_scores(margins)
        theirs = None if champion is None else champion.risk_scores(self._newest.margins(champion, upto))
        return tuple(
            RiskCount(
                cutoff,
                len(mine),
                challenger=int(np.sum(mine >= cutoff)),
                champion=None if theirs is None else int(np.sum(theirs >= cutoff)),
                differing=0 if theirs is None else int(np.sum((mine >= cutoff) != (theirs >= cutoff))),
                tied=int(np.sum(margins == challenger.risk_scale.edges[cutoff - 1])),
            )
            for cutoff in self._settings.gate.risk_cutoffs
        )

    def _ratio(self, challenger: Bundle, champion: Bundle) -> float | None:
        """Time both on the newest traffic; None when there is none."""
        rows = self._newest.rows(challenger.model).tail(ROWS_MAX)
        if rows.is_empty():
            return None
        return scoring_ratio(challenger, matrix_of(challenger, rows), champion, matrix_of(champion, rows))

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
            traffic=self._outcomes(champion.bundle),
            promised=self._promised(champion),
            tainted=champion.tainted,
        )

    def _promised(self, champion: Rival) -> OutcomeCounts:
        """Count what the champion's thresholds make of the traffic that it was made for."""
        bundle = champion.bundle
        key = (bundle.digest, "made for", champion.state.cut_position)
        if key not in self._margins:
            traffic = traffic_before(self._history, champion.state, with_features=True)
            rows = traffic.select("position", READABLE).collect()
            self._margins[key] = unseen_margins(bundle, rows, matrix_of(bundle, rows))
        return OutcomeCounts.of(bundle.thresholds.outcomes(bundle.scores(self._margins[key])))

    def _self_test(self, challenger: Rival) -> tuple[bool, str]:
        """Read the bundle back from the store, as a scorer would, and test it."""
        try:
            self._bundles.read(challenger.state.digest).self_test()
        except Damaged as error:
            return False, str(error)
        return True, "read back from the store, margins equal bit for bit"

    def _judged(self, model: str, since_us: int) -> pl.DataFrame:
        """Return rows since a moment with what is known of them, those included that never got a label."""
        key = (model, since_us)
        if key not in self._rows:
            rows = self._history.judged(model, since_us)
            declined = (pl.col("outcome") == int(Outcome.DECLINE)) & ~pl.col("explored")
            kept = rows.filter(pl.col("is_fraud").is_not_null() | declined | HELD)
            self._rows[key] = kept.sort("position").collect()
        return self._rows[key]

    def _outcomes(self, bundle: Bundle) -> OutcomeCounts:
        """Count what a bundle's thresholds make of the week before the cut."""
        return OutcomeCounts.of(bundle.thresholds.outcomes(bundle.scores(self._week(bundle))))

    def _week(self, bundle: Bundle) -> NDArray[np.float32]:
        """Return a bundle's margins of the week before the cut; read and scored once."""
        key = (bundle.digest, "week", self._cut.position)
        if key not in self._margins:
            rows = self._rows_of_week(bundle.model)
            self._margins[key] = unseen_margins(bundle, rows, self._matrices.of(bundle, rows))
        return self._margins[key]

    def _rows_of_week(self, model: str) -> pl.DataFrame:
        if model not in self._traffic:
            week = pl.col("event_time_us").is_between(self._cut.time_us - TRAFFIC_US, self._cut.time_us)
            self._traffic[model] = (
                self._history.transactions(model, week).select("position", READABLE).collect()
            )
        return self._traffic[model]


def rule_of(attack: Attack) -> AttackRule:
    """Return what the gate calls the payments of a confirmed attack."""
    return AttackRule(f"attack_{attack.seq}", attack.entities, attack.words, attack.since_us)


def traffic_before(history: History, version: VersionState, *, with_features: bool = False) -> pl.LazyFrame:
    """Return the payments of the week before a version's cut that were known then: what it was made for.

    Features are as logged, or `with_features` those of the present view.
    """
    week = pl.col("event_time_us").is_between(version.cut_time_us - TRAFFIC_US, version.cut_time_us)
    known = pl.col("position") <= version.cut_position
    return history.transactions(version.model, week & known, with_features=with_features)


def alerts_on(bundle: Bundle, rows: pl.DataFrame) -> int:
    """Count the archived rows that a bundle's own thresholds alert on, by their logged features.

    With folds as if none of them had taught it: what it remembers, whoever comes later could not match.
    """
    return OutcomeCounts.of(bundle.thresholds.outcomes(unseen_scores(bundle, rows))).alerts
