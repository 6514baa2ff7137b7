"""Random specs and random logs: equal and late times, missing entities, labels before and after."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from fraud.features.declines import Decided
from fraud.features.fold import Coordinates
from fraud.features.spec import AGE_UNBOUNDED_US, FeatureSpec
from fraud.features.state import Rows
from fraud.records import NO_DECISION, Entry, Label, LabelsSubmitted, LabelValue, Outcome, Scored
from tests.features.making import EVERYTHING, SECOND, START, spec_of
from tests.parity.oracle import Event

WINDOWS = [(1, 1), (10, 3), (30, 10), (60, 7), (100, 100), (500, 60)]  # width and hop, seconds
RATES = [(10, 0, 10), (30, 20, 10), (25, 10, 7), (300, 60, 60)]  # width, delay, hop
OUTCOMES = [*Outcome, Outcome.DECLINE, Outcome.DECLINE]
STEPS = [0, 0, 1, 2, 5, 9, 10, 30, 70, 200, 600]  # the clock goes on by, seconds
LATE = [1, 4, 20, 90, 700]  # an event is late by, seconds; also by the length of a ring
NAMES = ("card", "merchant", "device")
BATCHES = ("b1", "b2", "b3")
SUBMITTERS = ("ann", "eve")


@dataclass(frozen=True)
class Case:
    spec: FeatureSpec
    entries: list[Entry]

    @property
    def scored(self) -> list[Scored]:
        return [entry.event for entry in self.entries if isinstance(entry.event, Scored)]

    def find(self, transaction_ids: Any) -> dict[str, Coordinates]:
        """Look into the whole log, as a store would: later transactions included."""
        return {
            entry.event.transaction_id: Coordinates(
                entry.event.surrogates, entry.event.event_time_us, entry.position
            )
            for entry in self.entries
            if isinstance(entry.event, Scored) and entry.event.transaction_id in set(transaction_ids)
        }


@st.composite
def specs(draw: st.DrawFn) -> FeatureSpec:
    names = NAMES[: draw(st.integers(1, 3))]
    entities = {}
    for name in names:
        others = [other for other in names if other != name]
        windows = draw(st.lists(st.sampled_from(WINDOWS), max_size=3, unique=True))
        rates = draw(st.lists(st.sampled_from(RATES), max_size=3, unique=True))
        aggregates = draw(st.lists(st.sampled_from(EVERYTHING), unique=True))
        small = draw(st.sampled_from([1, 3, 50_000])) if "small_count" in aggregates else None
        entities[name] = {
            "windows": [{"width": f"{width}s", "hop": f"{hop}s"} for width, hop in windows],
            "aggregates": aggregates,
            "small_amount_minor": small,
            "steps": draw(st.none() | _steps()),
            "distinct": draw(st.lists(st.sampled_from(others), unique=True)) if others else [],
            "since": draw(st.lists(st.sampled_from(["previous", "first"]), unique=True)),
            "fraud_rates": [{"width": f"{w}s", "delay": f"{d}s", "hop": f"{h}s"} for w, d, h in rates],
        }
    return spec_of(
        entities,
        numeric_names=("ratio",) if draw(st.booleans()) else (),
        calendar=("hour", "weekend") if draw(st.booleans()) else (),
        timezone="America/New_York",
        entities_max=3,
        distinct_buckets=draw(st.sampled_from([16, 50])),
        age_max_us=draw(st.sampled_from([30 * SECOND, AGE_UNBOUNDED_US])),
    )


def _steps() -> st.SearchStrategy[dict[str, Any]]:
    ratios, times = st.sampled_from([1, 1.25, 2, 10]), st.sampled_from(["1s", "30s", "600s"])
    return st.fixed_dictionaries({"ratio": ratios, "within": times})


@st.composite
def cases(draw: st.DrawFn, rows_max: int = 25) -> Case:
    spec = draw(specs())
    size = draw(st.integers(1, rows_max))
    labels = draw(st.lists(_labels(size), max_size=8))
    places = sorted(draw(st.lists(st.integers(0, size), min_size=len(labels), max_size=len(labels))))
    entries: list[Entry] = []
    late = st.sampled_from([*LATE, *_rings(spec)])
    clock_us = START + draw(st.integers(0, 100 * SECOND))
    for i in range(size + 1):
        while places and places[0] == i:
            places.pop(0)
            entries.append(Entry(len(entries) + 1, clock_us, labels.pop(0)))
        if i < size:
            clock_us += draw(st.sampled_from(STEPS)) * SECOND + draw(st.sampled_from([0, 0, 1, 400_000]))
            behind = draw(late) if draw(st.integers(0, 3)) == 0 else 0
            transaction = draw(_transactions(spec, i, clock_us - behind * SECOND))
            entries.append(Entry(len(entries) + 1, clock_us, transaction))
    return Case(spec, entries)


def _rings(spec: FeatureSpec) -> list[int]:
    """Seconds by which an event has just left each ring."""
    widths = [(w.width, w.hop) for entity in spec.entities for w in entity.windows]
    widths += [(r.width + r.delay, r.hop) for entity in spec.entities for r in entity.fraud_rates]
    return [(-(-width // hop) + 1) * hop // SECOND for width, hop in widths]


@st.composite
def _transactions(draw: st.DrawFn, spec: FeatureSpec, i: int, time_us: int) -> Scored:
    amount = draw(st.one_of(st.integers(0, 5), st.integers(0, 100_000), st.just(2**31 - 1)))
    surrogates = tuple(draw(st.sampled_from([0, 0, 0, 1, 2, 3, -1])) for _ in spec.entity_names)
    numerics = tuple(draw(st.sampled_from([0.1, -3.0, float("nan")])) for _ in spec.numeric_names)
    decision = replace(NO_DECISION, outcome=draw(st.sampled_from(OUTCOMES)))
    return Scored(f"t{i}", time_us, "card", surrogates, amount, "EUR", amount, numerics, (), b"", decision)


@st.composite
def _labels(draw: st.DrawFn, size: int) -> LabelsSubmitted:
    values = st.sampled_from(
        [LabelValue.FRAUD, LabelValue.FRAUD, LabelValue.LEGITIMATE, LabelValue.WITHDRAWN]
    )
    one = st.builds(Label, st.integers(0, size).map(lambda i: f"t{i}"), values, st.integers(1, 5))
    labels = tuple(draw(st.lists(one, min_size=1, max_size=4)))
    source = draw(st.sampled_from(["chargeback", "analyst", "unheard_of"]))
    batch, submitter = draw(st.sampled_from(BATCHES)), draw(st.sampled_from(SUBMITTERS))
    return LabelsSubmitted(batch, 0, source, submitter, labels, "digest")


def event_of(entry: Entry) -> Event:
    scored = entry.event
    assert isinstance(scored, Scored)
    return Event(
        scored.transaction_id,
        scored.event_time_us,
        scored.amount_base_minor,
        scored.surrogates,
        scored.numerics,
        entry.arrival_time_us,
        scored.decision.outcome is Outcome.DECLINE,
    )


def declined_of(scored: list[Scored]) -> NDArray[np.bool_]:
    return np.array([event.decision.outcome is Outcome.DECLINE for event in scored], np.bool_)


def decided_of(entries: list[Entry]) -> Decided:
    """What stands in the log of the transactions among entries."""
    rows = [entry for entry in entries if isinstance(entry.event, Scored)]
    scored = [entry.event for entry in rows if isinstance(entry.event, Scored)]
    return Decided(np.array([entry.arrival_time_us for entry in rows], np.int64), declined_of(scored))


def columns_of(scored: list[Scored]) -> Rows:
    n = len(scored)
    if n == 0:
        return Rows(
            np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 0), np.int32), np.empty((0, 0))
        )
    return Rows(
        np.array([event.event_time_us for event in scored], np.int64),
        np.array([event.amount_base_minor for event in scored], np.int64),
        np.array([event.surrogates for event in scored], np.int32).reshape(n, -1),
        np.array([event.numerics for event in scored], np.float64).reshape(n, -1),
    )


def same(left: NDArray[np.float32], right: NDArray[np.float32]) -> bool:
    """Equal number for number; NaN equals NaN."""
    return left.shape == right.shape and bool(((left == right) | (np.isnan(left) & np.isnan(right))).all())
