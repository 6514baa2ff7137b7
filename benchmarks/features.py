"""How fast histories are replayed, how that holds up as they grow, and what an entity weighs.

    seeded payments → FeatureState, one core → rows/s      beside Polars on the same windows

Three entities (cards, merchants, devices) × four windows (1h, 24h, 7d, 30d):
first count and sum, then the full specification (all aggregates, distinct of
both others, time since previous and age, two fraud rates). The number of
entities grows with the events, so that the state outgrows the caches as it
would in service. Polars computes the same counts and sums by `rolling_sum_by`,
exact to the microsecond at both ends; it is the fast way to get such columns
for a table that is complete, and cannot take one event at a time.
"""

import json
import os
import subprocess
import sys
import time
from typing import Any

import numpy as np
import polars as pl
import psutil

from benchmarks.report import Bar, Report, finish, parser
from fraud.features.definitions import AGGREGATES, TALLIES
from fraud.features.spec import FeatureSpec
from fraud.features.state import FeatureState, Rows
from fraud.settings.features import EntityFeatures

ENTITIES = ("card", "merchant", "device")
WINDOWS = ("1h", "24h", "7d", "30d")
SPAN_US = 90 * 86_400 * 1_000_000
START_US = 1_700_000_000 * 1_000_000
EVENTS_PER_ENTITY = (20, 200, 15)  # of a card, a merchant, a device
CHUNK_ROWS = 50_000


def spec_of(full: bool, entities_max: int, tried: bool = False) -> FeatureSpec:
    """Return count and sum, or the full specification, for three entities × four windows.

    `tried` adds what shows somebody trying things out: steps, small payments, declines.
    """
    entities = []
    for name in ENTITIES:
        features: dict[str, Any] = {"windows": WINDOWS, "aggregates": ("count", "sum")}
        if full:
            rates = [{"width": "7d", "delay": "7d"}, {"width": "30d", "delay": "7d"}]
            others = [other for other in ENTITIES if other != name]
            features |= {"aggregates": AGGREGATES, "distinct": others, "since": ("previous", "first")}
            features |= {"fraud_rates": rates}
        if tried:
            features["aggregates"] = (*features["aggregates"], *TALLIES)
            features |= {"small_amount_minor": 500, "steps": {}}
        entities.append(EntityFeatures.model_validate(features))
    return FeatureSpec(
        entity_names=ENTITIES, numeric_names=(), entities=tuple(entities), entities_max=entities_max
    )


def payments(events: int, seed: int = 1) -> Rows:
    """Return `events` payments of 90 days in order of time, amounts log-normal, merchants skewed."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(START_US, START_US + SPAN_US, events))
    columns = []
    for per_entity, skew in zip(EVENTS_PER_ENTITY, (1, 3, 1), strict=True):
        count = max(events // per_entity, 1)
        drawn = np.floor(count * rng.random(events) ** skew).astype(np.int64)
        _, dense = np.unique(drawn, return_inverse=True)
        columns.append(dense)
    amounts = np.clip(rng.lognormal(8, 1, events), 1, 10**7).astype(np.int64)
    surrogates = np.column_stack(columns).astype(np.int32)
    return Rows(times, amounts, surrogates, np.empty((events, 0)))


def replay_seconds(spec: FeatureSpec, rows: Rows) -> tuple[float, FeatureState]:
    """Fold all rows in chunks; return the seconds it took and the state."""
    warm = FeatureState(spec)
    warm.score(rows.part(0, 100))
    state = FeatureState(spec)
    started = time.perf_counter()
    for start in range(0, len(rows), CHUNK_ROWS):
        state.score(rows.part(start, min(start + CHUNK_ROWS, len(rows))))
    return time.perf_counter() - started, state


def measure_kernel(full: bool, events: int, repeats: int, tried: bool = False) -> dict[str, Any]:
    """Return the best rate of `repeats` replays, and the bytes of state they touched."""
    rows = payments(events)
    spec = spec_of(full, entities_max=int(rows.surrogates.max()) + 1, tried=tried)
    what = "this kernel, all features" if full else "this kernel, count and sum"
    seconds = []
    for _ in range(repeats):
        took, state = replay_seconds(spec, rows)
        seconds.append(took)
    used = state.marks[:-1].tolist()
    touched = sum(state.layout.row_bytes(kind) * rows_used for kind, rows_used in enumerate(used))
    return {
        "what": f"{what}, steps, small, declined" if tried else what,
        "threads": 1,
        "events": events,
        "entities": sum(used),
        "rows/s": events / min(seconds),
        "bytes per entity": touched / sum(used),
    }


def measure_polars(events: int, repeats: int) -> dict[str, Any]:
    """Return the best rate of Polars for counts and sums, in this process' number of threads."""
    rows = payments(events)
    columns: dict[str, Any] = {
        "time": rows.event_time_us,
        "sum": rows.amount_minor,
        "count": np.ones(events, np.int64),
    }
    columns |= {name: rows.surrogates[:, i] for i, name in enumerate(ENTITIES)}
    frame = pl.DataFrame(columns).with_columns(pl.col("time").cast(pl.Datetime("us")))
    query = frame.lazy().select(
        pl.col(column)
        .rolling_sum_by("time", window, closed="left")
        .over(name)
        .alias(f"{name}_{column}_{window}")
        for name in ENTITIES
        for window in WINDOWS
        for column in ("count", "sum")
    )
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        query.collect()
        seconds.append(time.perf_counter() - started)
    return {
        "what": "Polars rolling_sum_by, count and sum",
        "threads": pl.thread_pool_size(),
        "events": events,
        "rows/s": events / min(seconds),
    }


def polars_with(threads: int, events: int, repeats: int) -> dict[str, Any]:
    """Measure Polars in a process of its own: its number of threads is fixed at import."""
    command = [sys.executable, "-m", "benchmarks.features", "--polars", str(events), str(repeats)]
    environment = {**os.environ, "POLARS_MAX_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measure_calls(rows_per_call: int) -> dict[str, Any]:
    """Return microseconds of one call as the server makes it, all features, warm state."""
    calls = 2_000
    rows = payments(calls * rows_per_call)
    state = FeatureState(spec_of(full=True, entities_max=int(rows.surrogates.max()) + 1))
    parts = [rows.part(i * rows_per_call, (i + 1) * rows_per_call) for i in range(calls)]
    seconds = []
    for part in parts:
        started = time.perf_counter()
        state.score(part)
        seconds.append(time.perf_counter() - started)
    return {
        "what": f"one call of {rows_per_call} rows, all features",
        "threads": 1,
        "events": calls * rows_per_call,
        "µs a call, median": float(np.median(seconds)) * 1e6,
    }


def measure_resident(entities: int) -> float:
    """Return the resident bytes per entity when `entities` of each kind were seen, all features."""
    spec = spec_of(full=True, entities_max=4 * entities)
    surrogates = np.repeat(np.arange(entities, dtype=np.int32)[:, None], len(ENTITIES), axis=1)
    times = START_US + np.arange(entities) * (SPAN_US // entities)
    rows = Rows(times, np.full(entities, 100), surrogates, np.empty((entities, 0)))
    state = FeatureState(spec)
    state.score(rows.part(0, 10))
    before = _resident_bytes()
    for start in range(0, entities, 1_000):  # small calls, so that answers do not count
        state.score(rows.part(start, min(start + 1_000, entities)))
    return (_resident_bytes() - before) / (entities * len(ENTITIES))


def _resident_bytes() -> int:
    return int(psutil.Process().memory_info().rss)


def measure(quick: bool) -> Report:
    """Run everything; the bars are about the largest history measured."""
    sizes = [10**5, 10**6] if quick else [10**5, 10**6, 10**7]
    repeats, cores = (1 if quick else 3), len(os.sched_getaffinity(0))
    sums = [
        measure_kernel(full=False, events=events, repeats=1 if events > 10**6 else repeats)
        for events in sizes
    ]
    full = measure_kernel(full=True, events=10**5 if quick else 10**6, repeats=repeats)
    tried = measure_kernel(full=True, events=full["events"], repeats=repeats, tried=True)
    rows = [*sums, full, tried, measure_calls(1), measure_calls(64)]
    rows += [polars_with(threads, 10**6, repeats) for threads in sorted({1, cores})]
    resident = measure_resident(20_000 if quick else 200_000)
    bars = [
        Bar("count and sum, 10^6 events, rows/s", sums[1]["rows/s"], 300_000),
        Bar("all features, rows/s", full["rows/s"], 75_000),
        Bar(
            "resident GB per million entities, all features",
            resident / 1_000,
            4,
            at_least=False,
            fair_when_quick=True,
        ),
    ]
    if not quick:
        bars.append(Bar("rate at 10^7 ÷ rate at 10^6", sums[2]["rows/s"] / sums[1]["rows/s"], 0.5))
    laid_out = full["bytes per entity"]
    notes = [
        "the kernel reads and folds one row after the other on one core; best of repeats",
        f"resident memory was measured: {resident:,.0f} bytes per entity; {laid_out:,.0f} are laid out",
        "Polars works on the finished table, column by column; the kernel event by event, as in service",
    ]
    return Report("Feature replay: 3 entities × 4 windows", rows, bars, notes)


def main() -> int:
    """Run the benchmark from the command line."""
    made = parser("Measure replay of features beside Polars.")
    made.add_argument(
        "--polars", nargs=2, type=int, metavar=("EVENTS", "REPEATS"), help="that part alone, JSON"
    )
    arguments = made.parse_args()
    if arguments.polars:
        print(json.dumps(measure_polars(*arguments.polars)))
        return 0
    return finish(measure(arguments.quick), arguments)


if __name__ == "__main__":
    sys.exit(main())
