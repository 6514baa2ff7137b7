"""Folds a log again, in order, and recomputes the features of every transaction.

    entries ──▶ runs of transactions ──▶ one kernel call each ──▶ features
                      └──▶ labels between two runs, applied where they stand in the log

Restoring state, checking an import and `fraud replay` drive the same fold as
the server does, so what comes out is what was logged, bit for bit. `replay`
reads entries; `replay_columns` reads columns, for histories of millions.
"""

from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fraud.features.fold import Coordinates, FeatureFold
from fraud.features.state import Rows
from fraud.records import Entry, LabelsSubmitted, Scored

RUN_ROWS = 4_096
"""Most transactions in one kernel call of `replay`."""

Find = Callable[[Sequence[str]], Mapping[str, Coordinates]]
"""Returns the logged transactions among these ids; one that stands later in the log does no harm
when its `Coordinates` carry its position."""


def replay(
    fold: FeatureFold, entries: Iterable[Entry], find: Find
) -> Iterator[tuple[list[Entry], NDArray[np.float32]]]:
    """Fold entries in position order; yield runs of Scored entries with their features float32[n, F].

    `find` is asked for the labelled transactions that the fold does not know
    from earlier labels. The fold ends at the position of the last entry, once
    the iterator is used up.
    """
    run: list[Entry] = []
    for entry in entries:
        if isinstance(entry.event, Scored):
            run.append(entry)
            if len(run) == RUN_ROWS:
                yield run, _score(fold, run)
                run = []
            continue
        if run:
            yield run, _score(fold, run)
            run = []
        fold.advance(entry.position)
        if isinstance(entry.event, LabelsSubmitted):
            fold.take_labels(entry.event, find(fold.lacking(entry.event)))
    if run:
        yield run, _score(fold, run)


def replay_columns(
    fold: FeatureFold,
    positions: NDArray[np.int64],
    transaction_ids: Sequence[str],
    rows: Rows,
    labels: Sequence[Entry],
    find: Find,
) -> NDArray[np.float32]:
    """Fold columns of transactions with label entries between them; return features float32[n, F].

    `positions` int64[n] ascend; `labels` holds LabelsSubmitted entries in
    position order. The result and the state are those of `replay` over the same
    entries. `find` is asked only for labelled transactions that are neither in
    these columns nor known to the fold.
    """
    named = {label.transaction_id for entry in labels for label in _labels_of(entry).labels}
    here = {
        name: Coordinates(tuple(rows.surrogates[i].tolist()), int(rows.event_time_us[i]), int(positions[i]))
        for i, name in enumerate(transaction_ids)
        if name in named
    }
    parts = []
    start = 0
    for entry in labels:
        stop = int(np.searchsorted(positions, entry.position))
        if stop > start:
            parts.append(fold.score(transaction_ids[start:stop], rows.part(start, stop)).features)
            start = stop
        fold.advance(entry.position)
        event = _labels_of(entry)
        elsewhere = [name for name in fold.lacking(event) if name not in here]
        fold.take_labels(event, ChainMap(here, dict(find(elsewhere)) if elsewhere else {}))
    if start < len(rows):
        parts.append(fold.score(transaction_ids[start:], rows.part(start, len(rows))).features)
        fold.advance(int(positions[-1]))
    return np.concatenate([np.empty((0, len(fold.spec.names)), np.float32), *parts])


def _labels_of(entry: Entry) -> LabelsSubmitted:
    if not isinstance(entry.event, LabelsSubmitted):
        raise TypeError(f"entry {entry.position} is {type(entry.event).__name__}, not LabelsSubmitted")
    return entry.event


def _score(fold: FeatureFold, run: list[Entry]) -> NDArray[np.float32]:
    scored = [entry.event for entry in run if isinstance(entry.event, Scored)]
    features = fold.score([event.transaction_id for event in scored], rows_of(scored)).features
    fold.advance(run[-1].position)
    return features


def rows_of(scored: Sequence[Scored]) -> Rows:
    """Return logged transactions as columns."""
    n = len(scored)
    return Rows(
        np.array([event.event_time_us for event in scored], np.int64),
        np.array([event.amount_base_minor for event in scored], np.int64),
        np.array([event.surrogates for event in scored], np.int32).reshape(n, -1),
        np.array([event.numerics for event in scored], np.float64).reshape(n, -1),
    )
