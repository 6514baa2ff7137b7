"""The hardened recipe: fits that answer each other, each with the ways that got past the one before.

    rows + evasions of the champion ─ fit ─▶ booster ─ stops at the policy's threshold? ─▶ cheapest attempts
      of each fraud that pass ─ added, labelled fraud ─▶ fit ─▶ … `variant_rounds` times ─▶ the last booster

A model is fitted on what the ones before it let through, so ways that were shut stay shut
and new ones are looked for in what was drawn, without another fold of the past (adversarial
training as in Madry et al. 2018, arXiv 1706.06083, with payments that somebody could make in
place of moved vectors). A variant that looks like an honest payment in every feature teaches
nothing but false alarms; bounds on cost and weight keep its price small.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fraud.features.encoding import Vocabulary
from fraud.settings.learning import Recipe
from fraud.training.dataset import TrainingSet, Variants
from fraud.training.recipes import ChosenRows

PER_FRAUD = 2
"""Attempts of a fraud that are added in a round: the cheapest that pass, which a thief would take. All that
pass would share out the weight among ways that nobody would pay for, and shut none of them."""


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


@dataclass(frozen=True, slots=True, eq=False)
class Repertoire:
    """Payments that a recipe may add, whole attempts one after the other, m rows.

    `matrix` float32[m, d]; `group` int64[m] numbers the attempts from 0; `of` int64[m] are the rows
    of their frauds, `cost` float64[m] what the attempt costs; `weights` float64[m] are what
    each would weigh, together at most `total_max`; `evades` bool[m] got past the champion.
    """

    matrix: NDArray[np.float32]
    group: NDArray[np.int64]
    of: NDArray[np.int64]
    cost: NDArray[np.float64]
    weights: NDArray[np.float64]
    evades: NDArray[np.bool_]
    total_max: float

    def passing(self, stopped: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Tell which rows, bool[m], belong to an attempt of which no payment is stopped."""
        caught = np.bincount(self.group, weights=stopped) > 0
        return np.asarray(~caught[self.group], np.bool_)

    def cheapest(self, among: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Tell which rows, bool[m], belong to the cheapest few of each fraud's attempts among some."""
        first = np.unique(self.group, return_index=True)[1]
        first = first[among[first]]
        order = first[np.lexsort((self.cost[first], self.of[first]))]
        starts = np.searchsorted(self.of[order], self.of[order])
        few = self.group[order[np.arange(len(order)) - starts < PER_FRAUD]]
        return np.isin(self.group, few)

    def hardening(self, taken: NDArray[np.bool_]) -> Hardening:
        """Return some of the rows with their weights, scaled down to the bound."""
        weights = self.weights[taken]
        total = float(weights.sum())
        return Hardening(self.matrix[taken], weights * min(1.0, self.total_max / total if total else 1.0))


def attacked(recipe: Recipe, rows: TrainingSet, taught: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the frauds that the champion is attacked with, of rows that teach, both rising int64.

    At most `variant_frauds`, those of the least draws: a booster fitted without a fold takes the same as the
    one that is served, but for its fold. Amounts of 0 are left out.
    """
    frauds = taught[(rows.label[taught] == 1) & (rows.amount_minor[taught] > 0)]
    first = np.argsort(rows.draws[frauds], kind="stable")[: recipe.variant_frauds]
    return np.asarray(np.sort(frauds[first]), np.int64)


def _asked_for(recipe: Recipe, variants: Variants, frauds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return which of a set's variants are of these frauds and within the recipe's bounds, rising int64."""
    kept = np.flatnonzero(np.isin(variants.of, frauds) & (variants.cost <= recipe.variant_cost))
    first = kept[np.unique(variants.attempt[kept], return_index=True)[1]]
    drawn = first[~variants.evades[first]]
    drawn = drawn[np.argsort(variants.of[drawn], kind="stable")]
    turns = np.arange(len(drawn)) - np.searchsorted(variants.of[drawn], variants.of[drawn])
    beyond = variants.attempt[drawn[turns >= recipe.variant_ways]]
    return kept[~np.isin(variants.attempt[kept], beyond)]


def repertoire(
    recipe: Recipe, rows: TrainingSet, chosen: ChosenRows, vocabularies: Sequence[Vocabulary]
) -> Repertoire:
    """Return what a hardened recipe may add to the rows chosen; nothing for another recipe.

    A set holds the variants of all such recipes. Each takes what it asks for, whatever the others ask:
    more than that would share out the weight of what is its own.
    """
    variants = rows.variants
    width = len(rows.feature_names)
    if recipe.kind != "hardened" or variants is None:
        nothing = np.empty((0, width + len(vocabularies)), np.float32)
        none, no_cost = np.empty(0, np.int64), np.empty(0)
        return Repertoire(nothing, none, none, no_cost, no_cost, np.empty(0, np.bool_), 0.0)
    kept = _asked_for(recipe, variants, attacked(recipe, rows, chosen.rows))
    matrix = np.empty((len(kept), width + len(vocabularies)), np.float32)
    matrix[:, :width] = variants.features[kept]
    for place, vocabulary in enumerate(vocabularies):
        matrix[:, width + place] = vocabulary.encode([variants.words[each][place] for each in kept])
    _, group, sizes = np.unique(variants.attempt[kept], return_inverse=True, return_counts=True)
    own = chosen.weights[np.searchsorted(chosen.rows, variants.of[kept])]
    frauds = float(chosen.weights[rows.label[chosen.rows] == 1].sum())
    return Repertoire(
        matrix,
        group.astype(np.int64),
        variants.of[kept],
        variants.cost[kept],
        # The payments of one attempt share the weight of one fraud.
        recipe.variant_weight * own / sizes[group],
        variants.evades[kept],
        recipe.variant_share * frauds,
    )


def hardened(
    ways: Repertoire,
    rounds: int,
    fit_with: Callable[[Hardening], bytes],
    stopped_by: Callable[[bytes, NDArray[np.float32]], NDArray[np.bool_]],
) -> tuple[bytes, Hardening]:
    """Return the last booster of so many rounds and what was added for it; one fit where nothing can be.

    Args:
        ways: what may be added.
        rounds: fits after the first; it ends early when nothing new gets past.
        fit_with: fits the recipe's rows with others behind them.
        stopped_by: tells which rows of a matrix a booster stops, bool[m].
    """
    taken = ways.evades.copy()
    added = ways.hardening(taken)
    booster = fit_with(added)
    for _ in range(rounds if len(taken) else 0):
        new = ways.cheapest(ways.passing(stopped_by(booster, ways.matrix)) & ~taken)
        if not new.any():
            break
        taken |= new
        added = ways.hardening(taken)
        booster = fit_with(added)
    return booster, added
