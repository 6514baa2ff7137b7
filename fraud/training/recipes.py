"""Which rows a recipe learns from, what they weigh, and from where it starts.

    full      all usable rows of a long window, from nothing
    recent    a short window, and a memory of older frauds beside it, so that an old
              attack that returns is still known (`fraud.training.memory`)
    continue  more rounds on top of the champion, over a short window; its
              vocabularies grow at the end, so codes it has split on keep their words
    hardened  as full, and beside the frauds other ways to do them that would have got past
              the champion, or past the fit before (`fraud.training.hardening`)

`continue` without a champion to add to is fitted from nothing as `full` would be: one that has other
features or `rounds_max` rounds, or was fitted on what would now calibrate or judge, is none. Where a
`full` recipe runs anyway it is skipped. So is `hardened` without a champion to attack.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import islice
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fraud.bundle.boosting import load_booster
from fraud.bundle.bundle import Bundle
from fraud.errors import ConfigError
from fraud.features.encoding import Vocabulary
from fraud.settings.learning import Recipe
from fraud.training.dataset import TrainingSet
from fraud.training.memory import NO_MEMORY, memory_of, weigh_memory
from fraud.training.splits import Spans
from fraud.training.unseen import Apart, Fitted
from fraud.training.weights import inverse_propensity, recency

WORDS_MAX = 4_096
"""Words of one categorical that get a code, those of a parent included; rarer ones count as unseen."""


@dataclass(frozen=True, slots=True)
class Parent:
    """What `continue` starts from: the champion's booster, its words, and what it was fitted on.

    `folds` are its boosters without a fold each, where the same entities are dealt into the same folds.
    """

    digest: str
    booster: bytes
    vocabularies: tuple[tuple[str, ...], ...]
    fitted: Fitted
    folds: tuple[bytes, ...] = ()

    def without(self, fold: int) -> Self:
        """Return what the booster without a fold starts from.

        A champion that has none was fitted on nothing that would calibrate or judge: see `Fitted.spares`.
        """
        return replace(self, booster=self.folds[fold] if self.folds else self.booster, folds=())


@dataclass(frozen=True, slots=True)
class Start:
    """From where a recipe starts: a parent, or nothing; `note` says why not, `skip` leaves it out."""

    parent: Parent | None = None
    note: str = ""
    skip: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class ChosenRows:
    """Rows of a training set, rising int64[m], their weights, float64[m], and which are replayed, bool[m]."""

    rows: NDArray[np.int64]
    weights: NDArray[np.float64]
    replayed: NDArray[np.bool_]


def start_of(
    recipe: Recipe, recipes: Sequence[Recipe], rows: TrainingSet, spans: Spans, champion: Bundle | None
) -> Start:
    """Return from where a recipe with these spans starts; `recipes` are all that run in this cycle."""
    if recipe.kind not in ("continue", "hardened") or (
        recipe.kind == "hardened" and rows.variants is not None
    ):
        return Start()
    if recipe.kind == "hardened":
        note = "the service lacks features of the champion" if champion else "there is no champion to attack"
    elif champion is None:
        note = "there is no champion to continue from"
    else:
        note = _hindrance(recipe, rows, spans, champion)
        if not note:
            words = tuple(vocabulary.words for vocabulary in champion.vocabularies)
            fitted = Fitted.by(champion.manifest)
            folds = champion.folds if fitted.apart == Apart.by(rows.manifest) else ()
            return Start(Parent(champion.digest, champion.booster, words, fitted, folds))
    if any(other.kind == "full" for other in recipes):
        return Start(note=f"{note}; the full recipe stands for it", skip=True)
    return Start(note=f"{note}; fitted from nothing")


def _hindrance(recipe: Recipe, rows: TrainingSet, spans: Spans, champion: Bundle) -> str:
    """Say why a champion cannot be continued; "" if it can."""
    if (champion.feature_names, champion.categorical_names) != (rows.feature_names, rows.categorical_names):
        return "the champion has other features"
    if not champion.feature_definitions.items() <= rows.manifest["feature_definitions"].items():
        return "features of the champion mean something else now"
    if not Fitted.by(champion.manifest).spares(spans, Apart.by(rows.manifest)):
        return "the champion was fitted on payments that would calibrate or judge, for the spans have moved"
    rounds = load_booster(champion.booster).num_boosted_rounds()
    if rounds + recipe.rounds > recipe.rounds_max:
        more = f"{recipe.rounds} more would pass rounds_max = {recipe.rounds_max}"
        return f"the champion has {rounds} rounds, {more}"
    return ""


def choose_rows(recipe: Recipe, rows: TrainingSet, spans: Spans) -> ChosenRows:
    """Return the training rows of a recipe; of an already split set, so sampling cannot leak."""
    train = spans.train
    inside = spans.teaches(rows.event_time_us, rows.held) & (rows.label >= 0)
    kept = inside & ((rows.label == 1) | (rows.draws < recipe.legitimate_share))
    has_fraud = np.any(inside & (rows.label == 1))
    memory = memory_of(recipe, rows, train.start_us) if has_fraud else NO_MEMORY
    kept[memory.rows] = True
    chosen = np.flatnonzero(kept)
    replayed = np.isin(chosen, memory.rows)
    weights = recency(rows.event_time_us[chosen], train.end_us, recipe.recency_half_life)
    weights[replayed] = 1.0  # being old is why they are here; `weigh_memory` bounds them
    weights *= inverse_propensity(rows.propensity[chosen])
    is_fraud = rows.label[chosen] == 1
    weights[~is_fraud] /= recipe.legitimate_share
    weights = weigh_memory(memory, chosen, is_fraud, weights)
    if spans.fresh is not None:
        _restore_prior(weights, is_fraud, _prevalence(rows, spans))
    return ChosenRows(chosen, weights, replayed)


def _prevalence(rows: TrainingSet, spans: Spans) -> float:
    """Return the weighted share of frauds among rows that matured and teach; NaN without any."""
    times = rows.event_time_us
    matured = spans.train.holds(times) | (spans.calibration.holds(times) & ~rows.held)
    usable = matured & (rows.label >= 0) & ~rows.stood_for
    weights = inverse_propensity(rows.propensity[usable])
    return float(weights[rows.label[usable] == 1].sum() / weights.sum()) if len(weights) else float("nan")


def _restore_prior(weights: NDArray[np.float64], is_fraud: NDArray[np.bool_], prevalence: float) -> None:
    """Raise the weights of legitimate rows until frauds weigh their natural share.

    Of fresh payments the frauds are known first; left alone, the booster would take fraud for commoner
    than it is.
    """
    frauds, others = float(weights[is_fraud].sum()), float(weights[~is_fraud].sum())
    if prevalence > 0 and others > 0:
        weights[~is_fraud] *= max(1.0, frauds * (1 - prevalence) / prevalence / others)


def directions(recipe: Recipe, names: Sequence[str]) -> tuple[int, ...]:
    """Return for each feature whether the score may only rise (1) or fall (-1) with it, or both (0).

    Raises:
        ConfigError: a pattern of `monotone` matches no feature of the model.
    """
    found = dict.fromkeys(names, 0)
    for pattern, way in recipe.monotone.items():
        matching = [name for name in names if fnmatchcase(name, pattern)]
        if not matching:
            raise ConfigError(
                f"training.recipes: monotone {pattern!r} matches none of the model's features; there are: "
                f"{', '.join(names)}"
            )
        found |= dict.fromkeys(matching, 1 if way == "rising" else -1)
    return tuple(found.values())


def vocabularies_of(
    rows: TrainingSet, chosen: NDArray[np.int64], parent: Parent | None
) -> tuple[Vocabulary, ...]:
    """Return a vocabulary for each categorical: the parent's words first, then by frequency in training."""
    vocabularies = []
    for place, words in enumerate(rows.words):
        codes = rows.codes[chosen, place]
        counts = np.bincount(codes[codes >= 0], minlength=len(words))
        known = Vocabulary() if parent is None else Vocabulary(parent.vocabularies[place])
        frequent = (int(code) for code in np.argsort(-counts, kind="stable") if counts[code])
        unknown = (code for code in frequent if words[code] not in known.codes)
        new = list(islice(unknown, max(0, WORDS_MAX - len(known.words))))
        vocabularies.append(known.extend([words[code] for code in new], [int(counts[code]) for code in new]))
    return tuple(vocabularies)


def matrix_of(
    rows: TrainingSet, chosen: NDArray[np.int64], vocabularies: Sequence[Vocabulary]
) -> NDArray[np.float32]:
    """Return the booster's input for some rows, float32[m, d]: features, then codes."""
    width = len(rows.feature_names)
    matrix = np.empty((len(chosen), width + len(vocabularies)), np.float32)
    matrix[:, :width] = rows.features[chosen]
    for place, vocabulary in enumerate(vocabularies):
        # The last entry answers code −1: not given.
        table = vocabulary.encode([*rows.words[place], ""])
        matrix[:, width + place] = table[rows.codes[chosen, place]]
    return matrix
