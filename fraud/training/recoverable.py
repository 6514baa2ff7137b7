"""Would a model that knows an attack catch it? What no model can is unrecoverable: features lack the trace.

    logged rows of the last weeks  +  cheapest evasions, labelled fraud, weighing as much as all frauds
      ─ 3 folds, a card with all its rows and evasions in one ─▶ score by a booster that saw none of them
      ─▶ recoverable where the score is above that of the bundle's share of legitimate rows

The same false alarms as the bundle's are allowed, no more. A card is the first entity of a
payment. A fold never trains on anything of a card that it judges, neither another fraud nor
its evasion, so what is called recoverable is a pattern that was learned from other cards,
not a row that was remembered. A payment without a card stands for itself.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fraud.attacks.campaign import Result
from fraud.attacks.target import Target
from fraud.records import MISSING_SURROGATE, Outcome
from fraud.settings.learning import Recipe
from fraud.training.crossfit import crossfit
from fraud.training.dataset import TrainingSet
from fraud.training.recipes import matrix_of
from fraud.training.weights import mixed

LEGITIMATE_ROWS_MAX = 60_000
JUDGE = Recipe(kind="full", rounds=100, max_depth=5, learning_rate=0.2, max_bin=1024)
"""How a model is fitted that knows the attacks."""


def recoverable(
    results: Sequence[Result], target: Target, rows: TrainingSet, since_us: int, seed: int, nthread: int = 1
) -> NDArray[np.bool_]:
    """Tell of each result whether its evasion is recoverable, bool[n]; False where there is none.

    `rows` are the logged rows, of which those since `since_us` are used.
    """
    evaded = [place for place, result in enumerate(results) if result.stopped and result.best is not None]
    answer = np.zeros(len(results), np.bool_)
    legitimate, frauds = _sample(rows, since_us)
    if not evaded or not len(legitimate):
        return answer
    logged = np.concatenate([legitimate, frauds])
    attacks, owners = _attacks(results, target, evaded)
    known = matrix_of(rows, logged, target.bundle.vocabularies)
    matrix = np.concatenate([known, attacks])
    is_fraud = np.concatenate([rows.label[logged] == 1, np.ones(len(attacks), np.bool_)])
    weights = np.ones(len(matrix))
    weights[len(logged) :] = max(1.0, len(frauds) / len(attacks))
    attacked = [results[place].fraud for place in owners]
    draws = _dealt(
        np.concatenate([rows.card[logged], [fraud.payment.surrogates[0] for fraud in attacked]]),
        np.concatenate([rows.position[logged], [fraud.position for fraud in attacked]]),
    )
    categoricals = len(target.bundle.vocabularies)
    scores = crossfit(matrix, is_fraud, weights, draws, categoricals, seed, None, nthread, JUDGE)
    bundle = target.bundle
    outcomes = bundle.thresholds.outcomes(bundle.scores_of(known[: len(legitimate)]))
    share = float(np.mean(outcomes != int(Outcome.APPROVE)))
    least = float(np.quantile(scores[: len(legitimate)], 1 - share))
    caught = scores[len(logged) :] > least
    for place, found in zip(owners, caught.tolist(), strict=True):
        answer[place] |= found
    return answer


def _sample(rows: TrainingSet, since_us: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return legitimate rows, a sample by draw, and frauds since a moment."""
    recent = rows.event_time_us >= since_us
    legitimate = np.flatnonzero(recent & (rows.label == 0))
    kept = rows.draws[legitimate] < LEGITIMATE_ROWS_MAX / max(1, len(legitimate))
    return legitimate[kept], np.flatnonzero(recent & (rows.label == 1))


def _dealt(cards: NDArray[np.int64], positions: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return what deals out the folds, float64[n]: one number a card; a payment without one has its own."""
    return mixed(np.where(cards == MISSING_SURROGATE, ~positions, cards).astype(np.uint64))


def _attacks(
    results: Sequence[Result], target: Target, evaded: Sequence[int]
) -> tuple[NDArray[np.float32], list[int]]:
    """Return the booster's input of every payment of the evasions, and whose it is."""
    parts, owners = [], []
    for place in evaded:
        evasion = results[place].best
        if evasion is not None:
            parts.append(target.matrix(evasion.features, [payment.words for payment in evasion.payments]))
            owners += [place] * len(evasion.payments)
    return np.concatenate(parts), owners
