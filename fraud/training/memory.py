"""Which frauds from before a short window are replayed: a bounded set with a place for each past pattern.

    older frauds ─ features in deviations ─▶ farthest first ─▶ patterns, every fraud with its nearest
      ─ by turns, one of each pattern ─▶ at most so many, of whatever age
    honest rows of that time beside them, in weight as many as stand beside the frauds of the window;
    nothing where the window has no fraud, for its frauds bound what the memory weighs

An attacker who waits until a window has forgotten him comes back with what worked (FACTS: loss a
day doubles with a window of 7 days). A random share remembers what was frequent; of a short
campaign in a long past it keeps next to nothing. Farthest first is the 2-approximation of the
k-centre problem (Gonzalez 1985, "Clustering to minimize the maximum intercluster distance").
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fraud.settings.learning import Recipe
from fraud.training.dataset import TrainingSet

PATTERNS_MAX = 64
"""Patterns told apart; frauds beyond are shared out among them."""
_CANDIDATES_MAX = 20_000
_MISSING = -3.0


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """Rows from before a window that are replayed, rising int64: frauds, and honest payments beside them."""

    frauds: NDArray[np.int64]
    honest: NDArray[np.int64]

    @property
    def rows(self) -> NDArray[np.int64]:
        """Return both, rising int64."""
        return np.union1d(self.frauds, self.honest)


NO_MEMORY: Final = Memory(np.empty(0, np.int64), np.empty(0, np.int64))


def memory_of(recipe: Recipe, rows: TrainingSet, before_us: int) -> Memory:
    """Return what a `recent` recipe replays from before its window; nothing for another recipe.

    Honest rows are those that the set holds: where no recipe has a longer window, there are none.
    """
    if recipe.kind != "recent" or not recipe.replay_share:
        return NO_MEMORY
    older = rows.event_time_us < before_us
    frauds = np.flatnonzero(older & (rows.label == 1) & (rows.draws < recipe.replay_share))
    frauds = frauds[remembered(rows.features[frauds], rows.draws[frauds], recipe.replay_max)]
    honest = np.flatnonzero(older & (rows.label == 0))
    first = np.argsort(rows.draws[honest], kind="stable")[: recipe.replay_honest * len(frauds)]
    return Memory(frauds, np.sort(honest[first]))


def weigh_memory(
    memory: Memory, chosen: NDArray[np.int64], is_fraud: NDArray[np.bool_], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return weights float64[m] with those of replayed rows set; `chosen` are all rows, rising int64[m].

    Replayed frauds weigh together at most what the window's do, so that a long past does
    not drown the present; honest rows beside them as many times as much as in the window.
    `is_fraud` bool[m] holds for a row of the window at least.
    """
    old, old_honest = np.isin(chosen, memory.frauds), np.isin(chosen, memory.honest)
    inside = ~old & ~old_honest
    frauds, honest = weights[inside & is_fraud].sum(), weights[inside & ~is_fraud].sum()
    weighed = weights.copy()
    if old.any():
        weighed[old] *= min(1.0, frauds / weights[old].sum())
        if old_honest.any():
            weighed[old_honest] = weighed[old].sum() * honest / frauds / old_honest.sum()
    return weighed


def patterns_of(features: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the pattern of each fraud, int64[m] from 0; the same features give the same.

    `features` is float32[m, f]; NaN stands below most numbers.
    """
    if not len(features):
        return np.empty(0, np.int64)
    scaled = _scaled(features)
    nearest = np.zeros(len(scaled), np.int64)
    distance = _distance(scaled, int(np.argmin(_squares(scaled))))
    for pattern in range(1, min(PATTERNS_MAX, len(scaled))):
        place = int(np.argmax(distance))
        if distance[place] == 0:
            break
        other = _distance(scaled, place)
        nearest[other < distance] = pattern
        distance = np.minimum(distance, other)
    return nearest


def remembered(features: NDArray[np.float32], draws: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """Return at most `most` of m frauds, rising int64[k]: by turns of each pattern, distinct ones first.

    `draws` float64[m] in [0, 1) order those of a pattern, so the same are taken on every machine.
    """
    if len(features) <= most:
        return np.arange(len(features))
    order = np.argsort(draws, kind="stable")[: max(_CANDIDATES_MAX, most)]
    pattern = patterns_of(features[order])
    turn = np.empty(len(order), np.int64)
    for each in np.unique(pattern):
        at = np.flatnonzero(pattern == each)
        turn[at] = np.arange(len(at))
    return np.sort(order[np.lexsort((pattern, turn))[:most]])


def _scaled(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return each feature in logs and of deviation 1; by rank, far is next to common."""
    logs = np.sign(features) * np.log1p(np.abs(features))
    given = ~np.isnan(logs)
    logs[~given] = 0.0
    counts = np.maximum(1, given.sum(axis=0))
    means = logs.sum(axis=0, dtype=np.float64) / counts
    deviations = np.sqrt(((logs - means) ** 2 * given).sum(axis=0) / counts)
    scaled = (logs - means) / np.where(deviations > 0, deviations, 1.0)
    return np.where(given, scaled, _MISSING).astype(np.float32)


def _distance(scaled: NDArray[np.float32], place: int) -> NDArray[np.float32]:
    return _squares(scaled - scaled[place])


def _squares(differences: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.einsum("ij,ij->i", differences, differences), np.float32)
