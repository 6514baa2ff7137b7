"""Versions that score live traffic without effect: in the champion's batches, after its decisions.

    rows of a batch ─► champion: decisions ─► each shadow: scores, outcomes by its own thresholds
                                                  └─► logged with the decision, counted, never answered

A shadow that fails is taken out and the batch goes on without it. Where the
former champion is in shadow, alerts and declines of both are counted side by
side, for the probation of the present one. Where they differ, a card counts once
a day: whoever floods a service with payments that one version alone alerts on
must not be able to have it rolled back with a single card.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import structlog
from numpy.typing import NDArray

from fraud.features.state import ScoredRows
from fraud.gate.probation import Differing, Pairs
from fraud.monitoring.scorer_metrics import ScorerMetrics
from fraud.records import Decision, Outcome, ShadowScore, Transaction
from fraud.registry.shadows import FORMER
from fraud.serving.champions import Champion

_log = structlog.get_logger("fraud.serving.shadows")
_OUTCOMES = {outcome.value: outcome for outcome in Outcome}


@dataclass(frozen=True, slots=True)
class InShadow:
    """A loaded version in a slot (`fraud.registry.shadows`)."""

    slot: str
    champion: Champion


@dataclass(slots=True)
class LivePairs:
    """What champion `version` and its predecessor made of the same payments since both score them."""

    version: str
    alerts: Pairs = field(default_factory=Pairs)
    declines: Pairs = field(default_factory=Pairs)
    differing: Differing = field(default_factory=Differing)

    def take(self, transaction: Transaction, ours: Outcome, theirs: Outcome) -> None:
        """Count a payment, unless they differ on it and differed on one of the same card that day."""
        alerts = ours is not Outcome.APPROVE, theirs is not Outcome.APPROVE
        declines = ours is Outcome.DECLINE, theirs is Outcome.DECLINE
        differ = alerts[0] != alerts[1] or declines[0] != declines[1]
        if differ and not self.differing.is_first(transaction.event_time_us, transaction.entities):
            return
        _tally(self.alerts, *alerts)
        _tally(self.declines, *declines)


class Shadows:
    """The shadows of every model. Replaced as a whole by `put`; `attach` runs on the scoring thread."""

    def __init__(self, metrics: ScorerMetrics) -> None:
        self._metrics = metrics
        self._by_model: Mapping[str, tuple[InShadow, ...]] = {}
        self.pairs: dict[str, LivePairs] = {}

    def of(self, model: str) -> tuple[InShadow, ...]:
        """Return what is in shadow for a model."""
        return self._by_model.get(model, ())

    def put(self, model: str, shadows: Sequence[InShadow]) -> None:
        """Let these, and no others, score a model's traffic from the next batch on."""
        others = {name: held for name, held in self._by_model.items() if name != model}
        if _former(self.of(model)) != _former(shadows):
            self.pairs.pop(model, None)
        self._by_model = {**others, model: tuple(shadows)} if shadows else others
        self._metrics.shadows(model, {it.slot: it.champion.version for it in shadows})

    def attach(
        self, transactions: Sequence[Transaction], rows: ScoredRows, decisions: list[Decision]
    ) -> list[Decision]:
        """Return the decisions with the shadows' scores; `rows` are the features of `transactions`.

        Outcomes stay as they are, whatever happens here.
        """
        by_model = self._by_model
        if not by_model:
            return decisions
        places: dict[str, list[int]] = {}
        for i, transaction in enumerate(transactions):
            if transaction.model in by_model:
                places.setdefault(transaction.model, []).append(i)
        attached = list(decisions)
        for model, at in places.items():
            started = time.perf_counter()
            mine = [transactions[i] for i in at]
            features = rows.features if len(at) == len(transactions) else rows.features[at]
            scores = [
                (shadow, found)
                for shadow in by_model[model]
                if (found := self._score(model, shadow, mine, features)) is not None
            ]
            for place, i in enumerate(at):
                held = tuple([found[place] for _, found in scores])
                attached[i] = replace(decisions[i], shadows=held)
            self._count(model, scores, mine, [decisions[i] for i in at])
            self._metrics.shadow_seconds(model, time.perf_counter() - started)
        return attached

    def _score(
        self, model: str, shadow: InShadow, transactions: Sequence[Transaction], features: NDArray[np.float32]
    ) -> list[ShadowScore] | None:
        """Return what a shadow makes of the rows; None, and it is out, when it fails."""
        champion = shadow.champion
        bundle = champion.bundle
        try:
            matrix = champion.matrix(features, champion.words(transactions))
            scores = bundle.scores_of(matrix)
            outcomes = bundle.thresholds.outcomes(scores)
        except Exception:  # noqa: BLE001 — what decides nothing must not cost an answer
            _log.exception("a shadow failed and is out", model=model, version=champion.version)
            self.put(model, [it for it in self.of(model) if it is not shadow])
            return None
        version = champion.version
        return [
            ShadowScore(version, score, _OUTCOMES[outcome])
            for score, outcome in zip(scores.tolist(), outcomes.tolist(), strict=True)
        ]

    def _count(
        self,
        model: str,
        scores: Sequence[tuple[InShadow, list[ShadowScore]]],
        transactions: Sequence[Transaction],
        decisions: Sequence[Decision],
    ) -> None:
        for shadow, found in scores:
            pairs = self._pairs(model, shadow, decisions)
            disagreed = 0
            for transaction, decision, theirs in zip(transactions, decisions, found, strict=True):
                if decision.score is None or decision.rule:
                    continue
                ours = Outcome.DECLINE if decision.explored else decision.outcome
                disagreed += ours is not theirs.outcome
                if pairs is not None and decision.version == pairs.version:
                    pairs.take(transaction, ours, theirs.outcome)
            self._metrics.shadowed(model, shadow.slot, len(found), disagreed)

    def _pairs(self, model: str, shadow: InShadow, decisions: Sequence[Decision]) -> LivePairs | None:
        """Return the counts that a row of the former champion goes into; begun anew with a new champion."""
        if shadow.slot != FORMER:
            return None
        version = next((decision.version for decision in decisions if decision.version), "")
        pairs = self.pairs.get(model)
        if pairs is None or pairs.version != version:
            pairs = self.pairs[model] = LivePairs(version)
        return pairs


def _former(shadows: Sequence[InShadow]) -> str:
    return next((it.champion.version for it in shadows if it.slot == FORMER), "")


def _tally(pairs: Pairs, champion: bool, former: bool) -> None:
    if champion and former:
        pairs.both += 1
    elif champion:
        pairs.champion_only += 1
    elif former:
        pairs.former_only += 1
    else:
        pairs.neither += 1
