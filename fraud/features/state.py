"""The state of all entities and the one thing that may change it.

`FeatureState` owns the two blocks of the kernel (`hops`, `layout`) for all
entity kinds. They are reserved for `entities_max` entities at once and become
resident row by row as surrogates are first used (surrogates are dense), so an
idle service is small. One owner, one thread.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraud.errors import ConfigError, Damaged
from fraud.features import hops
from fraud.features.calendar import fill, offsets_of
from fraud.features.layout import Layout
from fraud.features.spec import CALENDAR, FeatureSpec

NUMERIC_MAX = float(np.finfo(np.float32).max)
"""The largest number that a float32 row holds; a larger one would be infinite there. Nothing that
is computed comes near: amounts end at 2^31 minor units, so their sums and ratios stay below 2^63."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Columns of n transactions in log order.

    `event_time_us` int64[n] ≥ 0; `amount_minor` int64[n] in base currency, 0 to
    2^31 - 1; `surrogates` int32[n, E], -1 where missing; `numerics`
    float64[n, K], within ±`NUMERIC_MAX`, NaN where not given. Columns in the schema's
    order; numerics appended to it since the rows were logged may be lacking.
    """

    event_time_us: NDArray[np.int64]
    amount_minor: NDArray[np.int64]
    surrogates: NDArray[np.int32]
    numerics: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.event_time_us)

    def part(self, start: int, stop: int) -> "Rows":
        """Return rows `start` to `stop` as views."""
        return Rows(
            self.event_time_us[start:stop],
            self.amount_minor[start:stop],
            self.surrogates[start:stop],
            self.numerics[start:stop],
        )

    def at(self, places: NDArray[np.intp]) -> "Rows":
        """Return the rows at these places, in their order."""
        return Rows(
            self.event_time_us[places],
            self.amount_minor[places],
            self.surrogates[places],
            self.numerics[places],
        )


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """What was read for n rows: `features` float32[n, F], `is_new` bool[n, E], `is_late` bool[n].

    `is_new`: the entity is given and had never been seen before. `is_late`: the
    event is older than what one of its entities has already folded.
    """

    features: NDArray[np.float32]
    is_new: NDArray[np.bool_]
    is_late: NDArray[np.bool_]


class FeatureState:
    """Folds transactions and label changes; reads features. Mutable, one owner.

    An entity whose surrogate is `entities_max` or more reads as never seen and
    is not folded.

    Raises:
        ConfigError: the blocks are larger than the machine can reserve.
    """

    def __init__(self, spec: FeatureSpec) -> None:
        self.spec = spec
        self.layout = Layout.of(spec)
        try:
            self.small = np.zeros(self.layout.small_size, dtype=np.uint32)
            self.wide = np.zeros(self.layout.wide_size, dtype=np.int64)
        except (MemoryError, ValueError):
            need = (4 * self.layout.small_size + 8 * self.layout.wide_size) / 2**30
            raise ConfigError(
                f"features.entities_max = {spec.entities_max}: cannot reserve {need:.0f} GiB; lower it"
            ) from None
        self.marks = np.zeros(len(spec.entities) + 1, dtype=np.int64)
        self._calendar = np.array([spec.places.get(name, -1) for name in CALENDAR], dtype=np.int64)
        self._changes, self._offsets = offsets_of(spec.timezone)
        self._numerics = slice(1 + len(spec.calendar), 1 + len(spec.calendar) + len(spec.numeric_names))

    @property
    def newest_us(self) -> int:
        """Newest event time folded so far, 0 before the first."""
        return int(self.marks[-1])

    def score(self, rows: Rows) -> ScoredRows:
        """Read the features of each row, then fold it; earlier rows are visible to later ones."""
        scored = self.prepare(rows)
        self.run(rows, scored, 0, len(rows), fold=True)
        return scored

    def peek(self, rows: Rows) -> ScoredRows:
        """Read the features of each row and fold nothing; rows do not see each other."""
        scored = self.prepare(rows)
        self.run(rows, scored, 0, len(rows), fold=False)
        return scored

    def prepare(self, rows: Rows) -> ScoredRows:
        """Return rows with everything filled in that needs no state."""
        n, kinds = len(rows), len(self.spec.entities)
        features = np.empty((n, len(self.spec.names)), dtype=np.float32)
        np.divide(rows.amount_minor, hops.MINOR_PER_MAJOR, out=features[:, 0], casting="same_kind")
        if self.spec.calendar:
            night_from, night_to = self.spec.night_hours
            times = np.ascontiguousarray(rows.event_time_us, np.int64)
            fill(times, self._changes, self._offsets, night_from, night_to, self._calendar, features)
        numerics = features[:, self._numerics]
        held = min(rows.numerics.shape[1], numerics.shape[1])
        numerics[:, :held] = rows.numerics[:, :held]
        numerics[:, held:] = np.nan
        return ScoredRows(features, np.zeros((n, kinds), np.bool_), np.zeros(n, np.bool_))

    def run(self, rows: Rows, scored: ScoredRows, start: int, stop: int, *, fold: bool) -> None:
        """Fill the entity columns of rows `start` to `stop` of what `prepare` returned."""
        hops.score(
            self.layout.plan,
            self.layout.estimates,
            self.small,
            self.wide,
            self.marks,
            np.ascontiguousarray(rows.event_time_us, np.int64),
            np.ascontiguousarray(rows.amount_minor, np.int64),
            np.ascontiguousarray(rows.surrogates, np.int32),
            scored.features,
            scored.is_new,
            scored.is_late,
            start,
            stop,
            fold,
        )

    def relabel(
        self, surrogates: NDArray[np.int32], event_time_us: NDArray[np.int64], delta: NDArray[np.int64]
    ) -> None:
        """Add `delta` (+1 or -1) to the frauds of m folded transactions' hops.

        `surrogates` int32[m, E], `event_time_us` and `delta` int64[m]. A hop that
        the entity's ring no longer holds is left alone.
        """
        self._mark(surrogates, event_time_us, delta, hops.FRAUD)

    def decline(self, surrogates: NDArray[np.int32], event_time_us: NDArray[np.int64]) -> None:
        """Count m folded transactions as declined; shapes and the ring's limit as for `relabel`."""
        self._mark(surrogates, event_time_us, np.ones(len(event_time_us), np.int64), hops.DECLINED)

    def _mark(
        self,
        surrogates: NDArray[np.int32],
        event_time_us: NDArray[np.int64],
        delta: NDArray[np.int64],
        mark: int,
    ) -> None:
        hops.relabel(
            self.layout.plan,
            self.small,
            self.wide,
            np.ascontiguousarray(surrogates, np.int32),
            np.ascontiguousarray(event_time_us, np.int64),
            np.ascontiguousarray(delta, np.int64),
            mark,
        )

    def previous_minor(self, kind: int, surrogate: int) -> int | None:
        """Return the amount of an entity's newest event; None where it has none or it is not kept."""
        place = int(self.layout.kind(kind)[hops.PREVIOUS])
        if place < 0 or not 0 <= surrogate < self.marks[kind]:
            return None
        small, wide = self.rows_of(kind, surrogate + 1)
        return int(small[-1, place]) if wide[-1, hops.EVENTS] else None

    def rows_of(self, kind: int, used: int) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Return views of the first `used` rows of a kind: uint32[used, s] and int64[used, w]."""
        columns = self.layout.kind(kind)
        small, small_cells = int(columns[hops.SMALL_BASE]), int(columns[hops.SMALL_STRIDE])
        wide, wide_cells = int(columns[hops.WIDE_BASE]), int(columns[hops.WIDE_STRIDE])
        return (
            self.small[small : small + used * small_cells].reshape(used, small_cells),
            self.wide[wide : wide + used * wide_cells].reshape(used, wide_cells),
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the rows in use, by name, for a snapshot; views, not copies."""
        found: dict[str, NDArray[Any]] = {"marks": self.marks}
        for kind, used in enumerate(self.marks[:-1].tolist()):
            found[f"small_{kind}"], found[f"wide_{kind}"] = self.rows_of(kind, used)
        return found

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take over what `arrays` returned; the state must be fresh.

        Raises:
            Damaged: an array is missing or has another type or shape.
        """
        marks = _checked(arrays, "marks", self.marks)
        if (marks < 0).any() or (marks[:-1] > self.spec.entities_max).any():
            raise Damaged(
                "feature snapshot: marks are out of bounds; restore from an older one or replay the log"
            )
        for kind, used in enumerate(marks[:-1].tolist()):
            small, wide = self.rows_of(kind, used)
            small[:] = _checked(arrays, f"small_{kind}", small)
            wide[:] = _checked(arrays, f"wide_{kind}", wide)
        self.marks[:] = marks

    def equals(self, other: "FeatureState") -> bool:
        """Tell whether both states are the same number for number."""
        mine, theirs = self.arrays(), other.arrays()
        return (
            self.spec.fingerprint == other.spec.fingerprint
            and mine.keys() == theirs.keys()
            and all(np.array_equal(array, theirs[name]) for name, array in mine.items())
        )


def _checked(arrays: Mapping[str, NDArray[Any]], name: str, like: NDArray[Any]) -> NDArray[Any]:
    array = arrays.get(name)
    if array is None or array.shape != like.shape or array.dtype != like.dtype:
        found = "missing" if array is None else f"{array.dtype}{list(array.shape)}"
        raise Damaged(
            f"feature snapshot: {name} is {found}, expected {like.dtype}{list(like.shape)}; "
            "restore from an older one or replay the log"
        )
    return array
