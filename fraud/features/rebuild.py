"""Folds the whole past again through one view, as if what that hides had never been.

    archive, in columns ──▶ spans of rows, with labels and retractions between them ──▶ fold
    log, what the archive lacks ──▶ entry by entry

State repaired by this and training sets repaired by this come from the same
calls, so what is scored after a repair is what is trained on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.features.declines import Decided
from fraud.features.fold import Coordinates, FeatureFold
from fraud.features.replay import replay_columns
from fraud.features.spec import FeatureSpec
from fraud.features.state import Rows
from fraud.records import MISSING_SURROGATE, Entry, Outcome

SPAN_POSITIONS = 200_000
"""Positions that are read and folded at once; about 100 MB with a hundred features."""


class Past(Protocol):
    """The part of the archive that is folded."""

    def transactions(self, upto: int | None = None) -> pl.LazyFrame:
        """Return scored transactions with position ≤ `upto`."""
        ...

    def feedback(self, after: int, upto: int) -> list[Entry]:
        """Return label and retraction entries, `after` < position ≤ `upto`, in order."""
        ...

    def labelled_coordinates(self) -> dict[str, tuple[tuple[int, ...], int, int]]:
        """Return surrogates, event time and position of every transaction with a label."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Refolded:
    """Transactions of one span: positions int64[n], ascending, and features float32[n, F]."""

    positions: NDArray[np.int64]
    features: NDArray[np.float32]


def fold_past(fold: FeatureFold, past: Past, upto: int, pauses: Sequence[int] = ()) -> Iterator[Refolded]:
    """Fold what stands after the fold's position and at or before `upto`; yield span by span.

    The fold keeps its view, and ends at `upto` once the iterator is used up. It also
    yields where it has folded all that stands before each position of `pauses`,
    rising: `fold.position` is then one less.
    """
    known = {name: Coordinates(*found) for name, found in past.labelled_coordinates().items()}

    def find(names: Sequence[str]) -> dict[str, Coordinates]:
        return {name: known[name] for name in names if name in known}

    for start in range(fold.position, upto, SPAN_POSITIONS):
        stop = min(start + SPAN_POSITIONS, upto)
        frame = _span(past, fold.spec, start, stop)
        positions, ids = frame["position"].to_numpy(), frame["transaction_id"].to_list()
        rows, decided, feedback = (
            _rows(frame, fold.spec),
            _decided(frame, fold.spec),
            past.feedback(start, stop),
        )
        ends = sorted({pause - 1 for pause in pauses if start < pause - 1 < stop} | {stop})
        if start + 1 in pauses:
            yield Refolded(positions[:0], np.empty((0, len(fold.spec.names)), np.float32))
        first = 0
        for after, end in pairwise([start, *ends]):
            last = int(np.searchsorted(positions, end, side="right"))
            between = [entry for entry in feedback if after < entry.position <= end]
            part = slice(first, last)
            features = replay_columns(
                *(fold, positions[part], ids[part], rows.part(first, last), between, find),
                decided and decided.part(first, last),
            )
            fold.advance(end)
            yield Refolded(positions[part], features)
            first = last


def _span(past: Past, spec: FeatureSpec, start: int, stop: int) -> pl.DataFrame:
    return (
        past.transactions(stop)
        .filter(pl.col("position") > start)
        .select(
            "position",
            "transaction_id",
            "event_time_us",
            "amount_base_minor",
            *(("arrival_time_us", "outcome") if spec.counts_declines else ()),
            *[pl.col(f"entity_{name}").fill_null(MISSING_SURROGATE) for name in spec.entity_names],
            *[pl.col(f"numeric_{name}").fill_null(float("nan")) for name in spec.numeric_names],
        )
        .sort("position")
        .collect()
    )


def _rows(frame: pl.DataFrame, spec: FeatureSpec) -> Rows:
    n = len(frame)
    surrogates = np.empty((n, len(spec.entity_names)), np.int32)
    numerics = np.empty((n, len(spec.numeric_names)), np.float64)
    for place, name in enumerate(spec.entity_names):
        surrogates[:, place] = frame[f"entity_{name}"].to_numpy()
    for place, name in enumerate(spec.numeric_names):
        numerics[:, place] = frame[f"numeric_{name}"].to_numpy()
    return Rows(
        frame["event_time_us"].to_numpy(), frame["amount_base_minor"].to_numpy(), surrogates, numerics
    )


def _decided(frame: pl.DataFrame, spec: FeatureSpec) -> Decided | None:
    if not spec.counts_declines:
        return None
    declined = frame["outcome"].fill_null(int(Outcome.UNSPECIFIED)) == int(Outcome.DECLINE)
    return Decided(frame["arrival_time_us"].to_numpy(), declined.to_numpy())
