"""Folds a log again, in order, and recomputes the features of every transaction.

    entries ──▶ runs of transactions ──▶ one kernel call each ──▶ features
                      │   (where declines are counted: one for all that see the same ones)
                      └──▶ between two runs, where they stand in the log: labels, retractions,
                           and, where a replay follows them, changes of the view

Restoring state, checking an import and `fraud replay` drive the same fold as
the server does, so what comes out is what was logged, bit for bit. `replay`
reads entries; `replay_columns` reads columns, for histories of millions.
"""

import math
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from fraud.errors import Damaged, shortened
from fraud.features.declines import Decided
from fraud.features.fold import Coordinates, FeatureFold
from fraud.features.state import Rows
from fraud.labels.exclusions import View
from fraud.records import (
    Applied,
    BatchRetracted,
    Entry,
    LabelsSubmitted,
    Outcome,
    Scored,
    Transaction,
    as_long,
)

RUN_ROWS = 4_096
"""Most transactions in one kernel call of `replay`."""

Find = Callable[[Sequence[str]], Mapping[str, Coordinates]]
"""Returns the logged transactions among these ids; one that stands later in the log does no harm
when its `Coordinates` carry its position."""


Rebuild = Callable[[View, int], FeatureFold]
"""Returns a fold at a position of the log that has seen it through this view from the start."""


def replay(
    fold: FeatureFold, entries: Iterable[Entry], find: Find, rebuild: Rebuild | None = None
) -> Iterator[tuple[list[Entry], NDArray[np.float32]]]:
    """Fold entries in position order; yield runs of Scored entries with their features float32[n, F].

    `find` is asked for the labelled transactions that the fold does not know
    from earlier labels. With `rebuild` the view changes where the log says so,
    and the features are those that were logged; without it the fold keeps its
    view, as if what that hides had never been. The fold ends at the position of
    the last entry, once the iterator is used up.

    Raises:
        Damaged: an entry is none of this schema, or its view cannot be read.
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
        take_other(fold, entry, find, rebuild)
    if run:
        yield run, _score(fold, run)


def take_other(fold: FeatureFold, entry: Entry, find: Find, rebuild: Rebuild | None = None) -> None:
    """Fold an entry that is no transaction; parameters and errors as for `replay`."""
    fold.advance(entry.position)
    event = entry.event
    if isinstance(event, LabelsSubmitted):
        known = find(fold.lacking(event))
        for name, coordinates in known.items():
            check_entities(name, coordinates.surrogates, len(fold.spec.entities))
        fold.take_labels(event, known, entry.arrival_time_us)
    elif isinstance(event, BatchRetracted):
        fold.retract(event.batch_id)
    elif isinstance(event, Applied) and rebuild is not None:
        view = View.from_text(event.label_view)
        if view.transactions != fold.view.transactions:
            fold.become(rebuild(view, entry.position))
        elif view != fold.view:
            fold.see(view)


def replay_columns(
    fold: FeatureFold,
    positions: NDArray[np.int64],
    transaction_ids: Sequence[str],
    rows: Rows,
    labels: Sequence[Entry],
    find: Find,
    decided: Decided | None = None,
) -> NDArray[np.float32]:
    """Fold columns of transactions with label entries between them; return features float32[n, F].

    `positions` int64[n] ascend; `labels` holds LabelsSubmitted and
    BatchRetracted entries in position order; the fold keeps its view. The
    result and the state are those of `replay` over the same entries. `find` is
    asked only for labelled transactions that are neither in these columns nor
    known to the fold. `decided`: what was answered; None: nothing was declined.
    """
    submitted = [entry.event for entry in labels if isinstance(entry.event, LabelsSubmitted)]
    named = {label.transaction_id for event in submitted for label in event.labels}
    here = {
        name: Coordinates(tuple(rows.surrogates[i].tolist()), int(rows.event_time_us[i]), int(positions[i]))
        for i, name in enumerate(transaction_ids)
        if name in named
    }

    def find_here(names: Sequence[str]) -> Mapping[str, Coordinates]:
        elsewhere = [name for name in names if name not in here]
        return ChainMap(here, dict(find(elsewhere)) if elsewhere else {})

    def score(start: int, stop: int) -> NDArray[np.float32]:
        answers = None if decided is None else decided.part(start, stop)
        return score_decided(fold, transaction_ids[start:stop], rows.part(start, stop), answers)

    parts = []
    start = 0
    for entry in labels:
        stop = int(np.searchsorted(positions, entry.position))
        if stop > start:
            parts.append(score(start, stop))
            start = stop
        take_other(fold, entry, find_here)
    if start < len(rows):
        parts.append(score(start, len(rows)))
        fold.advance(int(positions[-1]))
    return np.concatenate([np.empty((0, len(fold.spec.names)), np.float32), *parts])


def _score(fold: FeatureFold, run: list[Entry]) -> NDArray[np.float32]:
    scored = [entry.event for entry in run if isinstance(entry.event, Scored)]
    ids, decided = [event.transaction_id for event in scored], None
    if fold.spec.counts_declines:
        decided = Decided(
            np.array([entry.arrival_time_us for entry in run], np.int64),
            np.array([event.decision.outcome is Outcome.DECLINE for event in scored], np.bool_),
        )
    features = score_decided(fold, ids, logged_rows(scored, len(fold.spec.entities)), decided)
    fold.advance(run[-1].position)
    return features


def score_decided(
    fold: FeatureFold, transaction_ids: Sequence[str], rows: Rows, decided: Decided | None
) -> NDArray[np.float32]:
    """Read and fold n logged rows and what was decided of them; return features float32[n, F]."""
    if decided is None or not fold.spec.counts_declines or not len(rows):
        return fold.score(transaction_ids, rows).features
    parts = []
    fold.settle(int(decided.arrival_us[0]))
    for start, stop in decided.runs(waiting=bool(fold.declines.surrogates)):
        run, arrival_us = rows.part(start, stop), int(decided.arrival_us[stop - 1])
        fold.settle(int(decided.arrival_us[start]))
        parts.append(fold.score(transaction_ids[start:stop], run).features)
        fold.take_declines(run, decided.declined[start:stop], arrival_us)
    return np.concatenate(parts)


def logged_rows(scored: Sequence[Scored], entities: int) -> Rows:
    """Return logged transactions of a schema with so many entities as columns, in order.

    Raises:
        Damaged: one has another number of them.
    """
    for event in scored:
        check_entities(event.transaction_id, event.surrogates, entities)
    return rows_of(scored, [event.surrogates for event in scored])


def check_entities(transaction_id: str, surrogates: Sequence[int], entities: int) -> None:
    """Refuse a logged transaction that does not have one surrogate for each entity of the schema.

    Raises:
        Damaged: it has more or fewer. The entities of a log never change, so its bytes did.
    """
    if len(surrogates) != entities:
        raise Damaged(
            f"log: transaction {shortened(transaction_id)!r} has {len(surrogates)} entities where the schema "
            f"has {entities}; restore the data folder from a backup"
        )


def rows_of(transactions: Sequence[Transaction | Scored], surrogates: Sequence[tuple[int, ...]]) -> Rows:
    """Return transactions as columns, in order, each with what stands for its entities.

    NaN stands for the numerics that some have and those logged before lack.
    """
    n = len(transactions)
    return Rows(
        event_time_us=np.array([it.event_time_us for it in transactions], np.int64),
        amount_minor=np.array([it.amount_base_minor for it in transactions], np.int64),
        surrogates=np.array(surrogates, np.int32).reshape(n, -1),
        numerics=np.array(_even([it.numerics for it in transactions]), np.float64).reshape(n, -1),
    )


def _even(numerics: Sequence[tuple[float, ...]]) -> Sequence[tuple[float, ...]]:
    """Return rows as long as the longest: what was logged before a field was appended lacks it."""
    lengths = set(map(len, numerics))
    if len(lengths) == 1:
        return numerics
    longest = max(lengths, default=0)
    return [as_long(row, longest, math.nan) for row in numerics]
