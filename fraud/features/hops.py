"""The kernel: reads an entity's windows, then folds the event into them.

A window is a ring of hops. Hop h covers `[h·hop, (h+1)·hop)` and lives in cell
h mod H; the ring holds the H = ⌈width/hop⌉ + 1 newest hops of its entity:

    ──│ h-4 │ h-3 │ h-2 │ h-1 │  h  │──▶ time        h = ⌊newest/hop⌋
              ▲                  ▲
      ⌊(t-width)/hop⌋           t                    read: both ends and all between

Where the rings stand in memory: `layout`. Rules of time, each with its test in
`tests/features/test_time.py`:

1. A window holds hops ⌊(t - width)/hop⌋ to ⌊t/hop⌋: exact at the head, rounded
   to a hop at the tail.
2. Visible is what stands earlier in the log, rows of the same call included;
   an equal time does not hide. The event itself is never seen by itself.
3. A late event (older than the newest of one of its entities) is flagged. It
   reads hops up to and including its own, so events up to one hop younger too,
   and all distinct values since its window began. It folds into its hop while
   the ring holds it, and otherwise only into first seen and distinct values.
4. Only the entity's own newest event evicts hops, not the time of others.
5. Time since previous is NaN for a late event, age NaN before first seen; age ends at its maximum.
6. `relabel` changes the frauds or declines of the transaction's hop while the ring holds it.
7. A fraud rate reads hops ⌊(t - delay - width)/hop⌋ up to, not including,
   ⌊(t - delay)/hop⌋.
8. The amount before is the newest event's; a late event has none (NaN) and changes no run of steps.

All that the kernel calls stands in this file and in `cells`, see `compiled.jit`.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fraud.features.cells import (
    MASK_32,
    SECOND_US,
    Integer,
    Real,
    Small,
    Values,
    Wide,
    bucket_of,
    deviation,
    put,
    ring_clear,
    ring_largest,
    ring_sum,
    second_mark,
)
from fraud.features.compiled import jit

CELLS = "0bb53d8e5e6f"
"""Begins the SHA-256 of `cells.py`: a change there must change this file too (`compiled.jit`)."""

Plan: TypeAlias = NDArray[np.int64]

MINOR_PER_MAJOR = 100.0
SMALL_PER_LINE, WIDE_PER_LINE = 16, 8  # numbers in a cache line of 64 bytes

EVENTS, FIRST, NEWEST, WIDE_SLOTS = 0, 1, 2, 3  # slots at the start of a wide row

# The plan (`layout`) is one array of records, named by their offsets; first one per entity kind:
SMALL_BASE, SMALL_STRIDE, WIDE_BASE, WIDE_STRIDE, ROWS = 0, 1, 2, 3, 4
WINDOWS_FROM, WINDOWS_TO, SKETCHES_FROM, SKETCHES_TO, DISTINCTS_FROM, DISTINCTS_TO = 5, 6, 7, 8, 9, 10
RINGS_FROM, TALLIES_FROM, RINGS_TO, RATES_FROM, RATES_TO = 11, 12, 13, 14, 15
OUT_FROM, OUT_TO, OUT_SINCE, OUT_AGE, AGE_MAX = 16, 17, 18, 19, 20
# Where the amount before stands, then the run of steps; -1: not kept.
PREVIOUS, STEP_THOUSANDTHS, STEP_WITHIN, OUT_OVER_PREVIOUS, OUT_STEPS, KIND_RECORD = 21, 22, 23, 24, 25, 26
# Windows, distincts, rings and rates begin alike; places count from the start of an entity's row.
WIDTH, HOP, HOPS = 0, 1, 2
# Window: its rings, then the feature columns; -1: not asked for.
COUNTS, LARGEST, SUMS, SQUARES = 3, 4, 5, 6
OUT_COUNT, OUT_SUM, OUT_MEAN, OUT_MAX, OUT_STD, OUT_OVER_MEAN, WINDOW_RECORD = 7, 8, 9, 10, 11, 12, 13
# Ring: events up to an amount are counted, some are marked later, as fraud or declined; rates that have
# the hop in common share one. Tallies are the rings that are read as windows.
COUNTED, MARKED, UPTO, MARK, OUT_COUNTED, OUT_MARKED, RING_RECORD = 3, 4, 5, 6, 7, 8, 9
FRAUD, DECLINED = 0, 1
DELAY, OUT_RATE, RATE_RECORD = 5, 6, 7
# Sketch: which entity's values, where its buckets start. Distinct: one window over one sketch.
OTHER, BUCKETS, SKETCH_RECORD, DISTINCT_BUCKETS, OUT_DISTINCT, DISTINCT_RECORD = 0, 1, 2, 3, 4, 5


class Event(NamedTuple):
    """One entity's part in row i: its kind's record, where its state starts, what happens to it."""

    i: Integer
    k: Integer
    small: Integer
    wide: Integer
    seen: bool
    newest_us: Integer
    time_us: Integer
    amount_minor: Integer


@jit
def row_of(plan: Plan, k: Integer, surrogate: Integer) -> tuple[Integer, Integer]:
    """Return where an entity's rows start in both blocks."""
    small = plan[k + SMALL_BASE] + surrogate * plan[k + SMALL_STRIDE]
    return small, plan[k + WIDE_BASE] + surrogate * plan[k + WIDE_STRIDE]


@jit
def read_window(plan: Plan, w: Integer, small: Small, wide: Wide, event: Event, out: Values) -> None:
    """Write the aggregates of one window as they stand before this event."""
    hop, hops = plan[w + HOP], plan[w + HOPS]
    count: Integer = np.int64(0)
    total = largest = upper = lower = count
    head = event.newest_us // hop
    low = max((event.time_us - plan[w + WIDTH]) // hop, head - hops + 1)
    high = min(event.time_us // hop, head)
    if event.seen and low <= high:
        first, last = low % hops, high % hops
        if plan[w + COUNTS] >= 0:
            count = ring_sum(small, event.small + plan[w + COUNTS], hops, first, last)
        if plan[w + SUMS] >= 0:
            total = ring_sum(wide, event.wide + plan[w + SUMS], hops, first, last)
        if plan[w + LARGEST] >= 0:
            largest = ring_largest(small, event.small + plan[w + LARGEST], hops, first, last)
        if plan[w + SQUARES] >= 0:
            upper = ring_sum(wide, event.wide + plan[w + SQUARES], hops, first, last)
            lower = ring_sum(wide, event.wide + plan[w + SQUARES] + hops, hops, first, last)
    mean = np.float64(total) / np.float64(count) if count > 0 else np.nan
    most = np.float64(largest) if count > 0 else np.nan
    std = deviation(count, total, upper, lower) if count > 1 else np.nan
    over_mean = np.float64(event.amount_minor) / mean if mean > 0 else np.nan
    put(out, event.i, plan[w + OUT_COUNT], np.float64(count))
    put(out, event.i, plan[w + OUT_SUM], np.float64(total) / MINOR_PER_MAJOR)
    put(out, event.i, plan[w + OUT_MEAN], mean / MINOR_PER_MAJOR)
    put(out, event.i, plan[w + OUT_MAX], most / MINOR_PER_MAJOR)
    put(out, event.i, plan[w + OUT_STD], std / MINOR_PER_MAJOR)
    put(out, event.i, plan[w + OUT_OVER_MEAN], over_mean)


@jit
def read_distinct(plan: Plan, d: Integer, small: Small, event: Event, estimates: NDArray[np.float64]) -> Real:
    """Return the estimated number of distinct values seen since the window's first hop."""
    buckets = estimates.shape[0] - 1
    if not event.seen:
        return np.float64(estimates[buckets])
    since = second_mark((event.time_us - plan[d + WIDTH]) // plan[d + HOP] * plan[d + HOP])
    empty, start = np.int64(0), event.small + plan[d + DISTINCT_BUCKETS]
    for bucket in range(start, start + buckets):
        empty += np.int64(small[bucket]) < since
    return np.float64(estimates[empty])


@jit
def read_rate(plan: Plan, r: Integer, small: Small, event: Event) -> Real:
    """Return frauds known by now ÷ transactions of one feedback window; NaN without transactions."""
    hop, hops = plan[r + HOP], plan[r + HOPS]
    head, end_us = event.newest_us // hop, event.time_us - plan[r + DELAY]
    low = max((end_us - plan[r + WIDTH]) // hop, head - hops + 1)
    high = min(end_us // hop - 1, head)
    if not event.seen or low > high:
        return np.nan
    first, last = low % hops, high % hops
    transactions = ring_sum(small, event.small + plan[r + COUNTED], hops, first, last)
    frauds = ring_sum(small, event.small + plan[r + MARKED], hops, first, last)
    return np.float64(frauds) / np.float64(transactions) if transactions > 0 else np.nan


@jit
def read_tally(plan: Plan, r: Integer, small: Small, event: Event, out: Values) -> None:
    """Write how many small and how many declined events one window holds before this event."""
    hop, hops = plan[r + HOP], plan[r + HOPS]
    counted: Integer = np.int64(0)
    marked, head = counted, event.newest_us // hop
    low = max((event.time_us - plan[r + WIDTH]) // hop, head - hops + 1)
    high = min(event.time_us // hop, head)
    if event.seen and low <= high:
        first, last = low % hops, high % hops
        if plan[r + COUNTED] >= 0:
            counted = ring_sum(small, event.small + plan[r + COUNTED], hops, first, last)
        if plan[r + MARKED] >= 0:
            marked = ring_sum(small, event.small + plan[r + MARKED], hops, first, last)
    put(out, event.i, plan[r + OUT_COUNTED], np.float64(counted))
    put(out, event.i, plan[r + OUT_MARKED], np.float64(marked))


@jit
def steps_with(plan: Plan, small: Small, event: Event) -> Integer:
    """Return the run of small steps that this event ends; 0 when it is no small step. Not for late ones."""
    at, k = event.small + plan[event.k + PREVIOUS], event.k
    if not event.seen or event.time_us - event.newest_us > plan[k + STEP_WITHIN]:
        return np.int64(0)
    previous, bound = np.int64(small[at]), np.int64(small[at]) * plan[k + STEP_THOUSANDTHS]
    is_step = previous <= event.amount_minor and 1_000 * event.amount_minor <= bound
    return np.int64(small[at + 1]) + 1 if is_step else np.int64(0)


@jit
def read_steps(plan: Plan, small: Small, event: Event, out: Values) -> None:
    """Write the amount as a multiple of the one before, and the run of small steps (rule 8)."""
    late = event.time_us < event.newest_us
    previous = np.int64(small[event.small + plan[event.k + PREVIOUS]]) if event.seen and not late else 0
    over = np.float64(event.amount_minor) / np.float64(previous) if previous > 0 else np.nan
    put(out, event.i, plan[event.k + OUT_OVER_PREVIOUS], over)
    run = np.nan if late else np.float64(steps_with(plan, small, event))
    put(out, event.i, plan[event.k + OUT_STEPS], run)


@jit
def fold_window(plan: Plan, w: Integer, small: Small, wide: Wide, event: Event) -> None:
    """Evict what falls out of the rings and add the event to its hop; rule 3 for late events."""
    hop, hops = plan[w + HOP], plan[w + HOPS]
    counts, largest = event.small + plan[w + COUNTS], event.small + plan[w + LARGEST]
    sums, squares = event.wide + plan[w + SUMS], event.wide + plan[w + SQUARES]
    own, head = event.time_us // hop, event.newest_us // hop
    if own <= head - hops:
        return
    cell = own % hops
    if own > head:
        first = (max(head, own - hops) + 1) % hops
        if plan[w + COUNTS] >= 0:
            ring_clear(small, counts, hops, first, cell)
        if plan[w + LARGEST] >= 0:
            ring_clear(small, largest, hops, first, cell)
        if plan[w + SUMS] >= 0:
            ring_clear(wide, sums, hops, first, cell)
        if plan[w + SQUARES] >= 0:
            ring_clear(wide, squares, hops, first, cell)
            ring_clear(wide, squares + hops, hops, first, cell)
    if plan[w + COUNTS] >= 0:
        small[counts + cell] += 1
    if plan[w + LARGEST] >= 0:
        small[largest + cell] = np.int64(max(np.int64(small[largest + cell]), event.amount_minor))
    if plan[w + SUMS] >= 0:
        wide[sums + cell] += event.amount_minor
    if plan[w + SQUARES] >= 0:
        square = event.amount_minor * event.amount_minor
        wide[squares + cell] += square >> 32
        wide[squares + hops + cell] += square & MASK_32


@jit
def fold_ring(plan: Plan, r: Integer, small: Small, event: Event) -> None:
    """Count the event in its hop if its amount is counted; marks come with `relabel`."""
    hop, hops = plan[r + HOP], plan[r + HOPS]
    counted, marked = event.small + plan[r + COUNTED], event.small + plan[r + MARKED]
    own, head = event.time_us // hop, event.newest_us // hop
    if own <= head - hops:
        return
    cell = own % hops
    if own > head:
        first = (max(head, own - hops) + 1) % hops
        if plan[r + COUNTED] >= 0:
            ring_clear(small, counted, hops, first, cell)
        if plan[r + MARKED] >= 0:
            ring_clear(small, marked, hops, first, cell)
    if event.amount_minor <= plan[r + UPTO]:
        small[counted + cell] += 1


@jit
def elapsed_s(event: Event, since_us: Integer) -> Real:
    """Return the seconds from `since_us` to the event; NaN when that is not in its past (rule 5)."""
    if event.seen and event.time_us >= since_us:
        return np.float64(event.time_us - since_us) / SECOND_US
    return np.nan


@jit
def read_entity(
    plan: Plan, small: Small, wide: Wide, event: Event, out: Values, estimates: NDArray[np.float64]
) -> None:
    """Write all features of one entity of one row."""
    k = event.k
    for w in range(plan[k + WINDOWS_FROM], plan[k + WINDOWS_TO], WINDOW_RECORD):
        read_window(plan, w, small, wide, event, out)
    for d in range(plan[k + DISTINCTS_FROM], plan[k + DISTINCTS_TO], DISTINCT_RECORD):
        out[event.i, plan[d + OUT_DISTINCT]] = read_distinct(plan, d, small, event, estimates)
    for r in range(plan[k + RATES_FROM], plan[k + RATES_TO], RATE_RECORD):
        out[event.i, plan[r + OUT_RATE]] = read_rate(plan, r, small, event)
    for r in range(plan[k + TALLIES_FROM], plan[k + RINGS_TO], RING_RECORD):
        read_tally(plan, r, small, event, out)
    if plan[k + PREVIOUS] >= 0:
        read_steps(plan, small, event, out)
    first_us = wide[event.wide + FIRST] if event.seen else event.time_us
    put(out, event.i, plan[k + OUT_SINCE], elapsed_s(event, event.newest_us))
    put(out, event.i, plan[k + OUT_AGE], elapsed_s(event, max(first_us, event.time_us - plan[k + AGE_MAX])))


@jit
def fold_entity(
    plan: Plan, small: Small, wide: Wide, event: Event, surrogates: NDArray[np.int32], buckets: Integer
) -> None:
    """Fold one event into one entity."""
    k = event.k
    for w in range(plan[k + WINDOWS_FROM], plan[k + WINDOWS_TO], WINDOW_RECORD):
        fold_window(plan, w, small, wide, event)
    for r in range(plan[k + RINGS_FROM], plan[k + RINGS_TO], RING_RECORD):
        fold_ring(plan, r, small, event)
    for s in range(plan[k + SKETCHES_FROM], plan[k + SKETCHES_TO], SKETCH_RECORD):
        other = surrogates[event.i, plan[s + OTHER]]
        if other >= 0:
            bucket = event.small + plan[s + BUCKETS] + bucket_of(other, buckets)
            small[bucket] = np.int64(max(np.int64(small[bucket]), second_mark(event.time_us)))
    if plan[k + PREVIOUS] >= 0 and event.time_us >= event.newest_us:
        small[event.small + plan[k + PREVIOUS] + 1] = steps_with(plan, small, event)
        small[event.small + plan[k + PREVIOUS]] = event.amount_minor
    first_us = wide[event.wide + FIRST] if event.seen else event.time_us
    wide[event.wide + FIRST] = min(first_us, event.time_us)
    wide[event.wide + NEWEST] = max(event.newest_us, event.time_us)
    wide[event.wide + EVENTS] += 1


@jit
def touch(plan: Plan, small: Small, wide: Wide, surrogates: NDArray[np.int32], i: Integer) -> Integer:
    """Load each cache line of row i's entities while the row before is in work.

    A third faster on histories larger than the cache. The sum returned keeps the loads alive.
    """
    found = np.int64(0)
    for kind in range(surrogates.shape[1]):
        k, surrogate = kind * KIND_RECORD, np.int64(surrogates[i, kind])
        if 0 <= surrogate < plan[k + ROWS]:
            at_small, at_wide = row_of(plan, k, surrogate)
            for cell in range(at_small, at_small + plan[k + SMALL_STRIDE], SMALL_PER_LINE):
                found += np.int64(small[cell])
            for cell in range(at_wide, at_wide + plan[k + WIDE_STRIDE], WIDE_PER_LINE):
                found += wide[cell]
    return found


@jit
def score(
    plan: Plan,
    estimates: NDArray[np.float64],
    small: Small,
    wide: Wide,
    marks: Wide,
    times_us: NDArray[np.int64],
    amounts_minor: NDArray[np.int64],
    surrogates: NDArray[np.int32],
    out: Values,
    is_new: NDArray[np.bool_],
    is_late: NDArray[np.bool_],
    start: Integer,
    stop: Integer,
    fold: bool,
) -> Integer:
    """Read, then (with `fold`) fold the rows `start` to `stop`, one by one; return nothing of use (`touch`).

    `out` float32[n, F] gets the entity columns. `marks` int64[E + 1] holds the
    number of rows in use per kind and, last, the newest event time.
    """
    touched = np.int64(0)
    for i in range(start, stop):
        if i + 1 < stop:
            touched += touch(plan, small, wide, surrogates, i + 1)
        time_us = times_us[i]
        for kind in range(surrogates.shape[1]):
            k, surrogate = kind * KIND_RECORD, np.int64(surrogates[i, kind])
            if surrogate < 0:
                for column in range(plan[k + OUT_FROM], plan[k + OUT_TO]):
                    out[i, column] = np.nan
                continue
            held = surrogate < plan[k + ROWS]
            at_small, at_wide = row_of(plan, k, surrogate)
            seen = held and wide[at_wide + EVENTS] > 0
            newest_us = wide[at_wide + NEWEST] if seen else time_us
            event = Event(i, k, at_small, at_wide, seen, newest_us, time_us, amounts_minor[i])
            is_new[i, kind] = not seen
            is_late[i] |= time_us < newest_us
            read_entity(plan, small, wide, event, out, estimates)
            if fold and held:
                fold_entity(plan, small, wide, event, surrogates, estimates.shape[0] - 1)
                marks[kind] = max(marks[kind], surrogate + 1)
        if fold:
            marks[-1] = max(marks[-1], time_us)
    return touched


@jit
def relabel(
    plan: Plan,
    small: Small,
    wide: Wide,
    surrogates: NDArray[np.int32],
    times_us: Wide,
    deltas: Wide,
    mark: int,
) -> None:
    """Add `deltas[j]` to the marks, FRAUD or DECLINED, of transaction j's hop where a ring still holds it."""
    for j in range(times_us.shape[0]):
        for kind in range(surrogates.shape[1]):
            k, surrogate = kind * KIND_RECORD, np.int64(surrogates[j, kind])
            if 0 <= surrogate < plan[k + ROWS]:
                at_small, at_wide = row_of(plan, k, surrogate)
                for r in range(plan[k + RINGS_FROM], plan[k + RINGS_TO], RING_RECORD):
                    hop, hops = plan[r + HOP], plan[r + HOPS]
                    own, head = times_us[j] // hop, wide[at_wide + NEWEST] // hop
                    if plan[r + MARK] == mark and head - hops < own <= head:
                        small[at_small + plan[r + MARKED] + own % hops] += deltas[j]
