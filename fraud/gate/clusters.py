"""One vote per attack: frauds that share a card, merchant or device are one unit.

    frauds seen so far ── linked by shared entity values ──► connected components
      a component that is new on day d votes on day d, once, with its frauds of that day

The vote of a day is never changed by a later one: a fraud that joins an older
component adds no vote, and a link found later does not merge votes that were
given. So the votes enter by closed days and the e-processes may be looked at
at any time.

The first entity (the card) always links. Any other value, a busy merchant
say, sees many unrelated frauds, and links only while its own fraud share is
out of line with the overall share: at least `FRAUDS_MIN` frauds, and a
one-sided binomial tail of `TAIL_MAX` or less. Shares are those known by the
day in question.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fraud.evaluation.metrics import Bools, Days
from fraud.records import MISSING_SURROGATE

FRAUDS_MIN = 3
TAIL_MAX = 1e-3

Surrogates = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Unit:
    """The frauds of one attack on its first day: row numbers in log order."""

    day: int
    rows: NDArray[np.intp]


def units(surrogates: Surrogates, is_fraud: Bools, days: Days) -> list[Unit]:
    """Return the units in event order: by day, then by their first row.

    `surrogates` is int64[n, E] with -1 where missing, the card first; rows are
    in log order, so a day's rows need not stand together.
    """
    frauds = np.flatnonzero(is_fraud)
    if len(frauds) == 0:
        return []
    busy = _BusyValues(surrogates, is_fraud, days)
    found = []
    for day in np.unique(days[frauds]):
        rows = frauds[days[frauds] <= day]
        component = _components(surrogates[rows], busy.links(int(day), surrogates[rows]))
        seen = np.unique(component[days[rows] < day])
        today = (days[rows] == day) & ~np.isin(component, seen)
        fresh = [Unit(int(day), rows[today & (component == c)]) for c in np.unique(component[today])]
        found += sorted(fresh, key=lambda unit: int(unit.rows[0]))
    return found


def numbered(surrogates: Surrogates, is_fraud: Bools) -> NDArray[np.intp]:
    """Return the number of each fraud's attack, from 0 up, and −1 for honest rows, int[n].

    By every link that is known at the end, not day by day as votes are given; columns as for `units`.
    """
    found = np.full(len(is_fraud), -1, dtype=np.intp)
    for number, unit in enumerate(units(surrogates, is_fraud, np.zeros(len(is_fraud), np.int32))):
        found[unit.rows] = number
    return found


def _components(surrogates: Surrogates, links: Bools) -> NDArray[np.int32]:
    """Number the connected components of frauds; `links` bool[f, E] says which values link."""
    count, entities = surrogates.shape
    sources, targets = [np.arange(0)], [np.arange(0)]
    nodes = count
    for entity in range(entities):
        rows = np.flatnonzero(links[:, entity])
        values, node = np.unique(surrogates[rows, entity], return_inverse=True)
        sources.append(rows)
        targets.append(nodes + node)
        nodes += len(values)
    source, target = np.concatenate(sources), np.concatenate(targets)
    graph = coo_array((np.ones(len(source), dtype=np.int8), (source, target)), shape=(nodes, nodes))
    _, component = connected_components(graph, directed=False)
    return np.asarray(component[:count], dtype=np.int32)


class _BusyValues:
    """Rows and frauds of every entity value that has a fraud, cumulated by day."""

    def __init__(self, surrogates: Surrogates, is_fraud: Bools, days: Days) -> None:
        # Not above: a scorer, which knows a `Unit` by name and counts none, needs none of it.
        from scipy.stats import binom

        calendar, day = np.unique(days, return_inverse=True)
        self._calendar = calendar
        share = np.cumsum(np.bincount(day, weights=is_fraud)) / np.cumsum(np.bincount(day))
        self._values = []
        self._linking = []
        for entity in range(1, surrogates.shape[1]):
            values = np.unique(surrogates[is_fraud, entity])
            rows = _cumulated(values, surrogates[:, entity], day, len(calendar))
            frauds = _cumulated(values, surrogates[is_fraud, entity], day[is_fraud], len(calendar))
            tail = binom.sf(frauds - 1, rows, share[:, None])
            self._values.append(values)
            self._linking.append((frauds >= FRAUDS_MIN) & (tail <= TAIL_MAX))

    def links(self, day: int, surrogates: Surrogates) -> Bools:
        """Return bool[f, E] for rows of frauds: does that value link, as known by `day`?"""
        known = int(np.searchsorted(self._calendar, day))
        links: Bools = surrogates != MISSING_SURROGATE
        for entity, (values, linking) in enumerate(zip(self._values, self._linking, strict=True), start=1):
            links[:, entity] &= linking[known][np.searchsorted(values, surrogates[:, entity])]
        return links


def _cumulated(values: Surrogates, column: Surrogates, day: NDArray[np.intp], days: int) -> NDArray[np.int64]:
    """Count each of the sorted `values` in a column up to each day, int64[days, len(values)]."""
    place = np.minimum(np.searchsorted(values, column), len(values) - 1)
    held = values[place] == column
    counts = np.zeros((days, len(values)), dtype=np.int64)
    np.add.at(counts, (day[held], place[held]), 1)
    return np.cumsum(counts, axis=0)
