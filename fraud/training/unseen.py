"""Which payments a version was not made from, so that they may judge it.

    walking forward     all from the start of its evidence span on
    with training.fresh a share of the cards, set apart by a hash of their number:
      ├── train, all cards ──┤ calibration ┤ evidence ├── maturity ──┤ cut
                               set apart: they judge     nobody yet
                               others:    a known verdict teaches    ┤

    with its folds      all of the cards, each judged by a booster that was fitted without its fold
      ├── train, all cards ──┤ calibration ┤ evidence ├── maturity ──┤ cut
                               all cards judge              nobody yet
                               all cards: a known verdict teaches    ┤ what is served

Labels teach sooner so: an attack of this week is learned from some of its cards and
shown to be known on others, while a split by time alone waits for both spans. The same
cards are set apart in every version, or dealt into the same folds, so champion and challenger are
judged on the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from fraud.bundle.folds import SERVED
from fraud.settings import Settings
from fraud.training.splits import Spans
from fraud.training.weights import mixed


@dataclass(frozen=True, slots=True)
class Apart:
    """Entities of one kind that judge while they are fresh; which ones depends on their number alone.

    A `share` of them, which teach nothing meanwhile; or all, dealt into `folds`.
    """

    entity: str
    share: float
    folds: int = 0

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """Take the choice from `[training.fresh]`; None where there is no such section."""
        fresh = settings.training.fresh
        if fresh is None:
            return None
        entity = fresh.entity or settings.schema_.entity_names[0]
        return cls(entity, fresh.apart) if fresh.folds is None else cls(entity, 1.0, fresh.folds)

    @classmethod
    def by(cls, manifest: Mapping[str, Any]) -> Self | None:
        """Read it off a manifest, of a version or of a training set; None where nobody is set apart."""
        kept = manifest.get("apart")
        return None if kept is None else cls(kept["entity"], kept["share"], kept.get("folds", 0))

    def fold(self, rows: pl.DataFrame) -> NDArray[np.int8]:
        """Return the fold of each row's entity, int8[n]; −1 where it judges nothing, 0 where it is set apart.

        Rows without the entity judge nothing. `rows` has the archive's column `entity_<name>` of numbers.
        """
        column = rows[f"entity_{self.entity}"]
        draws = mixed(column.fill_null(0).cast(pl.Int64).to_numpy().astype(np.uint64))
        given = (column.is_not_null() & (column >= 0)).to_numpy()
        number = (draws * max(1, self.folds)).astype(np.int8) if self.folds else np.zeros(len(rows), np.int8)
        return np.where(given & (draws < self.share), number, np.int8(SERVED))

    def rows(self, rows: pl.DataFrame) -> NDArray[np.bool_]:
        """Mark the rows of entities that judge, bool[n]; columns as for `fold`."""
        return np.asarray(self.fold(rows) != SERVED, np.bool_)

    def to_dict(self) -> dict[str, Any]:
        """Return what a manifest keeps."""
        dealt = {"folds": self.folds} if self.folds else {}
        return {"entity": self.entity, "share": self.share, **dealt}


@dataclass(frozen=True, slots=True)
class Fitted:
    """Until when a booster was fitted, and each that it continues; times are µs UTC, exclusive.

    On events before `until_us`; from there to `others_until_us` on those of entities not set `apart`, and
    with folds the booster without a fold on those of other folds.
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

    Events at or after `all_from_us`; before it those at or after `from_us` of entities set `apart`. With
    folds the latter are unseen by the booster without their fold alone, which `fold` names.
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

    @property
    def by_served(self) -> Self:
        """What the booster that is served has not seen: with folds nothing before `all_from_us`."""
        has_folds = self.apart is not None and self.apart.folds > 0
        return type(self)(self.all_from_us, self.all_from_us) if has_folds else self

    def fold(self, rows: pl.DataFrame) -> NDArray[np.int8]:
        """Return the fold without which a booster judges each row, int8[n]; `SERVED`: the one that is served.

        Of rows that nobody has left out it is the latter, too. Columns as the archive's.
        """
        if self.apart is None or not self.apart.folds:
            return np.full(len(rows), SERVED, np.int8)
        later = rows["event_time_us"].to_numpy() >= self.all_from_us
        return np.where(later, np.int8(SERVED), self.apart.fold(rows))

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
