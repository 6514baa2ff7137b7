"""Publishes realised quality: what was decided, the champion, the first champion and shadows, side by side.

a day has matured, or the champion changed      → at once, but for a rest of `RESTS` × the last look
labels, reports, retractions or exclusions came → after `monitoring.quality_every`
nothing of it                                   → nothing is read
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from scipy.stats import norm

from fraud.archive.columns import shadow_of
from fraud.errors import FraudError
from fraud.evaluation.days import day_start_us
from fraud.evaluation.resampling import VERDICT_LEVEL, Interval
from fraud.evaluation.weighted import LEVEL
from fraud.monitoring.metrics import Labels
from fraud.monitoring.names import CHAMPION, FIRST, SHADOW
from fraud.monitoring.quality import (
    COMPARED,
    ENTITY_PREFIX,
    SCORE_PREFIX,
    Cohort,
    Judged,
    QualityRules,
    cohort,
    cohorts,
    figures,
    gains,
    judged_rows,
)
from fraud.monitoring.quality_fall import Fall
from fraud.monitoring.quality_series import show_cohorts, show_decay, show_windows
from fraud.registry.ledger import RegistryState
from fraud.registry.reference import reference_of
from fraud.retrainer.cycle import Workshop
from fraud.retrainer.rescoring import Rescoring
from fraud.retrainer.trusting import trust_in
from fraud.retrainer.value import fall_seen
from fraud.training.history import Cut, History

_TABLES = ("labels", "outcomes", "retractions")
_COLUMNS = (
    *("position", "event_time_us", "is_fraud", "label_known_us", "label_position", "amount_base_minor"),
    *("score", "outcome", "explored", "propensity", "rule", "shadows", "imported"),
)

CALIBRATION_FRAUDS = 30
_NARROWER = float(norm.isf((1 - LEVEL) / 2) / norm.isf((1 - VERDICT_LEVEL) / 2))
RESTS = 4.0
"""Times as long as its last look took a model is not looked at again: days that mature in seconds, or
champions that change as fast, may not take the process from retrains and the cores from scoring."""
UNKNOWN = Interval(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True, slots=True)
class Known:
    """What published figures rest on: they are computed again when it has changed."""

    last_day: int
    champion: str
    facts: tuple[object, ...]


class QualityWatch:
    """Keeps the figures of every model as new as what is known. One owner."""

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._known: dict[str, Known] = {}
        self._computed_at: dict[str, float] = {}
        self._took_s: dict[str, float] = {}
        self._rescorings: dict[str, Rescoring] = {}
        self._first_figures: dict[tuple[str, int, str], Cohort] = {}
        self.calibration: dict[str, Interval] = {}
        """Frauds expected ÷ observed of what matured last and was enough, by model."""
        self.falls: dict[str, tuple[Fall, int]] = {}
        """How value detection fell, by model, and when that was seen, µs UTC; where a trigger asks."""

    def turn(self) -> None:
        """Publish what has changed; the caller holds the archive's files in place."""
        state = self._shop.state()
        self._shop.each_model(lambda model: self._look(state, model))

    def _look(self, state: RegistryState, model: str) -> None:
        known = self._known_now(state, model)
        if self._is_due(model, known):
            started = time.perf_counter()
            self._publish(state, model)
            self._took_s[model] = time.perf_counter() - started
            self._known[model] = known
            self._computed_at[model] = time.monotonic()
            self._shop.metrics.took("quality", self._took_s[model])

    def _known_now(self, state: RegistryState, model: str) -> Known:
        shop = self._shop
        versions = shop.archive.versions()
        facts = (*(versions[table] for table in _TABLES), state.view().to_text())
        rules = QualityRules.of(shop.settings, shop.clock.now_us())
        return Known(rules.last_day, state.champion(model), facts)

    def _is_due(self, model: str, known: Known) -> bool:
        former = self._known.get(model)
        if former is None:
            return True
        waited_s = time.monotonic() - self._computed_at[model]
        if waited_s < RESTS * self._took_s[model]:
            return False
        if (former.last_day, former.champion) != (known.last_day, known.champion):
            return True
        return former != known and waited_s >= self._shop.settings.monitoring.quality_every / 1e6

    def _publish(self, state: RegistryState, model: str) -> None:
        shop = self._shop
        cut = shop.cut()
        rules = QualityRules.of(shop.settings, cut.time_us)
        history = shop.history(cut, state.view())
        rows = _rows(history, model, rules.since_us, day_start_us(rules.last_day + 1, rules.zone))
        versions = {CHAMPION: state.champion(model)}
        if shop.settings.monitoring.reference:
            versions[FIRST] = reference_of(state, model)
        shadows = shadow_subjects(rows, versions[CHAMPION], shop.settings.monitoring.shadows)
        scored = self._scored(state, history, model, rows, versions, shadows)
        judged = judged_rows(scored, rules)
        self._watch_value(state, history, model, scored, rules)
        catalogue = shop.metrics.catalogue
        named = {(it, version): 1.0 for it, version in {**versions, **shadows}.items() if version}
        catalogue.show("fraud_quality_subject_info", model, {(*key,): one for key, one in named.items()})
        self._publish_windows(state, model, judged, rules)
        now = list(cohorts(judged, rules))
        then = [self._first_published(history, model, it.week, rules) for it in now]
        show_cohorts(catalogue, model, now, then, rules)
        matured_us = day_start_us(rules.last_day + 1, rules.zone)
        catalogue.show("fraud_quality_matured_timestamp_seconds", model, {(): matured_us / 1e6})
        catalogue.show("fraud_quality_computed_timestamp_seconds", model, {(): cut.time_us / 1e6})

    def _watch_value(
        self, state: RegistryState, history: History, model: str, scored: pl.DataFrame, rules: QualityRules
    ) -> None:
        """Tell whether value detection fell, where a trigger asks."""
        self.falls.pop(model, None)
        wanted = self._shop.settings.training.triggers.value_detection
        if wanted is None:
            return
        trust = trust_in(history, model, state.guard_reports.get(model))
        fall = fall_seen(scored, history, rules, trust, wanted)
        lost: dict[Labels, float] = {} if fall is None else {(): fall.surely}
        self._shop.metrics.catalogue.show("fraud_value_detection_lost_share", model, lost)
        if fall is not None:
            self.falls[model] = (fall, history.cut.time_us)

    def _publish_windows(self, state: RegistryState, model: str, rows: Judged, rules: QualityRules) -> None:
        catalogue = self._shop.metrics.catalogue
        windows = {days: rows.window(days, rules) for days in rules.windows}
        found = {
            (subject, days): figures(part, subject, rules)
            for days, part in windows.items()
            for subject in rows.scores
        }
        gained = {
            (days, name): gain for days, part in windows.items() for name, gain in gains(part, rules).items()
        }
        by_rule = {days: int(np.sum(rows.rule_days > rules.last_day - days)) for days in windows}
        own = (it for (subject, _), it in found.items() if subject == CHAMPION)
        enough = (it for it in own if it.frauds >= CALIBRATION_FRAUDS)
        self.calibration[model] = next((it.intervals["calibration_ratio"] for it in enough), UNKNOWN)
        show_windows(catalogue, model, found, gained, by_rule)
        show_decay(catalogue, model, found, promised_quality(state, model))

    def _scored(
        self,
        state: RegistryState,
        history: History,
        model: str,
        rows: pl.DataFrame,
        versions: Mapping[str, str],
        shadows: Mapping[str, str],
    ) -> pl.DataFrame:
        """Add a column of scores for each subject beside the decisions."""
        for subject, version in versions.items():
            rescoring = self._rescoring(state, version) if version else None
            if rescoring is None:
                continue
            fresh = rescoring.unseen.of(rows)["position"]
            scores = rescoring.scores(fresh, lambda: history.transactions(model, with_features=False))
            scores = scores.rename({"score": SCORE_PREFIX + subject})
            rows = rows.join(scores, on="position", how="left", maintain_order="left")
        for subject, version in shadows.items():
            given = shadow_of(version).struct.field("score")
            rows = rows.with_columns(given.alias(SCORE_PREFIX + subject))
        return rows

    def _rescoring(self, state: RegistryState, version: str) -> Rescoring | None:
        """Return what scores with a version; None where its bundle, or a feature of it, cannot be read."""
        digest = state.version(version).digest
        if digest not in self._rescorings:
            try:
                bundle = self._shop.rival(state.version(version)).bundle
            except FraudError:
                return None
            wanted = {state.version(it).digest for it in self._subjects(state)}
            self._rescorings = {it: kept for it, kept in self._rescorings.items() if it in wanted}
            self._rescorings[digest] = Rescoring(bundle)
        return self._rescorings[digest]

    def _subjects(self, state: RegistryState) -> Iterator[str]:
        for model in self._shop.settings.models:
            yield from (it for it in (state.champion(model), reference_of(state, model)) if it)

    def _first_published(self, history: History, model: str, week: int, rules: QualityRules) -> Cohort:
        """Return a week's figures as they were when it had matured; read again only for another view."""
        key = (model, week, history.view.to_text())
        if key not in self._first_figures:
            then = replace(rules, cut_time_us=rules.matured_us(week))
            past = replace(history, cut=Cut(history.cut.position, then.cut_time_us))
            rows = _rows(past, model, *(day_start_us(day, rules.zone) for day in (week, week + 7)))
            self._first_figures[key] = cohort(judged_rows(rows, then), week, then)
        return self._first_figures[key]


def promised_quality(state: RegistryState, model: str) -> dict[str, Interval]:
    """Return the champion's figures in the verdict that promoted it; {} where there is none.

    Its intervals are drawn in from the gate's level to that of what is realised, normal distribution assumed.
    """
    champion = state.champion(model)
    verdicts = state.version(champion).verdicts if champion else []
    if not verdicts:
        return {}
    rows = {row["name"]: row for row in verdicts[-1].report.get("checks", ())}
    found = {name: rows.get(f"{name}_challenger") for name in COMPARED}
    return {
        name: Interval(
            row["value"],
            row["value"] - _NARROWER * (row["value"] - row["low"]),
            row["value"] + _NARROWER * (row["high"] - row["value"]),
        )
        for name, row in found.items()
        if row is not None and None not in (row["value"], row["low"], row["high"])
    }


def _rows(history: History, model: str, since_us: int, until_us: int) -> pl.DataFrame:
    """Read the payments of a span of event time that were scored or that a rule decided, in log order."""
    entities = [f"{ENTITY_PREFIX}{name}" for name in history.settings.schema_.entity_names]
    answered = pl.col("score").is_not_null() | pl.col("rule").is_not_null()
    return (
        history.judged(model, since_us, with_features=False)
        .filter((pl.col("event_time_us") < until_us) & answered)
        .select(*_COLUMNS, *entities)
        .sort("position")
        .collect()
    )


def shadow_subjects(rows: pl.DataFrame, champion: str, most: int) -> dict[str, str]:
    """Return the versions that scored in shadow by subject, the one that did last first."""
    if not most or rows["shadows"].null_count() == len(rows):
        return {}
    seen = (
        rows.select("position", pl.col("shadows").list.eval(pl.element().struct.field("version")))
        .explode("shadows")
        .drop_nulls()
        .group_by("shadows")
        .agg(pl.col("position").max())
        .sort("position", "shadows", descending=True)
    )
    versions = [version for version in seen["shadows"] if version != champion]
    return {f"{SHADOW}_{i + 1}": version for i, version in enumerate(versions[:most])}
