"""Where everything stands in the kernel's two blocks: a spec, turned into a plan of integers.

Two blocks of numbers hold one row per surrogate, one entity kind after the
other, each kind with its own row length:

    small, uint32   per window: event counts [H], largest amounts [H]
                    per feedback ring: transactions [H], frauds [H]
                    per other entity: last sightings [buckets]
                    per window with tallies: small [H], declined [H]; previous amount, run of steps
    wide, int64     events, first seen, newest; per window: sums [H], squares [2·H]

Only what a feature needs has a place: a window with only `count` keeps no sums.
Squares are kept as sums of their upper and lower 32 bits, so 2^31 events of
2^31 - 1 minor units overflow nothing (`tests/features/test_bounds.py`). The
fields of the plan's records are named in `hops`, which reads them.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fraud.features import hops
from fraud.features.definitions import AGGREGATES, TALLIES
from fraud.features.hops import Plan
from fraud.features.spec import FeatureSpec
from fraud.settings.features import EntityFeatures, FraudRate
from fraud.settings.schema import AMOUNT_MINOR_BOUND

COUNTED = {"count", "mean", "max", "std", "amount_over_mean"}
SUMMED = {"sum", "mean", "std", "amount_over_mean"}
NOWHERE = -1


@dataclass(frozen=True, slots=True)
class Layout:
    """The kernel's plan, its table of estimates, and the sizes of both blocks in numbers."""

    plan: Plan
    estimates: NDArray[np.float64]
    small_size: int
    wide_size: int

    @classmethod
    def of(cls, spec: FeatureSpec) -> Self:
        """Lay out the rows of every entity kind of `spec`."""
        drawing = _Drawing(spec)
        for kind in range(len(spec.entities)):
            drawing.add(kind)
        plan = np.array(drawing.records, dtype=np.int64)
        return cls(plan, estimates(spec.distinct_buckets), drawing.small_base, drawing.wide_base)

    def kind(self, kind: int) -> Plan:
        """Return the record of one entity kind."""
        return self.plan[kind * hops.KIND_RECORD : (kind + 1) * hops.KIND_RECORD]

    def row_bytes(self, kind: int) -> int:
        """Return the bytes of one entity of a kind."""
        record = self.kind(kind)
        return int(4 * record[hops.SMALL_STRIDE] + 8 * record[hops.WIDE_STRIDE])


def estimates(buckets: int) -> NDArray[np.float64]:
    """Return the number of distinct values by the number of empty buckets, float64[buckets + 1].

    Linear counting, -m·ln(empty/m) [Whang et al. 1990, eq. 6]. With no bucket
    empty it is capped at the value of one empty bucket, m·ln m.
    """
    empty = np.maximum(np.arange(buckets + 1), 1)
    return -buckets * np.log(empty / buckets) + 0.0


def ring_hops(width_us: int, hop_us: int) -> int:
    """Return how many hops a ring needs to reach `width_us` back from anywhere in its newest hop."""
    return -(-width_us // hop_us) + 1


class _Drawing:
    """Grows the plan kind by kind; places count from the start of a row."""

    def __init__(self, spec: FeatureSpec) -> None:
        self.spec = spec
        self.records = [0] * (len(spec.entities) * hops.KIND_RECORD)
        self.small_base = self.wide_base = 0
        self.small = self.wide = 0

    def add(self, kind: int) -> None:
        """Lay out the next entity kind."""
        name, entity = self.spec.entity_names[kind], self.spec.entities[kind]
        self.small, self.wide = 0, hops.WIDE_SLOTS
        rings, rates = self._rings(name, entity)
        spans = [
            *self._append(self._windows(name, entity)),
            *self._append(sketches := self._sketches(entity)),
            *self._append(self._distincts(name, entity, [start for _, start in sketches])),
            self._append(rings)[0],
            *self._append(self._tallies(name, entity)),
            *self._append(rates),
        ]
        steps = self._steps(name, entity)
        places = [self.spec.places[feature] for feature in self.spec.features_of(kind)]
        record = [
            *(self.small_base, self.small, self.wide_base, self.wide, self.spec.entities_max),
            *spans,
            *((places[0], places[-1] + 1) if places else (0, 0)),
            self._out(f"{name}_since_previous_s"),
            self._out(f"{name}_age_s"),
            self.spec.age_max_us,
            *steps,
        ]
        self.records[kind * hops.KIND_RECORD : (kind + 1) * hops.KIND_RECORD] = record
        self.small_base += self.spec.entities_max * self.small
        self.wide_base += self.spec.entities_max * self.wide

    def _append(self, records: list[list[int]]) -> tuple[int, int]:
        start = len(self.records)
        for record in records:
            self.records.extend(record)
        return start, len(self.records)

    def _out(self, feature: str) -> int:
        return self.spec.places.get(feature, NOWHERE)

    def _take_small(self, cells: int, wanted: bool = True) -> int:
        self.small += cells if wanted else 0
        return self.small - cells if wanted else NOWHERE

    def _take_wide(self, cells: int, wanted: bool = True) -> int:
        self.wide += cells if wanted else 0
        return self.wide - cells if wanted else NOWHERE

    def _windows(self, name: str, entity: EntityFeatures) -> list[list[int]]:
        wanted = set(entity.aggregates)
        records = []
        for window in entity.windows:
            cells = ring_hops(window.width, window.hop)
            places = [
                self._take_small(cells, not wanted.isdisjoint(COUNTED)),
                self._take_small(cells, "max" in wanted),
                self._take_wide(cells, not wanted.isdisjoint(SUMMED)),
                self._take_wide(2 * cells, "std" in wanted),
            ]
            outs = [self._out(f"{name}_{aggregate}_{window.name}") for aggregate in AGGREGATES]
            records.append([window.width, window.hop, cells, *places, *outs])
        return records

    def _sketches(self, entity: EntityFeatures) -> list[list[int]]:
        others = entity.distinct if entity.windows else ()
        buckets = self.spec.distinct_buckets
        return [[self.spec.entity_names.index(other), self._take_small(buckets)] for other in others]

    def _distincts(self, name: str, entity: EntityFeatures, starts: list[int]) -> list[list[int]]:
        return [
            [window.width, window.hop, 0, start, self._out(f"{name}_distinct_{other}_{window.name}")]
            for other, start in zip(entity.distinct, starts, strict=False)
            for window in entity.windows
        ]

    def _rings(self, name: str, entity: EntityFeatures) -> tuple[list[list[int]], list[list[int]]]:
        by_hop: dict[int, list[FraudRate]] = {}
        for rate in entity.fraud_rates:
            by_hop.setdefault(rate.hop, []).append(rate)
        ring_records, rate_records = [], []
        for hop, rates in by_hop.items():
            cells = max(ring_hops(rate.width + rate.delay, hop) for rate in rates)
            transactions, frauds = self._take_small(cells), self._take_small(cells)
            marked = [AMOUNT_MINOR_BOUND, hops.FRAUD, NOWHERE, NOWHERE]
            ring_records.append([0, hop, cells, transactions, frauds, *marked])
            for rate in rates:
                out = self._out(f"{name}_fraud_rate_{rate.name}")
                rate_records.append([rate.width, hop, cells, transactions, frauds, rate.delay, out])
        return ring_records, rate_records

    def _tallies(self, name: str, entity: EntityFeatures) -> list[list[int]]:
        small, declined = (tally in entity.aggregates for tally in TALLIES)
        records = []
        for window in entity.windows if small or declined else ():
            cells = ring_hops(window.width, window.hop)
            record = [
                *(window.width, window.hop, cells),
                *(self._take_small(cells, small), self._take_small(cells, declined)),
                NOWHERE if entity.small_amount_minor is None else entity.small_amount_minor,
                hops.DECLINED if declined else NOWHERE,
                *(self._out(f"{name}_{tally}_{window.name}") for tally in TALLIES),
            ]
            records.append(record)
        return records

    def _steps(self, name: str, entity: EntityFeatures) -> list[int]:
        steps = entity.steps
        if steps is None:
            return [NOWHERE] * 5
        outs = [self._out(f"{name}_amount_over_previous"), self._out(f"{name}_steps")]
        return [self._take_small(2), steps.ratio_thousandths, steps.within, *outs]
