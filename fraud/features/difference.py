"""Where recomputed features differ from logged ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fraud.archive.archive import Archive
from fraud.eventlog.log import EventLog
from fraud.features.spec import FeatureSpec
from fraud.records import FEATURE_BYTES, Entry, Scored


@dataclass(frozen=True, slots=True)
class Difference:
    """A feature that is not what was logged."""

    position: int
    transaction_id: str
    feature: str
    logged: float
    recomputed: float

    def __str__(self) -> str:
        """Say so in a sentence."""
        return (
            f"position {self.position}, transaction {self.transaction_id}: {self.feature} was logged as "
            f"{self.logged!r} and is {self.recomputed!r} when replayed"
        )


class Comparison:
    """Compares recomputed features with logged ones, run by run; bits count, so NaN equals itself.

    Transactions logged under another set of features are left out, and counted:
    those with another number of them, and those at or before the position `changed`.
    """

    def __init__(self, names: Sequence[str], changed: int = 0) -> None:
        self._names = names
        self._changed = changed
        self.equal = 0
        self.left_out = 0
        self.first: Difference | None = None

    @classmethod
    def of(cls, spec: FeatureSpec, log: EventLog, archive: Archive) -> Self:
        """Return one for what a log and its archive hold of the features of `spec`."""
        before = spec.held_since(log.headings()) - 1
        return cls(spec.names, max(before, archive.features_changed(spec.names)))

    def take(self, run: Sequence[Entry], features: NDArray[np.float32]) -> bool:
        """Compare the transactions of a run and tell whether each is as logged; not again after the first.

        `features` is float32[len(run), len(names)], recomputed.
        """
        width = FEATURE_BYTES * len(self._names)
        rows = [
            (i, entry.position, entry.event)
            for i, entry in enumerate(run)
            if isinstance(entry.event, Scored)
            and len(entry.event.features) == width
            and entry.position > self._changed
        ]
        self.left_out += len(run) - len(rows)
        logged = np.frombuffer(b"".join(event.features for _, _, event in rows), dtype="<u4")
        now = np.ascontiguousarray(features[[i for i, _, _ in rows]]).astype("<f4", copy=False)
        differs = np.argwhere(logged.reshape(now.shape) != now.view("<u4"))
        if not len(differs):
            self.equal += len(rows)
            return True
        row, column = (int(index) for index in differs[0])
        _, position, event = rows[row]
        was, value = logged.view("<f4").reshape(now.shape)[row, column], now[row, column]
        self.equal += row
        self.first = Difference(position, event.transaction_id, self._names[column], float(was), float(value))
        return False
