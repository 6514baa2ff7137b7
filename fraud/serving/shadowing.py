"""Keeps the right versions in shadow, and ends a probation whose outcomes jump.

ledger → who is in shadow (`fraud.registry.shadows`) → loaded, self-tested → scores from the next batch on
a champion on probation: its alerts and declines beside the former one's on the same payments,
  and beside what it made of the payments just before its promotion → a jump? → RolledBack
"""

from collections.abc import Sequence

import structlog

from fraud.errors import FraudError, NotAllowedNow, StaleHead
from fraud.eventlog.log import EventLog
from fraud.features.spec import FeatureSpec
from fraud.gate.eprocess import e_of
from fraud.gate.probation import JumpEvidence, Pairs, outcome_log_e
from fraud.monitoring.scorer_metrics import ScorerMetrics
from fraud.records import Scored
from fraud.registry.ledger import RegistryState
from fraud.registry.probation import ACTOR, Probation, probation_of
from fraud.registry.shadows import ShadowPlace, shadows_of
from fraud.registry.store import roll_back
from fraud.registry.view import Registry
from fraud.serving.champions import Champion
from fraud.serving.follower import ChampionLoader
from fraud.serving.logged_features import LoggedFeatures
from fraud.serving.rollback import NOW, Forecast, forecast
from fraud.serving.scorer import Scorer
from fraud.serving.shadows import InShadow
from fraud.settings import Settings

_log = structlog.get_logger("fraud.serving.shadowing")
BEFORE_ROWS = 5_000
"""Newest payments from before a promotion on which the rates of the promoted version are foreseen."""
_TESTS = 4
"""Rise and fall, of alerts and of declines: each takes a quarter of the error budget."""


class Shadowing:
    """Follows the ledger for one scorer; called from one thread at a time, never the scoring thread."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        loader: ChampionLoader,
        scorer: Scorer,
        metrics: ScorerMetrics,
    ) -> None:
        self._settings = settings
        self._logged = LoggedFeatures.of(FeatureSpec.of(settings), scorer.log)
        self._registry = registry
        self._loader = loader
        self._scorer = scorer
        self._metrics = metrics
        self._failed: set[str] = set()
        self._foreseen_by_model: dict[str, Forecast] = {}
        self._judged: dict[str, tuple[int, int, int]] = {}

    def settle(self, state: RegistryState) -> None:
        """Load and unload shadows as the ledger says, and judge probations."""
        now_us = self._scorer.now_us()
        for model in self._settings.models:
            places = shadows_of(state, model, now_us, self._settings.shadow_challengers)
            self._place(model, [place for place in places if place.version not in self._failed])
            probation = probation_of(state, model)
            if probation is None or self._judged.get(model, (0, 0, 0))[0] != probation.seq:
                self._metrics.probation(model, {})  # what was shown was of another one
            if probation is not None:
                self._judge(probation)

    def _place(self, model: str, places: Sequence[ShadowPlace]) -> None:
        held = self._scorer.shadows.of(model)
        if [(it.slot, it.champion.version) for it in held] == [(it.slot, it.version) for it in places]:
            return
        loaded = {it.champion.version: it.champion for it in held}
        shadows = []
        for place in places:
            champion = loaded.get(place.version) or self._load(place.version)
            if champion is not None:
                shadows.append(InShadow(place.slot, champion))
        self._scorer.shadows.put(model, shadows)
        _log.info("in shadow", model=model, versions=[it.champion.version for it in shadows])

    def _load(self, version: str) -> Champion | None:
        """Load a version once; one that fails is not tried again by this process."""
        try:
            return self._loader.load(version)
        except FraudError as error:
            self._failed.add(version)
            _log.error("cannot be put in shadow", version=version, why=error)
            return None

    def _judge(self, probation: Probation) -> None:
        """Roll a champion back whose outcomes have jumped."""
        live = self._scorer.shadows.pairs.get(probation.model)
        if live is None or live.version != probation.version:
            return
        seen = probation.seq, live.alerts.rows, live.declines.rows
        if self._judged.get(probation.model) == seen:
            return  # no payment since; the ledger is looked at far more often than payments may come
        self._judged[probation.model] = seen
        before = self._foreseen(probation)
        required, rule = _TESTS * self._settings.gate.e_value, self._settings.gate.probation
        looked = [
            (noun, pairs, share, outcome_log_e(pairs, share, rule.outcome_ratio_max, rule.outcome_share_min))
            for noun, pairs, share in (
                ("alerts", live.alerts, before.share(before.alerts)),
                ("declines", live.declines, before.share(before.declines)),
            )
        ]
        shown = {f"{noun}_rise": e_of(found.rise) for noun, _, _, found in looked}
        shown |= {f"{noun}_fall": e_of(found.fall) for noun, _, _, found in looked}
        self._metrics.probation(probation.model, shown)
        for noun, pairs, share, found in looked:
            if e_of(max(found.rise, found.fall)) >= required:
                self._roll_back(probation, noun, pairs, share, found)
                return

    def _foreseen(self, probation: Probation) -> Forecast:
        """Return what the version makes of payments that others decided; read once a probation."""
        known = self._foreseen_by_model.get(probation.model)
        if known is None or known.version != probation.version:
            champion = self._loader.load(probation.version)
            others = decided_by_others(
                self._scorer.log, probation.model, probation.version, self._logged.since
            )
            rows = self._logged.readable(others, [champion])
            known = forecast(NOW, champion, rows, self._logged.matrix(rows))
            self._foreseen_by_model[probation.model] = known
        return known

    def _roll_back(
        self, probation: Probation, noun: str, pairs: Pairs, before: float | None, found: JumpEvidence
    ) -> None:
        evidence = {
            "outcome": noun,
            "rows": pairs.rows,
            "champion_share": pairs.champion_share,
            "former_share": pairs.former_share,
            "share_before": before,
            "e_value": e_of(max(found.rise, found.fall)),
        }
        direction = "rose" if found.rise > found.fall else "fell"
        reason = (
            f"on probation, {noun} {direction} to {pairs.champion_share:.2%} of {pairs.rows} payments; "
            f"{probation.former} would have given {pairs.former_share:.2%}"
        )
        if before is not None:
            reason += f", and {before:.2%} were foreseen"
        try:
            roll_back(
                self._registry.store,
                probation.model,
                probation.former,
                probation.version,
                actor=ACTOR,
                reason=reason,
                time_us=self._scorer.now_us(),
                probation=evidence,
            )
        except (StaleHead, NotAllowedNow):
            return  # somebody was first; the next look finds what is true now
        self._metrics.rolled_back(probation.model)
        _log.warning(
            "rolled back",
            model=probation.model,
            from_version=probation.version,
            why=reason,
            to_version=probation.former,
        )


def decided_by_others(log: EventLog, model: str, version: str, since: int) -> list[Scored]:
    """Return the newest of a model's payments that a version did not decide, `BEFORE_ROWS` at most.

    They are looked for among the last few times as many entries, from the position `since` on; none are
    found once the log is full of the version's own decisions.
    """
    head = log.head()
    found: list[Scored] = []
    for start in range(head, max(since - 1, head - 4 * BEFORE_ROWS), -BEFORE_ROWS):
        after = max(since - 1, start - BEFORE_ROWS)
        for entry in reversed(log.read(after, start - after)):
            event = entry.event
            if isinstance(event, Scored) and event.model == model and event.decision.version != version:
                found.append(event)
        if len(found) >= BEFORE_ROWS:
            break
    return found[:BEFORE_ROWS]
