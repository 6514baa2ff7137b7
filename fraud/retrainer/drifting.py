"""Publishes what recent traffic looks like to the champion, before any label says what it was.

    every `monitoring.traffic_every`, when the log has grown
      the last days, evenly thinned       ─▶ `fraud.monitoring.traffic`
      the week before its cut, once       ─▶ what was promised

The window is whole also right after a promotion, though part of it is the champion's own
reference then: two days of a week would differ from it by their weekdays alone.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from fraud.bundle.bundle import Bundle
from fraud.errors import FraudError
from fraud.evaluation.days import event_days
from fraud.evaluation.resampling import NO_CARD, Interval
from fraud.monitoring.metrics import Labels
from fraud.monitoring.quality import ENTITY_PREFIX
from fraud.monitoring.quality_series import bounds
from fraud.monitoring.traffic import Shares, Traffic, disagreement, is_calibrated, look_at, oddities
from fraud.registry.ledger import RegistryState
from fraud.registry.version import VersionState
from fraud.retrainer.casework import traffic_before
from fraud.retrainer.cycle import Workshop
from fraud.retrainer.matrices import judged_by, matrix_of, read_of, unseen_margins, unseen_scores
from fraud.retrainer.realised import shadow_subjects
from fraud.retrainer.thinning import one_in
from fraud.training.history import History

_SERIES = (
    *("fraud_recent_rows", "fraud_recent_outcome_share", "fraud_promised_outcome_share"),
    *("fraud_recent_alert_ratio", "fraud_score_drift", "fraud_feature_drift", "fraud_drift_findings"),
    *("fraud_estimated_precision", "fraud_estimated_recall", "fraud_estimated_frauds"),
    "fraud_estimate_holds",
)
_COLUMNS = ("position", "event_time_us", "outcome", "explored", "rule", "score", "shadows", "limits")


@dataclass(frozen=True, slots=True)
class Yardstick:
    """A champion with what it was promoted for."""

    version: str
    bundle: Bundle
    promised: Shares


class TrafficWatch:
    """Looks at recent traffic now and then. `calibration` is kept by whoever judges matured payments."""

    def __init__(self, shop: Workshop, calibration: Mapping[str, Interval]) -> None:
        self._shop = shop
        self._calibration = calibration
        self._looked_at = float("-inf")
        self._position = -1
        self._yardsticks: dict[str, Yardstick] = {}

    def turn(self) -> None:
        """Publish, when it is time; the caller holds the archive's files in place."""
        shop = self._shop
        every_s = shop.settings.monitoring.traffic_every / 1e6
        cut = shop.cut()
        if time.monotonic() - self._looked_at < every_s or cut.position == self._position:
            return
        self._looked_at = started = time.monotonic()
        self._position = cut.position
        state = shop.state()
        history = shop.history(cut, state.view())
        shop.each_model(lambda model: self._publish(state, history, model))
        shop.metrics.took("traffic", time.monotonic() - started)

    def _publish(self, state: RegistryState, history: History, model: str) -> None:
        champion = state.champion(model)
        yardstick = self._yardstick(state.version(champion), history) if champion else None
        since_us = history.cut.time_us - self._shop.settings.monitoring.drift.window
        rows = self._sample(history, model, since_us, yardstick)
        self._publish_oddities(model, rows, champion)
        traffic = self._look(rows, yardstick) if yardstick is not None else None
        if traffic is None or yardstick is None:
            for name in _SERIES:
                self._shop.metrics.catalogue.show(name, model, {})
            return
        self._publish_traffic(model, traffic)

    def _look(self, rows: pl.DataFrame, yardstick: Yardstick) -> Traffic | None:
        settings = self._shop.settings
        monitoring = settings.monitoring
        bundle = yardstick.bundle
        matrix = matrix_of(bundle, rows)
        return look_at(
            bundle,
            matrix,
            bundle.scores(unseen_margins(bundle, rows, matrix)),
            rows[_card_of(self._shop)].cast(pl.Int64).fill_null(NO_CARD).to_numpy(),
            event_days(rows["event_time_us"].to_numpy(), settings.service.zone),
            yardstick.promised,
            monitoring.drift,
            monitoring.alarms,
            settings.gate.alert_share,
        )

    def _publish_traffic(self, model: str, traffic: Traffic) -> None:
        show = self._shop.metrics.catalogue.show
        show("fraud_recent_rows", model, {(): traffic.rows})
        for name, shares in (("recent", traffic.outcomes), ("promised", traffic.promised)):
            given: dict[Labels, float] = {(it,): share for it, share in shares.by_outcome.items()}
            show(f"fraud_{name}_outcome_share", model, given)
        show("fraud_recent_alert_ratio", model, bounds({(): traffic.alert_ratio}))
        show("fraud_score_drift", model, {(): traffic.scores.effect})
        show("fraud_feature_drift", model, {(it.name,): it.effect for it in traffic.features})
        show("fraud_drift_findings", model, {(kind,): len(names) for kind, names in traffic.found.items()})
        show("fraud_estimated_precision", model, {(): traffic.estimate.precision})
        show("fraud_estimated_recall", model, {(): traffic.estimate.recall})
        show("fraud_estimated_frauds", model, {(): traffic.estimate.frauds})
        calibrated = is_calibrated(self._calibration.get(model))
        show(
            "fraud_estimate_holds",
            model,
            {("calibration",): float(calibrated), ("no_drift",): float(not traffic.drifted)},
        )

    def _publish_oddities(self, model: str, rows: pl.DataFrame, champion: str) -> None:
        settings = self._shop.settings
        show = self._shop.metrics.catalogue.show
        found = oddities(rows["limits"], settings.schema_.entity_names)
        show("fraud_recent_traffic_share", model, {(kind,): share for kind, share in found.items()})
        subjects = shadow_subjects(rows, champion, settings.monitoring.shadows)
        differing: dict[Labels, float] = {}
        for subject, version in subjects.items():
            share = disagreement(rows, version)
            if share is not None:
                differing[subject,] = share
        show("fraud_shadow_disagreement_share", model, differing)

    def _yardstick(self, version: VersionState, history: History) -> Yardstick | None:
        """Return a champion as it was promised; None where its bundle or a feature of it cannot be read."""
        known = self._yardsticks.get(version.model)
        if known is not None and known.version == version.version:
            return known
        try:
            bundle = self._shop.rival(version).bundle
        except FraudError:
            return None
        rows = self._thinned(traffic_before(history, version), bundle, ("position",))
        scores = unseen_scores(bundle, rows)
        made = Yardstick(version.version, bundle, Shares.of(bundle.thresholds.outcomes(scores)))
        self._yardsticks[version.model] = made
        return made

    def _sample(
        self, history: History, model: str, since_us: int, yardstick: Yardstick | None
    ) -> pl.DataFrame:
        """Read recent payments, evenly thinned to `drift.rows_max`, in log order."""
        recent = history.transactions(model, with_features=False).filter(pl.col("event_time_us") > since_us)
        bundle = yardstick.bundle if yardstick is not None else None
        return self._thinned(recent, bundle, (*_COLUMNS, _card_of(self._shop)))

    def _thinned(self, rows: pl.LazyFrame, bundle: Bundle | None, columns: tuple[str, ...]) -> pl.DataFrame:
        most = self._shop.settings.monitoring.drift.rows_max
        count = rows.select(pl.len()).collect().item()
        step = -(-count // most)
        if bundle is not None:
            columns = (*columns, *read_of(bundle), *judged_by(bundle))
        kept = rows.filter(one_in(step))
        return kept.select(list(dict.fromkeys(columns))).sort("position").collect()


def _card_of(shop: Workshop) -> str:
    return f"{ENTITY_PREFIX}{shop.settings.schema_.entity_names[0]}"
