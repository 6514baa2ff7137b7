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
from fraud.training.splits import Spans
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

    @classmethod
    def by(cls, manifest: Mapping[str, Any]) -> Self | None:
        """Read it off a manifest, of a version or of a training set; None where nobody is set apart."""
        kept = manifest.get("apart")
        return None if kept is None else cls(kept["entity"], kept["share"])

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
class Fitted:
    """Until when a booster was fitted, and each that it continues; times are µs UTC, exclusive.

    On events before `until_us`; from there to `others_until_us` on those of entities not set `apart`.
    """

    until_us: int
    others_until_us: int
    apart: Apart | None = None

    @classmethod
    def on(cls, spans: Spans, apart: Apart | None, parent: Self | None) -> Self:
        """Tell what a recipe with these spans is fitted on, and what the booster was that it continues."""
        until_us = spans.train.end_us
        others_us = until_us if spans.fresh is None else spans.fresh.end_us
        if parent is None:
            return cls(until_us, others_us, apart)
        return cls(max(until_us, parent._whole_us(apart)), max(others_us, parent.others_until_us), apart)

    @classmethod
    def by(cls, manifest: Mapping[str, Any]) -> Self:
        """Read it off a version's manifest; one that does not say so tells of its own spans."""
        apart = Apart.by(manifest)
        if "fitted" in manifest:
            fitted = manifest["fitted"]
            return cls(int(fitted["until_us"]), int(fitted["others_until_us"]), apart)
        spans = manifest["spans"]
        until_us = int(spans["train_us"][1])
        return cls(until_us, int(spans["fresh_us"][1]) if apart else until_us, apart)

    def spares(self, spans: Spans, apart: Apart | None) -> bool:
        """Tell whether none of it calibrates or judges a version of these spans that sets these apart."""
        return self._whole_us(apart) <= spans.calibration.start_us

    def _whole_us(self, apart: Apart | None) -> int:
        """Return until when it was fitted on any entity that is set apart; None: on any at all."""
        return self.until_us if self.apart == apart else self.others_until_us

    def to_dict(self) -> dict[str, int]:
        """Return what a manifest keeps; `apart` stands there by itself."""
        return {"until_us": self.until_us, "others_until_us": self.others_until_us}


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
        fitted = Fitted.by(manifest)
        from_us = max(int(manifest["spans"]["evidence_us"][0]), fitted.until_us)
        return cls(from_us, max(from_us, fitted.others_until_us), fitted.apart)

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
