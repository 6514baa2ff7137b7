"""Which payments a version was not made from, so that they may judge it.

    walking forward     all from the start of its evidence span on
    with training.fresh a share of the cards, set apart by a hash of their number:
      ├── train, all cards ──┤ calibration ┤ evidence ├── maturity ──┤ cut
                               set apart: they judge     nobody yet
                               others:    a known verdict teaches    ┤

Labels teach sooner so: an attack of this week is learned from some of its cards and
shown to be known on others, while a split by time alone waits for both spans. The same
cards are set apart in every version, so champion and challenger are judged on the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.settings import Settings
from fraud.training.weights import mixed


@dataclass(frozen=True, slots=True)
class Apart:
    """A share of the entities of one kind; which ones depends on their number alone."""

    entity: str
    share: float

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """Take the choice from `[training.fresh]`; None where there is no such section."""
        fresh = settings.training.fresh
        return None if fresh is None else cls(fresh.entity or settings.schema_.entity_names[0], fresh.apart)

    def rows(self, rows: pl.DataFrame) -> NDArray[np.bool_]:
        """Mark the rows of entities that are set apart, bool[n]; those without the entity are not.

        `rows` has the archive's column `entity_<name>` of numbers.
        """
        column = rows[f"entity_{self.entity}"]
        draws = mixed(column.fill_null(0).cast(pl.Int64).to_numpy().astype(np.uint64))
        given = (column.is_not_null() & (column >= 0)).to_numpy()
        return np.asarray(given & (draws < self.share), np.bool_)

    def to_dict(self) -> dict[str, Any]:
        """Return what a manifest keeps."""
        return {"entity": self.entity, "share": self.share}


@dataclass(frozen=True, slots=True)
class Unseen:
    """What neither fitting nor calibration nor selection of a version has seen; times are µs UTC.

    Events at or after `all_from_us`; before it those at or after `from_us` of entities set `apart`.
    """

    from_us: int
    all_from_us: int
    apart: Apart | None = None

    @classmethod
    def by(cls, manifest: Mapping[str, Any]) -> Self:
        """Read it off a version's manifest."""
        spans, kept = manifest["spans"], manifest.get("apart")
        from_us = int(spans["evidence_us"][0])
        if kept is None:
            return cls(from_us, from_us)
        return cls(from_us, int(spans["fresh_us"][1]), Apart(kept["entity"], kept["share"]))

    def of(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the unseen rows; columns as the archive's."""
        return rows.filter(pl.Series(self.rows(rows), dtype=pl.Boolean))

    def rows(self, rows: pl.DataFrame) -> NDArray[np.bool_]:
        """Mark the unseen rows, bool[n]; columns as the archive's."""
        times = rows["event_time_us"].to_numpy()
        unseen = times >= self.all_from_us
        if self.apart is not None:
            unseen |= (times >= self.from_us) & self.apart.rows(rows)
        return np.asarray(unseen, np.bool_)
