"""What a hardened recipe learns beside the frauds that happened: how they would have got through.

    champion ─ attacked with the frauds of the training span ─▶ cheapest evasion of each, its features
      ─▶ rows labelled fraud, each weighing a share of its fraud, together at most a share of all frauds

Attacked is what serves now, so each retrain answers the champion of its time, and a
champion that was hardened is attacked in turn (Feedzai, arXiv 2307.15677). A variant
that looks like an honest payment in every feature teaches nothing but false alarms;
bounds on cost and weight keep its price small.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fraud.attacks.campaign import Result
from fraud.bundle.bundle import Bundle
from fraud.features.encoding import Vocabulary
from fraud.settings.learning import Recipe
from fraud.training.dataset import TrainingSet, Variants
from fraud.training.history import History
from fraud.training.recipes import ChosenRows
from fraud.training.redteam import red_team
from fraud.training.splits import walk_forward


@dataclass(frozen=True, slots=True, eq=False)
class Hardening:
    """Rows that a hardened recipe adds, all frauds: float32[m, d] and weights float64[m]."""

    matrix: NDArray[np.float32]
    weights: NDArray[np.float64]

    def after(
        self, matrix: NDArray[np.float32], is_fraud: NDArray[np.bool_], weights: NDArray[np.float64]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float64]]:
        """Return rows with these behind them; the very same where there are none."""
        if not len(self.weights):
            return matrix, is_fraud, weights
        return (
            np.concatenate([matrix, self.matrix]),
            np.concatenate([is_fraud, np.ones(len(self.weights), np.bool_)]),
            np.concatenate([weights, self.weights]),
        )


def with_variants(rows: TrainingSet, history: History, champion: Bundle | None) -> TrainingSet:
    """Return the set with variants of its frauds, where a recipe asks for them and a champion is there."""
    recipes = [each for each in history.settings.training.recipes.values() if each.kind == "hardened"]
    if not recipes or champion is None or not _can_be_attacked(champion, history):
        return rows
    window_us = max(recipe.window for recipe in recipes)
    (results,) = red_team(
        history,
        [champion],
        frauds=max(recipe.variant_frauds for recipe in recipes),
        since_us=walk_forward(history.settings, rows.cut.time_us, window_us).train.start_us,
        black_box=False,
    )
    return replace(rows, variants=variants_of(rows, history, results))


def _can_be_attacked(champion: Bundle, history: History) -> bool:
    """Tell whether the service still holds every column of the champion."""
    names = {*history.spec.names, *history.settings.schema_.categorical_names}
    return names.issuperset(champion.column_names)


def variants_of(rows: TrainingSet, history: History, results: Sequence[Result]) -> Variants:
    """Return every payment of the evasions of a campaign whose fraud is among the rows."""
    index = history.spec.indices(rows.feature_names)
    fields = [history.settings.schema_.categorical_names.index(name) for name in rows.categorical_names]
    features, words, of, costs = [np.empty((0, len(index)), np.float32)], [], [], []
    for result in results:
        place = int(np.searchsorted(rows.position, result.fraud.position))
        known = place < len(rows) and rows.position[place] == result.fraud.position
        evasion = result.best
        if evasion is None or not result.stopped or not known:
            continue
        payments = evasion.payments
        features.append(evasion.features[:, index])
        words += [tuple(payment.words[field] for field in fields) for payment in payments]
        of += [place] * len(payments)
        costs += [evasion.cost] * len(payments)
    return Variants(np.concatenate(features), tuple(words), np.array(of, np.int64), np.array(costs))


def harden(
    recipe: Recipe, rows: TrainingSet, chosen: ChosenRows, vocabularies: Sequence[Vocabulary]
) -> Hardening:
    """Return the rows that a hardened recipe adds to those chosen; none for another recipe."""
    variants = rows.variants
    width = len(rows.feature_names)
    if recipe.kind != "hardened" or variants is None:
        return Hardening(np.empty((0, width + len(vocabularies)), np.float32), np.empty(0))
    kept = np.flatnonzero(np.isin(variants.of, chosen.rows) & (variants.cost <= recipe.variant_cost))
    matrix = np.empty((len(kept), width + len(vocabularies)), np.float32)
    matrix[:, :width] = variants.features[kept]
    for place, vocabulary in enumerate(vocabularies):
        matrix[:, width + place] = vocabulary.encode([variants.words[each][place] for each in kept])
    owners = variants.of[kept]
    # The payments of one evasion share the weight of one fraud.
    _, group, sizes = np.unique(owners, return_inverse=True, return_counts=True)
    own = chosen.weights[np.searchsorted(chosen.rows, owners)]
    weights = recipe.variant_weight * own / sizes[group]
    frauds = float(chosen.weights[rows.label[chosen.rows] == 1].sum())
    total = float(weights.sum())
    if total > recipe.variant_share * frauds:
        weights *= recipe.variant_share * frauds / total
    return Hardening(matrix, weights)
